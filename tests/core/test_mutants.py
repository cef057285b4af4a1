"""The tests of the core notice every mistake of `mutants`.

Each is made in a copy of the package, where the tables and a short run of the state machine have to fail. A run of
all takes minutes, so an ordinary one takes those of today; `TASKFC_MUTANTS=all` takes all of them.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import taskfc_ext
from tests.core.mutants import MUTANTS, Mutant

PACKAGE = Path(taskfc_ext.__file__).parent
TESTS = Path(__file__).parent
A_DAY = 5
"""Mutants of one day: they take about 15 s, and a month sees them all."""

HANGS_AFTER = 90
"""Seconds, some five times what the tests take on a loaded machine."""

NOT_NEEDED = ["test_mutants", "ten_thousand", "wait_for_many"]


def chosen() -> tuple[Mutant, ...]:
    """Return all mutants, or those whose turn it is today."""
    if os.environ.get("TASKFC_MUTANTS") == "all":
        return MUTANTS
    day = datetime.date.today().toordinal()
    return tuple(MUTANTS[(day * A_DAY + i) % len(MUTANTS)] for i in range(A_DAY))


def survives(mutant: Mutant | None, folder: Path) -> str:
    """Return what pytest says if the tests pass with `mutant`, and "" if they do not."""
    ignored = shutil.ignore_patterns("__pycache__", "static", "labextension")
    shutil.copytree(PACKAGE, folder / "taskfc_ext", ignore=ignored)
    (folder / "tests").mkdir()
    (folder / "tests" / "__init__.py").touch()
    shutil.copytree(TESTS, folder / "tests" / "core", ignore=ignored)
    if mutant is not None:
        file = folder / "taskfc_ext" / "core" / mutant.file
        file.write_text(file.read_text().replace(mutant.old, mutant.new))
    tables = sorted(path for path in (folder / "tests" / "core").glob("test_*.py") if "stateful" not in path.name)
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=line"),
        *("-p", "no:cacheprovider", "-p", "no:randomly", "-k", " and ".join(f"not {name}" for name in NOT_NEEDED)),
        *map(str, tables),
        str(folder / "tests" / "core" / "test_scheduler_stateful.py"),
    ]
    environ = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TASKFC_HYPOTHESIS": "40",
        "TASKFC_HYPOTHESIS_SHRINK": "no",
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=HANGS_AFTER, check=False
        )
    except subprocess.TimeoutExpired:
        return ""  # noticed as well: some mistakes never come to an end
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.breaks.replace(" ", "-"))
def test_the_text_of_every_mutant_stands_in_the_code(mutant):
    text = (PACKAGE / "core" / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    assert mutant.old != mutant.new


def test_mutants_are_many_and_differ():
    assert len(MUTANTS) >= 24
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


def test_the_mutants_of_today_are_noticed(tmp_path):
    mutants = (None, *chosen())  # without a mistake the copy passes: else nothing would be proved
    folders = [tmp_path / str(i) for i in range(len(mutants))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(survives, mutants, folders))
    assert outcomes[0], "the tests fail on the code as it is"
    assert not [mutant.breaks for mutant, outcome in zip(mutants[1:], outcomes[1:], strict=True) if outcome]
