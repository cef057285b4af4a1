"""Resources that must not grow: memory, descriptors and threads of the controller and of the workers, over many tasks.

A short run here; `make soak` makes it long (`TASKFC_SOAK`: rounds of 5,000 tasks).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from taskfc_ext import start
from taskfc_ext.worker.helper_thread import PRELOAD_AFTER
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


def is_steady(pids: list[int]) -> bool:
    """Tell whether processes that rest, rest for longer than a worker does before it loads modules ahead."""
    before = [resident(pid) for pid in pids]
    time.sleep(4 * PRELOAD_AFTER)
    return [resident(pid) for pid in pids] == before


def test_nothing_grows_with_the_tasks(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        until(lambda: [each.state for each in client.workers()] == ["idle", "idle"], "both workers take part")
        for _ in range(WARM_UP):
            round_of_tasks(client)
        pids = [farm.pid, farm.supervisor_pid, *farm.worker_pids]
        until(lambda: is_steady(pids), "the workers have loaded what they load when they rest")
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
