"""A farm whose folder for sockets is removed under it, or made again by another user. Real processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from taskfc_ext import TaskClient, attach, start
from taskfc_ext.cli import main
from taskfc_ext.drivers.processes import process_alive
from taskfc_ext.errors import FarmError
from tests.processes import DEADLINE, await_workers, kill_and_wait, until

from .conftest import kill

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


def wait_for(gate: str) -> str:
    until(Path(gate).exists, "the gate")
    return "done"


def test_a_folder_that_is_removed_comes_back_and_all_goes_on(home: Path) -> None:
    gate, folder = home / "gate", home / "r/taskfc"
    with start(2) as farm, farm.client() as client:
        controller, supervisor = farm.pid, farm.supervisor_pid
        running = client.submit(wait_for, str(gate))
        until(lambda: running.state == "running", "it runs")
        for _ in range(2):
            shutil.rmtree(folder)
            assert client.map(abs, range(-20, 0)) == list(range(20, 0, -1))
            with farm.client() as newcomer:
                assert newcomer.submit(abs, -2).result(DEADLINE) == 2
        shutil.rmtree(folder)
        kill(next(worker.pid for worker in client.workers() if worker.running is None))
        await_workers(client, 2)
        shutil.rmtree(folder, ignore_errors=True)
        assert client.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        assert (farm.pid, farm.supervisor_pid) == (controller, supervisor)
        gate.touch()
        assert running.result(DEADLINE) == "done"
        assert running.attempts == 1


@pytest.mark.parametrize("who", ["controller", "supervisor"])
def test_a_process_that_dies_without_the_folder_is_replaced_all_the_same(home: Path, who: str) -> None:
    with start(1) as farm, farm.client() as client:
        assert client.submit(abs, -1).result(DEADLINE) == 1
        shutil.rmtree(home / "r/taskfc")
        kill_and_wait(farm.pid if who == "controller" else farm.supervisor_pid)
        assert client.submit(abs, -2).result(DEADLINE) == 2
        with TaskClient() as newcomer:
            assert newcomer.submit(abs, -3).result(DEADLINE) == 3


def test_a_farm_without_a_folder_stops(home: Path) -> None:
    farm = start(1)
    shutil.rmtree(home / "r/taskfc")
    farm.stop()


@needs_root
def test_a_folder_that_another_user_has_made_is_a_clear_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "r/taskfc"
    farm = start(1)
    pid = farm.supervisor_pid
    with farm.client() as client:
        assert client.submit(abs, -1).result(DEADLINE) == 1
        shutil.rmtree(folder)
        folder.mkdir(mode=0o777)
        os.chown(folder, 65534, 65534)
        assert client.submit(abs, -2).result(DEADLINE) == 2  # whoever is connected goes on
        with attach() as newcomer, pytest.raises(FarmError, match=f"{folder}, belongs to user 65534") as caught:
            newcomer.queue_status()
        assert "remove it" in caught.value.hint
        assert main(["status"]) == 1
        assert "belongs to user 65534" in capsys.readouterr().err
        assert main(["stop"]) == 0
    assert not process_alive(pid, None)
    assert list(folder.iterdir()) == []
    with pytest.raises(FarmError, match="belongs to user 65534"):
        start(1)
    folder.rmdir()
