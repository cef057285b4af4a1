"""Tasks that harm more than themselves: those of others go on. Real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taskfc_ext import TaskClient, start
from taskfc_ext.controller.room import LOOK_EVERY
from taskfc_ext.drivers.connection_file import read_connection
from taskfc_ext.drivers.paths import farm_paths
from tests.processes import DEADLINE, kill_and_wait, until


def remove_store() -> None:
    shutil.rmtree(farm_paths("default").store)


def remove_journal() -> None:
    farm_paths("default").journal.unlink()


def remove_log() -> None:
    journal = farm_paths("default").journal
    journal.with_name(f"{journal.name}-wal").unlink()


def remove_all_but_the_journal() -> None:
    paths = farm_paths("default")
    for file in paths.store.iterdir():
        if file.is_file() and not file.name.startswith(paths.journal.name):
            file.unlink()
    paths.connection_file.unlink()


def remove_sockets() -> None:
    shutil.rmtree(farm_paths("default").sockets)


def wait_for(gate: str) -> str:
    until(Path(gate).exists, "the gate")
    return "done"


@pytest.mark.parametrize("harm", [remove_store, remove_journal, remove_log, remove_all_but_the_journal, remove_sockets])
def test_what_was_accepted_outlives_removed_files_and_then_all_processes(home: Path, harm: Callable[[], None]) -> None:
    gate = home / "gate"
    with start(2) as farm, farm.client() as client:
        before = client.submit(abs, -1)
        assert before.result(DEADLINE) == 1
        running = client.submit(wait_for, str(gate))
        until(lambda: running.state == "running", "it runs")
        culprit = client.submit(harm)
        culprit.result(DEADLINE)
        until(lambda: read_connection("default") is not None, "it can be found again")
        after = client.submit(abs, -2)
        assert after.result(DEADLINE) == 2
        taskids = before.taskid, culprit.taskid, after.taskid, running.taskid
        kill_and_wait(farm.pid)
        with TaskClient() as newcomer:
            assert newcomer.submit(abs, -3).result(DEADLINE) == 3
            workers = [worker.worker for worker in newcomer.workers()]
        kill_and_wait(farm.supervisor_pid)
        gate.touch()
        until(lambda: read_connection("default") is None, "the farm is dead")
    with TaskClient() as client:
        assert [client.future(taskid).result(DEADLINE) for taskid in taskids] == [1, None, 2, "done"]
        assert min(worker.worker for worker in client.workers()) > max(workers), "ids of workers are never used again"
        client.stop()


REMOVE_AND_GO_ON = """
import shutil, time
from taskfc_ext import start
from taskfc_ext.drivers.paths import farm_paths

with start(1) as farm, farm.client() as client:
    for n in range(3):
        assert client.submit(abs, -n).result(60) == n
        shutil.rmtree(farm_paths("default").store)
        time.sleep(PAUSE)
        assert client.submit(abs, -n).result(60) == n
"""


def test_a_removed_store_is_no_full_disk(home: Path) -> None:
    # The next message comes when the room is looked at. A process of its own has no large modules, which have files.
    script = REMOVE_AND_GO_ON.replace("PAUSE", str(2 * LOOK_EVERY))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=3 * DEADLINE)
    assert "no room" not in farm_paths("default").controller_log.read_text()


def test_a_farm_whose_lock_is_removed_stays_the_only_one(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        pid, paths = farm.supervisor_pid, farm_paths("default")
        paths.lock.unlink()
        farm.connection_file.unlink()
        assert start(1).supervisor_pid == pid
        assert client.submit(abs, -1).result(DEADLINE) == 1


def suspend_later() -> None:
    def act() -> None:
        ended.wait()
        os.kill(os.getpid(), signal.SIGSTOP)

    ended = threading.Event()
    threading.Thread(target=act, daemon=True).start()
    threading.Timer(0.3, ended.set).start()


def test_a_worker_that_an_ended_task_suspends_goes_on(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        [pid] = farm.worker_pids
        client.submit(suspend_later).result(DEADLINE)
        log = farm_paths("default").supervisor_log
        until(lambda: f"pid={pid} was suspended" in log.read_text(), "it is resumed")
        assert client.submit(os.getpid).result(DEADLINE) == pid


def willingness(pid: int | str = "self") -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_when_memory_runs_out_a_task_goes_before_the_notebook_and_the_controller(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        ours = willingness()
        assert client.submit(willingness).result(DEADLINE) > ours or ours == 1000
        assert willingness(farm.pid) == willingness(farm.supervisor_pid) == ours
