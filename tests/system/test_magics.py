"""The magics on a real farm: in a shell of this process, and in a kernel that a notebook is run in."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

import nbformat
import pytest
from IPython.core.error import UsageError
from nbclient.exceptions import CellExecutionError

from taskfc_ext import TaskAborted, TaskClient, TaskFuture
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import Controller, stop
from taskfc_ext.drivers.cores import available_cores
from tests.processes import DEADLINE, run_notebook, until

from .conftest import Session


def test_a_cell_runs_elsewhere_and_its_names_come_back(session: Session) -> None:
    session.run("import math, os\nfactor = 2\ndef area(r): return factor * math.pi * r * r")
    fit = session.run("%%task fit -o pid, shape\npid = os.getpid()\nshape = area(3)\nprint('working')\nshape + 1")
    assert isinstance(fit, TaskFuture)
    assert fit.accepted
    assert fit.result(DEADLINE) == pytest.approx(57.5487, abs=1e-3)
    assert fit.ns.pid != os.getpid()
    assert fit.stdout == "working\n"
    session.run("%task pull fit -o shape")
    assert session.ip.user_ns["shape"] == fit.ns.shape


def test_a_line_a_dependency_and_a_future_among_the_names(session: Session) -> None:
    session.run("a = %task 20 + 1")
    b = session.run("%%task b --after a\n2 * a")
    assert b.result(DEADLINE) == 42
    assert session.run("%task result a") == 21
    assert session.run("%task result b") == 42
    assert session.run(f"%task result {b.taskid}") == 42


def test_ipythons_syntax_works_in_a_cell(session: Session) -> None:
    session.run("word = 'hello'")
    t = session.run("%%task\nimport asyncio\nout = !echo {word}\nawait asyncio.sleep(0)\n%time x = 3\nout[0], x")
    assert t.result(DEADLINE) == ("hello", 3)


def test_wait_binds_and_a_failure_is_raised_here(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.run("%%task -o y --wait\ny = 6")
    assert session.ip.user_ns["y"] == 6
    for cell in ("%%task bad --wait\n1 / 0", "%task result bad", "%task pull bad"):
        capsys.readouterr()
        assert isinstance(session.error(cell), ZeroDivisionError)
        shown = capsys.readouterr().out
        assert "1 / 0" in shown
        assert "future.py" not in shown  # the way it took here is of no interest


def test_the_results_are_there_for_the_next_kernel(session: Session, shared_farm: Controller) -> None:
    session.run("%%task kept -o y\ny = 5\ny * 2")
    session.run("%task wait kept")
    later = Session()
    try:
        assert later.run("%task result kept") == 10
        later.run("%task pull kept")
        assert later.ip.user_ns["y"] == 5
        later.run("%task show kept")
        text = later.ip.display_pub.outputs[-1]["data"]["text/plain"]
        assert "succeeded" in text
        assert text.endswith("10")
    finally:
        later.close()


def test_status_wait_clear_and_abort(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.run("%%task slow\nimport time\ntime.sleep(600)")
    session.run("%%task quick\n1")
    session.run("%task wait quick")
    session.run("%task")
    text = session.ip.display_pub.outputs[-1]["data"]["text/plain"]
    assert "slow" in text
    assert "quick" in text
    session.run("%task abort slow")
    session.run("%task wait")
    assert isinstance(session.error("%task result slow"), TaskAborted)
    capsys.readouterr()
    session.run("%task clear")
    assert capsys.readouterr().out == "Cleared 2 finished tasks.\n"
    assert type(session.error("%task result slow")) in (UsageError, TaskAborted)


def test_what_any_client_of_the_notebook_has_submitted_is_waited_for(session: Session) -> None:
    with TaskClient() as client:
        futures = [client.with_options(name=f"of-{i}").submit(abs, -i) for i in range(2000)]
        assert session.run("%task result of-1999") == 1999
        more = [client.submit(abs, -i) for i in range(2000)]
        session.run("%task wait")
        assert all(future.done() for future in futures + more)


def waits() -> bool:
    """Whether the main thread waits for a task just now."""
    inside = {BlockingTaskClient.barrier.__code__, TaskFuture.result.__code__}
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return any(outer.f_code in inside for outer, _ in traceback.walk_stack(frame))


def test_ctrl_c_ends_a_wait_and_harms_nothing(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    task = session.run("%%task slow\nimport time\ntime.sleep(600)")

    def press() -> None:
        until(waits, "the cell waits")
        os.kill(os.getpid(), signal.SIGINT)

    for cell in ("%task wait", "%task result slow"):
        presser = threading.Thread(target=press)
        presser.start()
        capsys.readouterr()
        assert isinstance(session.error(cell), KeyboardInterrupt)
        presser.join()
        assert " goes on: `%task wait " in capsys.readouterr().out
    assert task.state in ("scheduled", "running")
    task.abort()
    session.run("%task wait")


def test_a_condition_and_a_recovery(session: Session) -> None:
    session.run("least = 0\ndef again(): return 'recovered'")
    task = session.run("%%task --depend \"properties.get('gpu', least) == 0\" --recover again\n1 / 0")
    assert task.result(DEADLINE) == "recovered"


def test_resources_that_the_farm_has_not_are_bad_usage(session: Session) -> None:
    error = session.error("%%task --cores 100000\n1")
    assert (type(error), str(error)) == (
        UsageError,
        f"%%task: cores=100,000: this farm has {max(2, available_cores())}",
    )
    assert session.run("%%task --cores 1 --memory 1G\n2").result(DEADLINE) == 2


def test_unknown_tasks_are_bad_usage(session: Session) -> None:
    for cell in ("%task result 99999", "%task log 99999", "%task abort no_such_name", "%task clear 99999"):
        assert type(session.error(cell)) is UsageError


@pytest.fixture
def notebook_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = home / "nb"
    folder.mkdir()
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return folder


def test_a_notebook_shows_and_saves_its_cards(notebook_folder: Path) -> None:
    cells = [
        "%load_ext taskfc_ext",
        "%task start -n 1",
        "%%task fit\nprint('<b>working</b>')\n6 * 7",
        "%task wait",
        "fit.result()",
        "%%task bad\nraise ValueError('<i>no</i>')",
        "bool(bad.exception())",
        "%task",
        "%task stop",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    run_notebook(notebook, notebook_folder)
    outputs = [cell.outputs for cell in notebook.cells]
    card = outputs[2][0].data
    assert card["text/plain"].startswith("✔ task 0 fit · succeeded · ")
    assert card["text/plain"].endswith("    <b>working</b>\n    42")
    assert "&lt;b&gt;working&lt;/b&gt;" in card["text/html"]
    assert outputs[4][0].data["text/plain"] == "42"
    failed = outputs[5][0].data
    assert failed["text/plain"].startswith("✘ task 1 bad · failed")
    assert "ValueError: <i>no</i>" in failed["text/plain"]
    assert "<i>" not in failed["text/html"]
    assert "1 worker" in outputs[7][0].data["text/plain"]
    assert all(output.output_type != "error" for group in outputs for output in group)


def test_a_refused_restart_leaves_the_futures_of_the_notebook_as_they_are(session: Session, tmp_path: Path) -> None:
    wait = f"while not pathlib.Path('{tmp_path}/go').exists():\n    time.sleep(0.01)"
    session.run(f"%%task lasting --timeout 60\nimport pathlib, time\n{wait}")
    for wrong in ("--on 127.0.0.1:8786", "--on tcp://head", "--on no_such", "--resources a.b=1.5", "--idle 3"):
        session.error(f"%task restart {wrong}")
    assert session.run("lasting.done()") is False
    (tmp_path / "go").touch()
    assert session.run(f"lasting.exception({DEADLINE})") is None


def test_a_headless_run_with_a_failed_task_fails(notebook_folder: Path) -> None:
    cells = ["%load_ext taskfc_ext", "%task start -n 1", "%%task bad\nraise ValueError('no')", "%task wait"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError, match=r"1 of 1 task did not succeed: task 0 bad \(failed: ValueError: no\)"):
        run_notebook(notebook, notebook_folder)
    stop(LocalFarm("default"))
    (output,) = notebook.cells[-1].outputs
    assert len(output.traceback) == 1
