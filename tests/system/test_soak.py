"""Resources that must not grow: memory, descriptors and threads of the controller and of the workers, over many tasks.

A short run here; `make soak` makes it long (`TASKFC_SOAK`: rounds of 5,000 tasks).
"""

from __future__ import annotations

import os
from pathlib import Path

from taskfc_ext import start
from tests.processes import DEADLINE, resident, until

ROUNDS = int(os.environ.get("TASKFC_SOAK", "4"))
TASKS = 5000
WARM_UP = 2
"""Rounds in which caches and pools fill."""

BYTES_A_TASK = 300
"""What a finished and cleared task may leave in the controller's memory at most, also in a short run, where the
allocator's own steps of some 100 KiB count; in a long run it is a few bytes."""


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def round_of_tasks(client) -> None:
    assert client.map(abs, range(-TASKS, 0)) == list(range(TASKS, 0, -1))
    client.clear()


def test_nothing_grows_with_the_tasks(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        for _ in range(WARM_UP):
            round_of_tasks(client)
        pids = [farm.pid, farm.supervisor_pid, *farm.worker_pids]
        before = {pid: (resident(pid), descriptors(pid), threads(pid)) for pid in pids}
        for _ in range(ROUNDS):
            round_of_tasks(client)
        for pid in pids:
            memory, fds, n_threads = before[pid]
            assert resident(pid) - memory < ROUNDS * TASKS * BYTES_A_TASK
            assert descriptors(pid) <= fds + 2
            assert threads(pid) <= n_threads + 1
        assert client.queue_status() == dict.fromkeys(client.queue_status(), 0)


def test_clients_that_come_and_go_leave_nothing(home: Path) -> None:
    with start(1) as farm:
        for _ in range(5):
            with farm.client() as client:
                assert client.submit(abs, -1).result(DEADLINE) == 1
        before = descriptors(farm.pid)
        for _ in range(30):
            with farm.client() as client:
                assert client.submit(abs, -1).result(DEADLINE) == 1
        until(lambda: descriptors(farm.pid) <= before + 5, "their connections are closed")
