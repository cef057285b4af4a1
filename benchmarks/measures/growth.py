"""Growth: the time of a task, from a hundred in the queue to a million."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.answer import Answer, answer
from benchmarks.systems import SYSTEMS, Farm

SMALLEST = 100
WARM_UP = 1_000
ENOUGH = 20_000
"""Smaller sizes are repeated until so many tasks have run, but at most 20 times."""


def echo(item: int) -> int:
    """Do nothing."""
    return item


def growth_of_maps(system: str, n: int) -> Answer:
    """Map over 100, 1,000, ... `n` items: microseconds from the call to the last result, divided by the items."""
    return _measure(system, n, "map", lambda farm: farm.map)


def growth_of_submissions(system: str, n: int) -> Answer:
    """Submit 100, 1,000, ... `n` tasks in a loop, and take their results: the same."""
    return _measure(system, n, "submit", lambda farm: farm.run_all)


def _measure(system: str, n: int, way: str, runner: Callable[[Farm], Callable[..., Sequence[int]]]) -> Answer:
    found: Answer = {}
    with SYSTEMS[system]() as farm:
        run = runner(farm)
        run(echo, range(WARM_UP))
        size = SMALLEST
        while size <= n:
            repeats = max(1, min(20, ENOUGH // size))
            found[f"{way}_us_at_{size}"] = median(_seconds(run, size) for _ in range(repeats)) / size * 1e6
            size *= 10
    return found


def _seconds(run: Callable[..., Sequence[int]], size: int) -> float:
    begun = time.perf_counter()
    results = run(echo, range(size))
    seconds = time.perf_counter() - begun
    assert results == list(range(size))
    return seconds


if __name__ == "__main__":
    answer(growth_of_maps, growth_of_submissions)
