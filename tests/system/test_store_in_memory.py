"""Farms that keep their tasks in memory only: nothing on the disk, nothing left, and an end as a whole."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from taskfc_ext import restart, start
from taskfc_ext.cli.__main__ import main
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import Controller, stop
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.survey import find_exposed
from taskfc_ext.errors import ControllerLost, StartFailed, UnknownTask
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus
from tests.processes import DEADLINE, kill_and_wait, until
from tests.system.conftest import Session

LOST = r"farm 'memo' kept its tasks in memory only, and its controller has died"

Say = Callable[..., str]


@pytest.fixture
def taskfc(home: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command of the terminal and return what it prints."""

    def run(*words: str) -> str:
        capsys.readouterr()
        main(words)
        return capsys.readouterr().out

    return run


@pytest.fixture
def farm(home: Path) -> Iterator[Controller]:
    """A farm in memory of two workers, with nothing left of it at the end."""
    farm = start(2, name="memo", store="memory")
    paths = LocalFarm("memo").current_paths()
    yield farm
    farm.stop()
    assert left_of(paths) == []


def left_of(paths: FarmPaths) -> list[str]:
    """Return what is left of the tasks of a farm in memory."""
    in_memory = [paths.memory] if paths.memory is not None and paths.memory.exists() else []
    return [str(each) for each in (*in_memory, *paths.store.glob("journal*"))]


def kill_all(farm: Controller) -> None:
    """Kill all processes of a farm, the supervisor first."""
    for pid in (farm.supervisor_pid, farm.pid):
        kill_and_wait(pid)


def test_tasks_and_large_data_are_in_memory_and_nothing_is_left_after_a_stop(farm: Controller) -> None:
    paths = LocalFarm("memo").current_paths()
    assert paths.memory is not None
    array = np.arange(1_000_000)
    with farm.client() as client:
        assert client.submit(np.sum, array).result(DEADLINE) == array.sum()
        assert (client.submit(np.copy, array).result(DEADLINE) == array).all()
        assert paths.journal.exists()
        assert list(paths.payloads.iterdir())
        assert list(paths.store.glob("journal*")) == []
        assert find_exposed(paths) == []
        farm.stop()
        assert left_of(paths) == []  # though the client is still there


def test_a_killed_controller_ends_the_farm_and_all_waits(farm: Controller) -> None:
    local = LocalFarm("memo")
    pids = [farm.pid, farm.supervisor_pid, *farm.worker_pids]
    errors: list[BaseException] = []
    with farm.client() as client, farm.client() as viewer:
        news = viewer.watch()
        first = client.submit(abs, -1)
        assert first.result(DEADLINE) == 1
        futures = [client.submit(time.sleep, 0.01 if n < 100 else DEADLINE) for n in range(300)]

        def wait_for_all() -> None:
            try:
                client.barrier()
            except BaseException as error:
                errors.append(error)

        barrier = threading.Thread(target=wait_for_all)
        barrier.start()
        client.flush()
        futures[5].result(DEADLINE)
        os.kill(farm.pid, signal.SIGKILL)
        with pytest.raises(ControllerLost, match=LOST) as caught:
            futures[-1].result(DEADLINE)
        assert caught.value.hint == "its tasks are gone: submit them again"
        barrier.join(DEADLINE)
        assert [type(error) for error in errors] == [ControllerLost]
        assert all(future.done() for future in futures)
        status = next(each for each in news if isinstance(each, FarmStatus) and each.state is FarmState.DEAD)
        assert "it kept its tasks in memory only, and they are gone" in status.message
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "its processes have ended")
        assert local.condition() is Condition.LOST
        assert left_of(local.current_paths()) == []
        # a fresh farm of the same options
        again = client.submit(os.getpid)
        assert again.result(DEADLINE) not in pids
        assert again.taskid == first.taskid == 0
        assert local.condition() is Condition.ALIVE
        assert local.is_in_memory
        until(lambda: len(client.workers()) == 2, "it has as many workers")
        for question in (first.retry, futures[-1].retry, futures[-1].abort):
            with pytest.raises(UnknownTask, match="was started with a fresh store since"):
                question()
        assert [task.taskid for task in client.list_tasks()] == [0]


