"""A farm that nobody uses ends with all its files, and the next use starts it again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext import TaskClient, start
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.drivers.processes import process_alive, tagged_processes
from taskfc_ext.drivers.stops import count_stops
from tests.processes import DEADLINE, until

SECOND = 1 / 3600
"""In hours."""


@pytest.fixture
def idle_farm(module_home: Path) -> Iterator[LocalFarm]:
    """A farm with a result that has stopped since nobody used it."""
    farm = start(2, name="idler", idle_stop=SECOND)
    pids = [farm.pid, farm.supervisor_pid, *farm.worker_pids]
    with farm.client() as client:
        assert client.submit(abs, -7).result(DEADLINE) == 7
    local = LocalFarm("idler")
    until(lambda: not any(process_alive(pid, None) for pid in pids), "all its processes have ended")
    yield local
    farm.stop()


def test_nothing_of_an_idle_farm_is_left_and_the_next_client_starts_it_as_it_was(idle_farm: LocalFarm) -> None:
    paths = idle_farm.paths
    assert idle_farm.condition() is Condition.ASLEEP
    assert not tagged_processes(paths.tag)
    assert not [name for name in os.listdir(paths.sockets) if name.startswith(paths.tag)]
    assert not paths.connection_file.exists()
    assert count_stops(paths) == 0
    listed = subprocess.run([sys.executable, "-m", "taskfc_ext.cli", "list"], capture_output=True, text=True)
    assert "stopped" in listed.stdout
    with TaskClient("idler") as client:
        assert client.get_task_result(0) == 7
        assert client.submit(abs, -8).result(DEADLINE) == 8
        until(lambda: len(client.workers()) == 2, "it has as many workers as before")
    assert not paths.idle_stop.exists()
