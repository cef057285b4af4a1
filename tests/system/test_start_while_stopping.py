"""Tests of a start that comes while the farm is being stopped: it waits for the end, and starts the farm again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskfc_ext import start
from taskfc_ext.client import stop as client_stop
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import stop
from taskfc_ext.drivers.connection_file import ConnectionInfo
from taskfc_ext.server_extension.starting import start_farm
from tests.processes import DEADLINE


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


def test_a_farm_that_was_started_after_its_end_is_not_stopped_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm, wait_for_end = LocalFarm("default"), client_stop._wait_for_end

    def wait_for_end_and_start(farm: LocalFarm, running: ConnectionInfo) -> None:
        wait_for_end(farm, running)
        monkeypatch.setattr(client_stop, "_wait_for_end", wait_for_end)
        assert not start(1).attached

    first = start(1).pid
    monkeypatch.setattr(client_stop, "_wait_for_end", wait_for_end_and_start)
    stop(farm)
    found = farm.connection()
    assert found is not None
    assert found.pid != first
    stop(farm)
    assert farm.connection() is None