def test_a_client_that_comes_late_takes_no_task_of_the_next_store_for_its_own(farm: Controller) -> None:
    with farm.client() as idle:
        mine = idle.submit(abs, -1)
        assert mine.result(DEADLINE) == 1
        kill_all(farm)
        with start(1, name="memo", store="memory").client() as other:
            assert other.submit(abs, -2).result(DEADLINE) == 2
            with pytest.raises(UnknownTask, match="was started with a fresh store since"):
                mine.retry()
            assert idle.submit(abs, -3).result(DEADLINE) == 3
            assert len(other.list_tasks()) == 2


def test_what_a_killed_farm_has_left_is_removed_by_the_next_start_of_any(farm: Controller) -> None:
    local = LocalFarm("memo")
    folder = local.current_paths().memory
    assert folder is not None
    kill_all(farm)
    assert (folder / "journal.sqlite").exists()
    assert local.condition() is Condition.LOST
    with start(0, name="other"):
        assert not folder.exists()
    assert local.condition() is Condition.LOST
    stop(local)
    assert local.condition() is Condition.STOPPED


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_store_on_the_disk_waits_for_the_next_start_on_the_disk(home: Path, how: str) -> None:
    farm = start(0, name="memo")
    with farm.client() as client:
        client.submit(abs, -7).retry_of  # noqa: B018
        client.flush()
    farm.stop() if how == "stopped" else kill_all(farm)
    in_memory = start(1, name="memo", store="memory", fresh=True)
    assert in_memory.put_aside is None
    with in_memory.client() as client:
        assert client.list_tasks() == []
        assert client.submit(abs, -8).result(DEADLINE) == 8
    in_memory.stop()
    with start(1, name="memo") as farm, farm.client() as client:
        assert not LocalFarm("memo").is_in_memory
        assert client.future(0).result(DEADLINE) == 7


def test_a_running_farm_keeps_its_place(farm: Controller) -> None:
    assert start(name="memo").attached
    assert start(name="memo", store="memory").attached
    with pytest.raises(StartFailed, match="farm 'memo' runs, and keeps its tasks in memory only"):
        start(name="memo", store="disk")
    with start(0, name="other"), pytest.raises(StartFailed, match="farm 'other' runs, and keeps its tasks on the disk"):
        start(name="other", store="memory")


def test_a_restart_begins_empty(farm: Controller) -> None:
    with farm.client() as client:
        assert client.submit(abs, -1).result(DEADLINE) == 1
    with restart("memo").client() as client:
        assert client.list_tasks() == []
        assert LocalFarm("memo").is_in_memory


def test_the_terminal_says_where_the_tasks_are(taskfc: Say) -> None:
    with pytest.raises(SystemExit):
        taskfc("start", "--name", "memo", "--store", "memory", "--durability", "disk")
    first, _ = taskfc("start", "-n", "1", "--name", "memo", "--store", "memory").splitlines()
    assert first == "memo: keeps its tasks in memory only: they are gone when it ends"
    folder = str(LocalFarm("memo").current_paths().memory)
    listed = taskfc("list")
    assert folder in listed
    assert "keeps its tasks in memory only" in listed
    assert "keeps tasks in memory only: they are gone when it ends" in taskfc("status", "--name", "memo")
    assert f"{folder}, in memory only" in taskfc("doctor", "memo")
    assert "memo: keeps its tasks in memory only, and begins empty" in taskfc("restart", "--name", "memo")
    assert taskfc("stop", "--name", "memo") == "memo: stopped; its tasks were in memory only, and are gone\n"
    assert "when it ran last, its tasks were in memory only, and are gone" in taskfc("doctor", "memo")
    assert taskfc("forget", "memo") == "memo: deleted, with its tasks and results\n"


def test_the_magics_say_it_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    try:
        session.run("%task start -n 1 --store memory")
        assert "default: keeps its tasks in memory only: they are gone when it ends" in capsys.readouterr().out
        session.run("%task abs(-5)")
        assert session.run("%task result 0") == 5
        session.run("%task restart")
        assert "default: keeps its tasks in memory only, and begins empty" in capsys.readouterr().out
        session.run("%task stop")
        assert "default: stopped; its tasks were in memory only, and are gone" in capsys.readouterr().out
    finally:
        session.close()
