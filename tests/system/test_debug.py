"""`%task debug` on a real farm, in an IPython of its own that is typed into through a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskfc_ext import TaskClient
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE

from .conftest import Session


def ipython(typed: str, folder: Path) -> str:
    """Return what an IPython prints that has this typed into it."""
    environ = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    done = subprocess.run(
        command, input=typed, env=environ, cwd=folder, text=True, capture_output=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_the_debugger_stands_in_the_cell(shared_farm: Controller, tmp_path: Path) -> None:
    with TaskClient() as client:
        ten = client.submit(abs, -10)
        failed = client.submit_cell("y = %who_ls\nx = 6 * n\nx + ten / 0", {"n": 7, "ten": ten}, name="fit")
        assert isinstance(failed.exception(DEADLINE), ZeroDivisionError)
    typed = f"%load_ext taskfc_ext\n%task debug {failed.taskid}\npp (x, ten)\nq\nprint('the', 'end')\n%debug\npp n\nq\n"
    out = ipython(typed, tmp_path)
    assert f"replaying task {failed.taskid} fit here, with its recorded inputs" in out
    shown, _, typed_into = out.partition("ZeroDivisionError: division by zero")
    assert f"<task {failed.taskid}>" in shown
    assert "----> 3 x + ten / 0" in shown
    first, _, later = typed_into.partition("the end")
    assert "(42, 10)" in first
    assert re.search(r"ipdb> .*\b7\b", later)


def test_a_function_of_the_notebook_is_replayed_and_its_value_returned(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mended = tmp_path / "mended"
    session.run(f"import pathlib\ndef half(x):\n    assert pathlib.Path({str(mended)!r}).exists()\n    return x / 2")
    future = session.run("t = %task half(8)\nt.exception()\nt")
    mended.touch()
    assert session.run("%task debug t") == 4.0
    assert f"task {future.taskid} half(8) does not raise here" in capsys.readouterr().out
