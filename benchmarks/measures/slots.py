"""Many slots on one bridge, and what the bridge takes when there is nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

import taskfc_ext
from benchmarks.answer import Answer, answer
from benchmarks.measures.balance import nap
from benchmarks.measures.idle import QUIET, run_seconds
from benchmarks.processes import resident
from benchmarks.systems import N_WORKERS, dask_cluster

NAP = 500_000
"""Microseconds of a task: long, since the machine has fewer cores than there are slots."""

ROUNDS = 4
"""Tasks of each slot."""


def bridge(system: str, n: int) -> Answer:
    """CPU in % of a core, for `n` seconds, and memory of an idle bridge with two slots that have run tasks."""
    del system
    with _farm(N_WORKERS) as (controller, _):
        time.sleep(QUIET)
        pids = [_bridge(controller.supervisor_pid)]
        before, begun = run_seconds(pids), time.perf_counter()
        time.sleep(n)
        spent, seconds = run_seconds(pids) - before, time.perf_counter() - begun
        return {"bridge_percent": 100 * spent / seconds, "bridge_mb": resident(pids) / 1e6}


def slots(system: str, n: int) -> Answer:
    """Seconds until `n` slots are there, the share of their time that tasks use in percent, and the bridge's memory."""
    del system
    begun = time.perf_counter()
    with _farm(n) as (controller, client):
        ready = time.perf_counter() - begun
        begun = time.perf_counter()
        client.map(nap, [NAP] * ROUNDS * n)
        used = ROUNDS * NAP * 1e-6 / (time.perf_counter() - begun)
        memory = resident([_bridge(controller.supervisor_pid)])
        return {"slots_s": ready, "slots_percent": 100 * used, "slots_mb": memory / 1e6}


@contextmanager
def _farm(n: int) -> Iterator[tuple[Any, Any]]:
    """Run a farm with `n` slots on a Dask cluster, each with a worker that has run tasks; yield it and a client."""
    with (
        dask_cluster(threads=n // N_WORKERS) as scheduler_file,
        taskfc_ext.start(n, name="slots", on=scheduler_file, idle=0) as controller,
        controller.client() as client,
    ):
        while len(client.workers()) < n:
            client.map(nap, [NAP // 10] * 2 * n)
        client.map(nap, [NAP // 10] * 2 * n)
        yield controller, client


def _bridge(supervisor: int) -> int:
    children = psutil.Process(supervisor).children()
    (found,) = [child.pid for child in children if "taskfc_ext.engines" in " ".join(child.cmdline())]
    return found


if __name__ == "__main__":
    answer(bridge, slots)
