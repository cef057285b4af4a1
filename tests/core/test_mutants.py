"""The tests of the core notice every mistake of `mutants`.

Each is made in a copy of the package, in which the tables and a short run of the state machine have to fail. All of
them take minutes, so an ordinary run takes a few: the same ones for the same sources, others after a change.
`TASKFC_MUTANTS=all` takes all of them.
"""

from __future__ import annotations

import ast
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import taskfc_ext
from tests.core.mutants import MUTANTS, Mutant
from tests.core.mutate import find, mutate

PACKAGE = Path(taskfc_ext.__file__).parent
TESTS = Path(__file__).parent
N_CHOSEN = 3
"""Mutants of an ordinary run: they take about half a minute."""

HANGS_AFTER = 10
"""Times what the tests take without a mistake, after which they hang: the load of the machine may change meanwhile."""

NOT_NEEDED = ["test_mutants", "ten_thousand", "wait_for_many"]


def choose_mutants() -> list[Mutant]:
    """Return all mutants, or the few that the sources of the core and the mutants themselves select."""
    if os.environ.get("TASKFC_MUTANTS") == "all":
        return list(MUTANTS)
    digest = hashlib.sha256(repr(MUTANTS).encode())
    for file in sorted((PACKAGE / "core").rglob("*.py")):
        digest.update(file.read_bytes())
    return random.Random(digest.digest()).sample(MUTANTS, N_CHOSEN)


def survives(mutant: Mutant | None, folder: Path, timeout: float | None = None) -> str:
    """Return the output of pytest if the tests pass with `mutant`, and "" if they do not, or not in time."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "static", "labextension")
    shutil.copytree(PACKAGE, folder / "taskfc_ext", ignore=ignored)
    (folder / "tests").mkdir()
    (folder / "tests" / "__init__.py").touch()
    shutil.copytree(TESTS, folder / "tests" / "core", ignore=ignored)
    if mutant is not None:
        file, source = mutate(mutant, folder / "taskfc_ext" / "core")
        file.write_text(source)
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
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return ""  # noticed as well: some mistakes never come to an end
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.breaks.replace(" ", "-"))
def test_the_text_of_every_mutant_stands_in_the_code_once(mutant):
    assert len(find(mutant, PACKAGE / "core")) == 1
    file, source = mutate(mutant, PACKAGE / "core")
    assert ast.dump(ast.parse(source)) != ast.dump(ast.parse(file.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "def f(a):\n    if a > 1:\n        return g(a, 2)\n",
        "def f(a):\n    if (\n        a > 1  # why\n    ):\n        return g(\n            a,\n            2,\n)\n",
    ],
)
def test_a_mutant_does_not_depend_on_the_file_line_breaks_and_comments(tmp_path, source):
    (tmp_path / "moved.py").write_text(source)
    _, mutated = mutate(Mutant("f", "g(a, 2)", "h(\n    a\n)", ""), tmp_path)
    expected = source.replace(source[source.index("g(") : source.rindex(")") + 1], "h(a)")
    assert ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(expected))


def test_a_mutant_is_found_in_the_function_that_it_names_only(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    return 1\n\n\nclass C:\n    def f(self):\n        return 1\n")
    assert [len(find(Mutant(where, "return 1", "", ""), tmp_path)) for where in ("f", "a.f", "C.f", "g")] == [
        2,
        1,
        1,
        0,
    ]


def test_the_same_sources_select_the_same_mutants(monkeypatch):
    assert choose_mutants() == choose_mutants()
    monkeypatch.setattr(f"{__name__}.MUTANTS", MUTANTS[1:])
    monkeypatch.delenv("TASKFC_MUTANTS", raising=False)
    others = choose_mutants()
    monkeypatch.undo()
    monkeypatch.delenv("TASKFC_MUTANTS", raising=False)
    assert others != choose_mutants()


def test_mutants_are_many_and_differ():
    assert len(MUTANTS) >= 24
    assert len({(mutant.where, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


def test_the_chosen_mutants_are_noticed(tmp_path):
    began = time.monotonic()
    assert survives(None, tmp_path / "whole"), "the tests fail on the code as it is, so nothing would be proved"
    timeout = HANGS_AFTER * (time.monotonic() - began)
    mutants = choose_mutants()
    with ThreadPoolExecutor(2) as pool:
        outcomes = pool.map(lambda i: survives(mutants[i], tmp_path / str(i), timeout), range(len(mutants)))
        assert not [mutant.breaks for mutant, outcome in zip(mutants, outcomes, strict=True) if outcome]
