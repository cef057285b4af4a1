"""Notebooks give the same as tasks: the short form of `make same`, with real kernels and farms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.same.__main__ import NOTEBOOKS
from tests.same.cells import read_cells

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("classes", "odd_python", "settings", "text")
"""Those that import little; `make same` runs all."""

AT_LEAST = 0.95
"""Of the cells of the short form: never less than was reached."""


def run_same(*arguments: object) -> tuple[int, list[str]]:
    """Run the command; return its exit code and its lines."""
    command = [sys.executable, "-m", "tests.same", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert "notebook" in done.stdout, done.stdout + done.stderr
    return done.returncode, done.stdout.splitlines()


def test_the_cells_of_notebooks_give_the_same_as_tasks(home: Path) -> None:
    _, lines = run_same(*(NOTEBOOKS / f"{name}.py" for name in SHORT))
    reached = float(next(line for line in lines if line.startswith("all ")).split()[-1].rstrip("%")) / 100
    assert reached >= AT_LEAST, "\n".join(lines)


def test_a_cell_that_differs_is_named_and_fails_the_run(home: Path, tmp_path: Path) -> None:
    sources = ("import os", "x = [1, 2]\nprint(x)\nlen(x)", "here = os.getpid()", "here", "1 / 0")
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)]), path)
    code, lines = run_same(path)
    assert code == 1
    assert "all       4      2  50.0%" in lines
    differ = [line.partition(": ")[0::2] for line in lines if line.startswith("mine, cell ")]
    assert [where for where, _ in differ] == ["mine, cell 3", "mine, cell 4"]
    assert [what.split(":")[0] for _, what in differ] == ["name", "follows"]


def test_what_is_captured_and_what_a_pager_shows_is_compared(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        '# %%\ndef double(x):\n    """Return twice."""\n    return 2 * x\n\n'
        '# %%\n# %%capture out\nprint("kept", double(2))\n\n# %%\nout.stdout\n\n# %%\ndouble?\n'
    )
    code, lines = run_same(path)
    assert (code, lines[-1]) == (0, "100.0% of the cells give the same; promised are 95%")
    assert "all       4      4  100.0%" in lines


def test_calls_of_its_functions_give_the_same_as_tasks(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    cells = (
        "scale = 3\ndef times(x):\n    print('at', x)\n    return x * scale",
        "times(2)",
        "list(map(times, [1, 2]))",
    )
    path.write_text("".join(f"# %%\n{cell}\n\n" for cell in (*cells, "times(None)")))
    _, lines = run_same("--as", "calls", path)
    assert "mine, cell 2" not in "\n".join(lines)
    assert "mine, cell 4" not in "\n".join(lines)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_of_ours_is_one_that_people_write(path: Path) -> None:
    cells = read_cells(path)
    assert 8 <= len(cells) <= 30
    assert any(cell.is_set_up for cell in cells)
    assert path.read_text().startswith("# %% [markdown]\n")
