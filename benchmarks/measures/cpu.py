"""CPU time of a task that does nothing, in each of the farm's roles."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import taskfc_ext
from benchmarks.answer import Answer, answer
from benchmarks.processes import cpu_seconds
from benchmarks.systems import N_WORKERS

WARM_UP = 1_000


def echo(item: int) -> int:
    """Do nothing."""
    return item


def cpu_of_submissions(system: str, n: int) -> Answer:
    """Run `n` tasks from a loop of submissions: microseconds of a task in each role, in both workers together."""
    del system

    def run(client: taskfc_ext.BlockingTaskClient, items: Sequence[int]) -> list[int]:
        futures = [client.submit(echo, item) for item in items]
        client.flush()
        return [future.result() for future in futures]

    return _measure("submit", run, n)


def cpu_of_maps(system: str, n: int) -> Answer:
    """Map over `n` items: the same."""
    del system
    return _measure("map", lambda client, items: client.map(echo, items), n)


def _measure(way: str, run: Callable[[taskfc_ext.BlockingTaskClient, Sequence[int]], list[int]], n: int) -> Answer:
    with taskfc_ext.start(N_WORKERS, name="cpu") as controller, controller.client() as client:
        run(client, range(WARM_UP))
        roles = {"client": [os.getpid()], "controller": [controller.pid], "workers": controller.worker_pids}
        before = {role: cpu_seconds(pids) for role, pids in roles.items()}
        begun = time.perf_counter()
        assert run(client, range(n)) == list(range(n))
        seconds = time.perf_counter() - begun
        used = {role: cpu_seconds(pids) - before[role] for role, pids in roles.items()}
    per_task = {f"{way}_{role}_us": spent / n * 1e6 for role, spent in used.items()}
    return {**per_task, f"{way}_wall_us": seconds / n * 1e6}


if __name__ == "__main__":
    answer(cpu_of_submissions, cpu_of_maps)
