"""Hold, release and move on a real farm, in both clients and in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskfc_ext import start
from tests.processes import DEADLINE, until

from .conftest import AsyncFace, BlockingFace, Session, kill
from .test_seed_interface import wait_for_file


def note(name: str, path: str) -> None:
    """Write down that it ran."""
    with open(path, "a") as file:
        file.write(name)


def test_a_held_task_waits_for_its_release_and_a_moved_one_goes_first(
    face: BlockingFace | AsyncFace, tmp_path: Path
) -> None:
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    running = [face.submit(wait_for_file, str(gate)) for _ in range(2)]
    after = face.with_options(after=running)
    futures = {name: after.submit(note, name, str(ran)) for name in "abc"}
    face.flush()
    until(lambda: face.queue_status()["pending"] == 2, "two tasks run")
    assert face.hold([running[0], futures["a"]]) == [running[0].taskid]
    face.move(futures["c"], 3)
    (info,) = face.list_tasks(taskids=[futures["a"].taskid])
    assert (info.state, info.held) == ("waiting", True)
    (info,) = face.list_tasks(taskids=[futures["c"].taskid])
    assert info.priority == 3
    gate.touch()
    for future in running:
        face.result(future)
    until(lambda: face.list_tasks(taskids=[futures["a"].taskid])[0].state == "scheduled", "it could run")
    for name in "bc":
        face.result(futures[name])
    assert not futures["a"].done()
    face.release(futures["a"])
    face.result(futures["a"])
    assert ran.read_text()[-1] == "a"
    assert sorted(ran.read_text()) == ["a", "b", "c"]


def test_a_hold_survives_the_controller(home: Path) -> None:
    with start(1) as controller, controller.client() as client:
        gate = home / "gate"
        running = client.submit(wait_for_file, str(gate))
        held = client.submit(abs, -3)
        until(lambda: running.state == "running", "it runs")
        assert client.hold(held) == []
        old = controller.pid
        kill(old)
        gate.touch()
        assert running.result(DEADLINE) == "done"
        assert client.submit(abs, -1).result(DEADLINE) == 1
        assert controller.pid != old
        assert not held.done()
        client.release(held)
        assert held.result(DEADLINE) == 3


def test_the_magics(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate, released = tmp_path / "gate", tmp_path / "released"
    session.ip.user_ns.update(gate=str(gate), released=str(released), wait_for_file=wait_for_file)
    one, two = session.run("%%task one\nwait_for_file(gate)"), session.run("%%task two\nwait_for_file(gate)")
    later = session.run("%%task later\nwait_for_file(released)\n42")
    until(lambda: one.state == two.state == "running", "both run")
    capsys.readouterr()
    session.run("%task hold later,one")
    assert capsys.readouterr().out.splitlines() == [
        f"Held task {later.taskid}; task {one.taskid} is with a worker already (abort it instead)."
    ]
    session.run("%task move later --priority 5")
    session.run("%task status later")
    assert "scheduled (held)" in session.ip.display_pub.outputs[-1]["data"]["text/plain"]
    gate.touch()
    session.run("%task wait one,two")
    assert not later.done()
    capsys.readouterr()
    session.run("%task release later")
    assert capsys.readouterr().out == f"Released task {later.taskid}.\n"
    released.touch()
    assert later.result(DEADLINE) == 42
