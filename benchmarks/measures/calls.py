"""Tasks that do nothing: throughput of submissions and of maps, and the round trip of one."""

from __future__ import annotations

import time

from benchmarks.answer import Answer, answer
from benchmarks.systems import SYSTEMS, Call, Farm

WARM_UP = 100


def echo(item: int) -> int:
    """Do nothing: what is measured is the way there and back."""
    return item


def throughput(system: str, n: int) -> Answer:
    """Submit `n` tasks one call at a time, flush, and take every result."""
    with SYSTEMS[system]() as farm:
        return {"tasks_per_s": rate(farm, echo, n)}


def rate(farm: Farm, function: Call, n: int) -> float:
    """Return how many tasks of `function`, which returns its argument, are submitted and answered a second."""
    farm.run_all(function, range(WARM_UP))
    begun = time.perf_counter()
    results = farm.run_all(function, range(n))
    seconds = time.perf_counter() - begun
    assert results == list(range(n))
    return n / seconds


def maps(system: str, n: int) -> Answer:
    """Map over `n` items, a task for each."""
    with SYSTEMS[system]() as farm:
        farm.map(echo, range(WARM_UP))
        begun = time.perf_counter()
        results = farm.map(echo, range(n))
        seconds = time.perf_counter() - begun
        assert results == list(range(n))
        return {"items_per_s": n / seconds}


def latency(system: str, n: int) -> Answer:
    """Run `n` tasks one after another, each waited for."""
    with SYSTEMS[system]() as farm:
        for item in range(20):
            farm.run_one(echo, item)
        seconds = []
        for item in range(n):
            begun = time.perf_counter()
            assert farm.run_one(echo, item) == item
            seconds.append(time.perf_counter() - begun)
    seconds.sort()
    return {"p50_us": seconds[n // 2] * 1e6, "p99_us": seconds[n * 99 // 100] * 1e6}


if __name__ == "__main__":
    answer(throughput, maps, latency)
