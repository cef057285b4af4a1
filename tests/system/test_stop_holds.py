"""A stop that was answered holds until somebody starts the farm or submits after it, whoever waits for the farm."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskfc_ext import TaskClient, start
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm, launch
from taskfc_ext.client.start import farm_options
from taskfc_ext.drivers.stops import count_stops, note_stop
from taskfc_ext.errors import ControllerStopped
from tests.processes import DEADLINE, kill_and_wait, until


def by_revival(farm: LocalFarm) -> None:
    farm.revive()


def by_start(farm: LocalFarm) -> None:
    launch(farm.paths, farm_options(1))


def by_client(farm: LocalFarm) -> None:
    TaskClient(farm.name).close()


@pytest.mark.parametrize("begin", [by_revival, by_start, by_client], ids=lambda begin: begin.__name__)
def test_who_waited_while_the_farm_started_slowly_does_not_undo_a_stop(
    home: Path, begin: Callable[[LocalFarm], None]
) -> None:
    """The farm that starts slowly is one that holds the lock, and has not said yet where it is."""
    start(1).stop()
    farm = LocalFarm("default")
    errors: list[Exception] = []

    def wait_for_the_farm() -> None:
        try:
            begin(farm)
        except Exception as error:
            errors.append(error)

    with open(farm.paths.lock, "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(b"{}")  # as a farm does that starts
        lock.flush()
        waiting = threading.Thread(target=wait_for_the_farm)
        waiting.start()
        until(lambda: is_waited_for(farm), "another supervisor waits for the lock")
        note_stop(farm.paths)
        lock.truncate(0)
    waiting.join(DEADLINE)
    assert [type(error) for error in errors] == [ControllerStopped]
    assert farm.condition() is Condition.STOPPED
    start(1).stop()  # an explicit start is one


def is_waited_for(farm: LocalFarm) -> bool:
    """Whether another process has the lock file open."""
    wanted = os.stat(farm.paths.lock)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if folder.parent.name == str(os.getpid()):
            continue
        try:
            if any(os.path.samestat(os.stat(fd), wanted) for fd in folder.iterdir()):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("owed", [True, False], ids=["that waits", "that submits meanwhile"])
def test_a_client_of_a_farm_that_answers_late_does_not_undo_a_stop(home: Path, owed: bool) -> None:
    farm = start(1)
    client = farm.client()
    future = client.submit(time.sleep, 600) if owed else client.submit(abs, -1)
    client.flush()
    if not owed:
        future.result(DEADLINE)
    kill_and_wait(farm.supervisor_pid)
    if owed:
        until(lambda: farm._farm.connection() is not None, "the client has brought it back")
    else:
        start(1)
    os.kill(farm.pid, signal.SIGSTOP)  # it has just started, and is busy
    if not owed:
        future = client.submit(time.sleep, 600)
    farm.stop()
    with pytest.raises(ControllerStopped):
        future.result(DEADLINE)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:  # nothing tells of what does not happen
        assert farm._farm.condition() is Condition.STOPPED
        threading.Event().wait(0.02)
    assert client.submit(abs, -1).accepted is not None  # a submission after it starts the farm
    client.flush()
    until(lambda: farm._farm.condition() is Condition.ALIVE, "the farm is back")
    client.close()
    farm.stop()


def test_stops_are_counted_however_they_come(home: Path) -> None:
    paths = LocalFarm("default").paths
    start(1).stop()
    assert count_stops(paths) == 1
    farm = start(1)
    with farm.client() as client:
        client.stop()
    until(lambda: farm._farm.condition() is Condition.STOPPED, "it has stopped")
    assert count_stops(paths) == 2
    farm = start(1)
    os.kill(farm.supervisor_pid, signal.SIGTERM)
    until(lambda: farm._farm.condition() is Condition.STOPPED, "it has stopped")
    assert count_stops(paths) == 3
