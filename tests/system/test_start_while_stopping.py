"""Tests of a start that comes while the farm is being stopped: it waits for the end, and starts the farm again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from taskfc_ext import StartFailed, TaskClient, start
from taskfc_ext.client import stop as client_stop
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.client.start import stop
from taskfc_ext.drivers.connection_file import ConnectionInfo
from taskfc_ext.server_extension.starting import start_farm
from tests.processes import DEADLINE, until


def from_the_sidebar() -> None:
    assert start_farm("default", None, "/tmp").said == "Farm default runs, with 1 worker."


def from_python() -> None:
    assert not start(1).attached


@pytest.mark.parametrize("again", [from_the_sidebar, from_python])
def test_a_start_while_the_farm_is_being_stopped_starts_it_again(home: Path, again: Callable[[], None]) -> None:
    farm = LocalFarm("default")
    controller = start(1)
    with controller.client() as client:
        assert client.submit(abs, -1).result(DEADLINE) == 1
    first, n_stops = controller.pid, farm.stops()
    stopping = threading.Thread(target=controller.stop)
    stopping.start()
    deadline = time.monotonic() + DEADLINE
    while farm.stops() == n_stops and time.monotonic() < deadline:
        pass  # without a pause: the old controller ends some milliseconds after the stop is counted
    again()
    stopping.join(DEADLINE)
    found = farm.connection()
    assert found is not None
    assert found.pid != first
    with start(1).client() as client:
        assert client.submit(abs, -2).result(DEADLINE) == 2
    stop(farm)
    assert farm.connection() is None


def by_stop(farm: LocalFarm) -> None:
    stop(farm)


def by_stop_after_a_request(farm: LocalFarm) -> None:
    with TaskClient() as client:
        client.stop()  # returns when the stop is counted
    stop(farm)


@pytest.mark.parametrize("end", [by_stop, by_stop_after_a_request])
def test_a_farm_that_was_started_after_its_end_is_not_stopped_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[LocalFarm], None]
) -> None:
    farm, wait_for_end = LocalFarm("default"), client_stop._wait_for_end

    def wait_for_end_and_start(farm: LocalFarm, running: ConnectionInfo) -> None:
        wait_for_end(farm, running)
        monkeypatch.setattr(client_stop, "_wait_for_end", wait_for_end)
        assert not start(1).attached

    start(1)
    monkeypatch.setattr(client_stop, "_wait_for_end", wait_for_end_and_start)
    end(farm)
    assert farm.connection() is not None
    stop(farm)
    assert farm.connection() is None


def test_a_second_stop_does_not_start_the_farm_again(home: Path) -> None:
    farm = LocalFarm("default")
    with start(1).client() as client:
        client.submit(ignore_signals, DEADLINE)
        until(lambda: client.list_tasks(states=["running"]), "the task runs")
        client.stop()
        client.stop()
    assert farm.stops() == 1
    stop(farm)
    log = farm.paths.supervisor_log.read_text()
    assert log.count("starts with") == 1


def ignore_signals(seconds: float) -> None:
    """Hold up the end of the farm for as long as it lets a task."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    time.sleep(seconds)


@pytest.mark.parametrize("store", ["disk", "memory"])
def test_a_farm_whose_processes_are_suspended_during_the_stop_ends(
    home: Path, monkeypatch: pytest.MonkeyPatch, store: Literal["disk", "memory"]
) -> None:
    farm, ask = LocalFarm("default"), client_stop._ask_to_stop

    def suspend_and_ask(farm: LocalFarm, running: ConnectionInfo, remote: RemoteController) -> None:
        monkeypatch.setattr(client_stop, "_ask_to_stop", ask)
        for pid in (running.pid, running.supervisor_pid):
            os.kill(pid, signal.SIGSTOP)
        ask(farm, running, remote)

    start(1, store=store)
    monkeypatch.setattr(client_stop, "_ask_to_stop", suspend_and_ask)
    stop(farm)
    assert farm.condition() is Condition.STOPPED


def test_a_start_in_memory_leaves_a_farm_alone_that_is_being_started(home: Path) -> None:
    farm = LocalFarm("default")
    starting = threading.Thread(target=start, args=(1,))
    starting.start()
    until(lambda: farm.paths.lock.exists() and farm.paths.lock.stat().st_size, "the supervisor has taken over")
    with pytest.raises(StartFailed, match="keeps its tasks on the disk"):
        start(1, store="memory")
    starting.join(DEADLINE)
    assert farm.connection() is not None
    assert farm.stops() == 0
    stop(farm)


def test_a_farm_that_was_started_while_another_was_at_rest_is_not_stopped_with_it(home: Path) -> None:
    farm = LocalFarm("default")
    start(1).stop()
    with client_stop.start_idle(farm):
        stop(farm)
        assert not start(1).attached
    assert farm.connection() is not None
    stop(farm)
