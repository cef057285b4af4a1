"""Tasks that kill what runs them: supervisor, controller, page. They end, the farm goes on, others are unharmed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import start
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.process_tree import children, command_line
from taskfc_ext.drivers.processes import process_alive
from taskfc_ext.drivers.stops import count_stops
from taskfc_ext.errors import WorkerLost
from tests.processes import DEADLINE, kill_and_wait, until


def by_kill(pid: int, number: int) -> None:
    os.kill(pid, number)


def by_a_program(pid: int, number: int) -> None:
    subprocess.run(["kill", f"-{number}", str(pid)], check=True)


def by_a_shell(pid: int, number: int) -> None:
    os.system(f"kill -{number} {pid}")


def by_a_daemon(pid: int, number: int) -> None:
    subprocess.run(["sh", "-c", f"setsid sh -c 'sleep 0.1; kill -{number} {pid}' &"], check=True)
    time.sleep(0.3)


def in_c(pid: int, number: int) -> None:
    ctypes.CDLL(None).kill(pid, number)


def signal_parent(way: Any, number: int) -> str:
    for _ in range(3):
        way(os.getppid(), number)
    return "done"


def signal_controller(way: Any, number: int, pid: int) -> str:
    way(pid, number)
    return "done"


def name(value: object) -> str:
    return getattr(value, "name", getattr(value, "__name__", str(value)))


WAYS = [by_kill, by_a_program, by_a_shell, by_a_daemon, in_c]
STRAYS = [
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGPIPE,
    signal.SIGABRT,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGXCPU,
    signal.SIGXFSZ,
    signal.SIGRTMIN,
]


@pytest.mark.parametrize(
    ("way", "number"), [*((by_kill, number) for number in STRAYS), *((way, signal.SIGTERM) for way in WAYS)], ids=name
)
def test_the_farm_does_not_notice_what_a_task_sends_it(shared_farm: Controller, way: Any, number: int) -> None:
    supervisor, controller = shared_farm.supervisor_pid, shared_farm.pid
    with shared_farm.client() as client:
        future = client.submit(signal_parent, way, number)
        assert future.result(DEADLINE) == "done"
        assert client.submit(signal_controller, way, number, controller).result(DEADLINE) == "done"
        assert client.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        assert future.attempts == 1
    assert (shared_farm.supervisor_pid, shared_farm.pid) == (supervisor, controller)


def test_a_termination_from_elsewhere_stops_the_farm(home: Path) -> None:
    started = start(1)
    pid = started.supervisor_pid
    os.kill(pid, signal.SIGTERM)
    until(lambda: not process_alive(pid, None), "the farm has ended")
    assert LocalFarm("default").condition().value == "stopped"


def kill_and_find_next(supervisor: int, controller: int) -> int:
    """Kill the controller; return the pid of the next one as soon as it is a process with a program of its own."""
    os.kill(controller, signal.SIGKILL)

    def next_controller() -> int | None:
        pids = [child.pid for child in children(supervisor) if b"controller.app" in command_line(child.pid)]
        return next((pid for pid in pids if pid != controller), None)

    return int(until(next_controller, "the next controller starts"))


def test_a_termination_while_the_controller_starts_stops_the_farm_and_counts(home: Path) -> None:
    farm = start(1)
    pid = farm.supervisor_pid
    kill_and_find_next(pid, farm.pid)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not process_alive(pid, None), "the farm has ended")
    assert LocalFarm("default").condition().value == "stopped"
    assert count_stops(LocalFarm("default").paths) == 1


def terminate_starting(supervisor: int, controller: int) -> int:
    pid = kill_and_find_next(supervisor, controller)
    os.kill(pid, signal.SIGTERM)
    return pid


def test_a_controller_that_starts_does_not_notice_what_a_task_sends_it(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        supervisor = farm.supervisor_pid
        pid = client.submit(terminate_starting, supervisor, farm.pid).result(DEADLINE)
        assert client.submit(abs, -1).result(DEADLINE) == 1
        assert (farm.supervisor_pid, farm.pid) == (supervisor, pid)


def truncate_pages(size: int) -> None:
    folder = Path(os.environ["XDG_RUNTIME_DIR"], "taskfc")
    for page in folder.glob("*.p*"):
        os.truncate(page, size)
    time.sleep(0.2)


@pytest.mark.parametrize("size", [0, 8, 1 << 30])  # one that keeps a byte keeps its page in memory
def test_a_task_that_truncates_pages(home: Path, size: int) -> None:
    with start(1) as farm, farm.client() as client:
        supervisor, controller = farm.supervisor_pid, farm.pid
        future = client.submit(truncate_pages, size)
        if not size:
            with pytest.raises(WorkerLost, match="last of 3 workers"):
                future.result(DEADLINE)
        else:
            assert future.result(DEADLINE) is None
        assert client.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        assert (farm.supervisor_pid, farm.pid) == (supervisor, controller)


def truncate_and_stay() -> None:
    truncate_pages(0)
    time.sleep(600)


def test_a_task_without_a_page_can_be_aborted(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        future = client.submit(truncate_and_stay)
        until(lambda: future.state == "running", "it runs")
        time.sleep(0.5)
        future.abort()
        assert type(future.exception(DEADLINE)).__name__ == "TaskAborted"
        assert client.submit(abs, -1).result(DEADLINE) == 1


def kill_the_farm(log: str, target: str) -> None:
    with open(log, "a") as file:
        file.write("x")
    if target == "group":
        os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
    else:
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


@pytest.mark.parametrize("target", ["supervisor", "group"])
def test_a_task_that_kills_the_farm_is_poisoned_after_three_times(home: Path, target: str) -> None:
    with start(1) as farm, farm.client() as client:
        before = client.submit(abs, -1)
        poison = client.submit(kill_the_farm, str(home / "log"), target)
        behind = [client.submit(abs, -i) for i in range(20)]
        with pytest.raises(WorkerLost, match="last of 3 workers") as caught:
            poison.result(DEADLINE)
        assert "killed" in caught.value.note
        assert before.result(DEADLINE) == 1
        assert [future.result(DEADLINE) for future in behind] == list(range(20))
        assert (home / "log").read_text() == "xxx"
        assert client.submit(abs, -3).result(DEADLINE) == 3


def test_a_task_that_kills_the_farm_at_most_once(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        once = client.with_options(on_lost="fail").submit(kill_the_farm, str(home / "log"), "supervisor")
        with pytest.raises(WorkerLost):
            once.result(DEADLINE)
        assert (home / "log").read_text() == "x"


def test_a_farm_that_is_killed_by_hand_twice_poisons_nothing(home: Path) -> None:
    gate = home / "gate"
    with start(1) as farm, farm.client() as client:
        future = client.submit(until, gate.exists, "the gate")
        for _ in range(2):
            until(lambda: future.state == "running", "it runs")
            until(lambda: len(farm.worker_pids) == 1, "its worker is there")
            kill_and_wait(farm.supervisor_pid)
            until(lambda: farm._farm.connection() is not None, "the farm is back")
        gate.touch()
        assert future.result(DEADLINE)
