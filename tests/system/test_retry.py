"""Running again what has failed, on a real farm: in both clients, in a notebook, and after everything was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskfc_ext import DependencyFailed, start
from taskfc_ext.errors import UnknownTask
from tests.processes import DEADLINE, until

from .conftest import AsyncFace, BlockingFace, Session, kill


def read_number(path: str) -> int:
    """Fail unless the file is there."""
    return int(Path(path).read_text())


def add(x: int, y: int) -> int:
    return x + y


def test_the_task_and_its_dependants_run_again(face: BlockingFace | AsyncFace, tmp_path: Path) -> None:
    missing = tmp_path / "number"
    number = face.with_options(name="number").submit(read_number, str(missing))
    one = face.submit(abs, -1)
    total = face.submit(add, number, one)
    last = face.with_options(after=total).submit(abs, -5)
    with pytest.raises(FileNotFoundError):
        face.result(number)
    with pytest.raises(DependencyFailed):
        face.result(last)
    missing.write_text("41")
    again = face.retry(number)
    assert face.result(again) == 41
    infos = {task.retry_of: task for task in face.list_tasks(limit=3) if task.retry_of is not None}
    assert infos.keys() == {number.taskid, total.taskid, last.taskid}
    assert face.result(face.future(infos[total.taskid].taskid)) == 42
    assert face.result(face.future(infos[last.taskid].taskid)) == 5
    assert face.future("number").taskid == again.taskid
    assert face.list_tasks(taskids=[again.taskid])[0].retry_of == number.taskid
    assert face.resubmit(one).keys() == {one.taskid}
    with pytest.raises(UnknownTask):
        face.retry(10**6)


def wait_for(path: str) -> str:
    """Wait for a file that the test makes."""
    import time

    while not Path(path).exists():
        time.sleep(0.01)
    return path


def test_the_newest_of_a_name_is_the_one_submitted_last_also_when_it_ended_first(
    face: BlockingFace | AsyncFace, tmp_path: Path
) -> None:
    late = face.with_options(name="late").submit(wait_for, str(tmp_path / "go"))
    newest = face.with_options(name="late").submit(abs, -1)
    try:
        assert face.result(newest) == 1
        assert face.future("late").taskid == newest.taskid  # an older one that still runs is not newer
        assert [task.taskid for task in face.list_tasks(limit=1)] == [newest.taskid]
    finally:
        (tmp_path / "go").touch()
    face.result(late)
    assert face.future("late").taskid == newest.taskid
    assert [task.taskid for task in face.list_tasks(limit=1)] == [newest.taskid]


def test_a_task_of_another_client_runs_again_after_the_controller_was_killed(home: Path) -> None:
    missing = home / "number"
    with start(1) as controller:
        with controller.client() as client:
            taskid = client.submit(read_number, str(missing)).exception(DEADLINE) and 0
        kill(controller.pid)
        with controller.client() as client:
            missing.write_text("7")
            again = client.future(taskid).retry()
            assert again.result(DEADLINE) == 7
            client.clear([taskid])
            with pytest.raises(UnknownTask):
                client.retry(taskid)
            assert client.retry(again).result(DEADLINE) == 7


def test_the_magic(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "number"
    session.ip.user_ns.update(missing=str(missing), read_number=read_number)
    number = session.run("%%task number\nread_number(missing)")
    total = session.run("%%task total --after number\n1 + 1")
    until(lambda: number.done() and total.done(), "both have failed")
    missing.write_text("3")
    capsys.readouterr()
    session.run("%task retry number")
    ids = [session.ip.user_ns[name].taskid for name in ("number", "total")]
    line = f"Task {number.taskid} runs again as task {ids[0]}, with dependant {total.taskid} as {ids[1]}."
    assert capsys.readouterr().out.splitlines()[0] == line
    assert session.run("%task result number,total") == [3, 2]
    session.run("%task wait")
    session.run("%task status number")
    assert f"retry of {number.taskid}" in session.ip.display_pub.outputs[-1]["data"]["text/plain"]
    session.run("%task show number")
    assert f"retry of {number.taskid} · as of" in session.ip.display_pub.outputs[-1]["data"]["text/plain"]
    button = session.run("number").retry()  # what the button on the card does
    button.result(DEADLINE)
    session.ip.user_ns["again"] = button
    session.run("%task show again")
    assert f"retry of {ids[0]} · as of" in session.ip.display_pub.outputs[-1]["data"]["text/plain"]
