"""Broadcasts on a real farm: those who join, those who die, and a farm that is started again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskfc_ext import BroadcastFailed, StringTask, start
from taskfc_ext.client.start import Controller, restart
from tests.processes import DEADLINE, await_workers, until

from .conftest import AsyncFace, BlockingFace, Session, kill, run_script
from .test_seed_interface import wait_for_file


def remember() -> None:
    os.environ["TASKFC_TEST_BROADCAST"] = "here"


def boom() -> None:
    raise ValueError("no data")


def die() -> None:
    os._exit(3)


def n_idle(client: object, n: int) -> bool:
    return sum(worker.state == "idle" for worker in client.workers()) == n  # type: ignore[attr-defined]


def test_both_clients_set_up_every_worker(face: BlockingFace | AsyncFace) -> None:
    assert face.broadcast("base = offset + 2", {"offset": 5}) == 2
    task = StringTask("found = base", pull="found", clear_before=True, clear_after=True)
    assert face.run(task, block=True).ns.found == 7
    with pytest.raises(BroadcastFailed, match=r"failed on 2 of 2 workers: worker \d+: ValueError: no data") as caught:
        face.broadcast(boom)
    assert all("ValueError: no data" in worker.problem for worker in face.workers())
    assert set(caught.value.workers) == {worker.worker for worker in face.workers()}
    assert face.clear_broadcasts() == 2


def test_whoever_joins_runs_it_too(home: Path) -> None:
    with start(1, name="joins") as farm:
        client = farm.client()
        client.broadcast(remember)
        kill(farm.worker_pids[0])
        assert client.submit(os.getenv, "TASKFC_TEST_BROADCAST").result(DEADLINE) == "here"
        client.scale(2)
        await_workers(client, 2)
        until(lambda: n_idle(client, 2), "the second worker is there")
        assert client.broadcast("x = 1") == 2
        client.close()
        restart("joins")
        with farm.client() as again:
            task = StringTask("import os\nfound = os.environ['TASKFC_TEST_BROADCAST'], x", pull="found")
            assert again.run(task, block=True).ns.found == ("here", 1)


def test_one_that_kills_its_workers_ends_after_three_deaths(home: Path) -> None:
    with start(1, name="kills") as farm, farm.client() as client:
        with pytest.raises(BroadcastFailed, match="3 workers died in it"):
            client.broadcast(die)
        assert client.submit(os.getpid).result(DEADLINE) in farm.worker_pids
        (worker,) = client.workers()
        assert worker.problem == "broadcast 1: 3 workers died in it (die), so it is skipped"


def test_one_that_hangs_is_seen_and_the_farm_can_be_stopped(home: Path) -> None:
    with start(1, name="hangs") as farm, farm.client() as client:
        with pytest.raises(TimeoutError, match="it will"):
            client.broadcast("import threading\nthreading.Event().wait()", timeout=0.1)
        until(lambda: [worker.state for worker in client.workers()] == ["setting up"], "it is seen")
        farm.stop()


def test_a_cell_everywhere_and_one_line_when_tasks_have_ended(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = tmp_path / "gate"
    session.ip.user_ns.update(gate=str(gate), wait_for_file=wait_for_file, start=40)
    capsys.readouterr()
    session.run("%%task --everywhere\nimport math\ndef answer(): return math.floor(start) + 2")
    assert capsys.readouterr().out == "ran on 2 workers; workers that join later run it too\n"
    kept = session.run("%%task kept --keep\nwait_for_file(gate)\nanswer()")
    bad = session.run("%%task bad\nwait_for_file(gate)\nraise ValueError('no data')")
    gate.touch()
    until(lambda: kept.done() and bad.done(), "both have ended")
    capsys.readouterr()
    session.run("1")
    session.run("2")
    lines = [line for line in capsys.readouterr().out.splitlines() if "ended" in line]
    ids = f"tasks {kept.taskid}-{bad.taskid}"
    failed = f"(task {bad.taskid} bad: ValueError: no data)"
    assert lines == [f"{ids} have ended: 1 succeeded, 1 failed {failed}"]
    assert kept.result() == 42
    session.run("from taskfc_ext import TaskClient\nwith TaskClient() as c: c.clear_broadcasts()")


def test_a_broadcast_runs_where_it_was_submitted_from(shared_farm: Controller, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tf_far.py").write_text("N = 5")
    text = """
from taskfc_ext import StringTask
file = Path("tf_setting.py")
file.write_text("N = 1")
code = "import sys, tf_setting\\nsys.path.append(folder)\\nkept = tf_setting.N"
client.broadcast(code, {"folder": str(Path("elsewhere").absolute())})
file.write_text("N = 2")
task = StringTask("import tf_far, tf_setting\\nfound = kept, tf_setting.N, tf_far.N", pull="found")
print(client.run(task, block=True).ns.found)
client.clear_broadcasts()
"""
    assert run_script(tmp_path, text) == "(1, 2, 5)\n"


def test_what_a_broadcast_displays_is_no_tasks_output(home: Path) -> None:
    with start(1, name="shows") as farm, farm.client() as client:
        client.broadcast("from IPython.display import HTML, display\ndisplay(HTML('<i>leak</i>'))")
        future = client.submit(pow, 2, 2)
        assert (future.result(DEADLINE), future.outputs) == (4, [])
