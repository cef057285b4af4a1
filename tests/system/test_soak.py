"""Resources that must not grow: memory, descriptors, threads and store of a farm, over many tasks and many clients.

A short run with generous bounds; `make soak` is the long one, with slopes and their confidence.
"""

from __future__ import annotations

import os
from pathlib import Path

from taskfc_ext import start
from tests.processes import DEADLINE, until
from tests.soak.harness import STORE_BYTES, soak

ROUNDS = 4

BYTES_A_TASK = 300
"""What a finished and cleared task may leave in a process's memory at most in a short run, where the allocator's own
steps of some 100 KiB count; in a long run it is a few bytes."""


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_nothing_grows_with_the_tasks(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        until(lambda: [each.state for each in client.workers()] == ["idle", "idle"], "both workers take part")
        samples = soak(farm, client, rounds=ROUNDS)
        first, last = samples[0], samples[-1]
        for name, before in first.processes.items():
            held = last.processes[name]
            assert held.memory - before.memory < last.tasks * BYTES_A_TASK, name
            assert held.descriptors <= before.descriptors + 2, name
            assert held.threads <= before.threads + 1, name
        assert last.store < STORE_BYTES
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
