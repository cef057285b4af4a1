"""The notebooks run from top to bottom, find what they should, and leave nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.joinpath("notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_the_demo_finds_what_it_should(tmp_path: Path) -> None:
    found = execute("01_first_task.ipynb", tmp_path)
    assert "digits: the best of 16 models" in found
    assert "162 vanilla prices against Black-Scholes" in found
    assert "answered at attempt 3" in found
    assert "ZeroDivisionError: division by zero" in found
    assert "TaskAborted" in found
    assert pictures(tmp_path / "01_first_task.ipynb") == 3


def test_what_is_killed_loses_nothing(tmp_path: Path) -> None:
    found = execute("03_when_things_die.ipynb", tmp_path)
    assert "40 results, all equal to those computed here" in found
    assert "poison: WorkerLost after 3 attempts" in found
    assert "killed by SIGSEGV" in found
    assert "letter: WorkerLost after 1 attempt" in found
    assert "done, the second time" in found
    assert "the queue at the end: 41 succeeded, 2 failed" in found
    assert pictures(tmp_path / "03_when_things_die.ipynb") == 1


def test_cells_as_tasks(tmp_path: Path) -> None:
    found = execute("02_cells_as_tasks.ipynb", tmp_path)
    assert "task 0: ValueError" in found
    assert "task 1: accuracy 0.79" in found
    assert "figures on the card: 1" in found
    assert "endless: aborted, TaskAborted" in found
    assert "1,600 digits: 0.9" in found
    cells = {cell.id: cell for cell in nbformat.read(tmp_path / "02_cells_as_tasks.ipynb", as_version=4).cells}
    card, *beneath = [output.data for output in cells["figure"].outputs]
    assert "succeeded" in card["text/plain"]
    assert sum("image/png" in data for data in beneath) == 1


def execute(name: str, folder: Path) -> str:
    """Run a notebook into `folder` and return what it found."""
    done = subprocess.run(
        [sys.executable, "scripts/run_demo.py", f"notebooks/{name}", "--output", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TMPDIR": "/tmp"},  # pytest's own folders are too deep for a socket's path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pictures(path: Path) -> int:
    """Return how many pictures an executed notebook shows."""
    cells = nbformat.read(path, as_version=4).cells
    return sum("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", ()))
