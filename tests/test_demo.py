"""The first notebook runs from top to bottom, finds what it should, and leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "01_first_task.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_the_demo_finds_what_it_should(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/run_demo.py", "--output", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TMPDIR": "/tmp"},  # pytest's own folders are too deep for a socket's path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = done.stdout
    assert "digits: the best of 16 models" in found
    assert "162 vanilla prices against Black-Scholes" in found
    assert "answered at attempt 3" in found
    assert "ZeroDivisionError: division by zero" in found
    assert "TaskAborted" in found
    executed = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)
    pictures = [
        output for cell in executed.cells for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
