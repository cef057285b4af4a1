"""Efficiency: many tasks of the same short length, and two workers that are to be busy all the time."""

from __future__ import annotations

import time

from benchmarks.answer import Answer, answer
from benchmarks.measures.balance import nap
from benchmarks.systems import N_WORKERS, SYSTEMS

LENGTHS_MS = {"naps_5": 5, "naps_20": 20}


def naps(system: str, n: int) -> Answer:
    """Map `n` sleeps of each length, and return the share of the workers' time that is spent asleep, in percent."""
    found = {}
    with SYSTEMS[system]() as farm:
        for name, length in LENGTHS_MS.items():
            items = [length * 1000] * n
            farm.map(nap, items[:40])
            begun = time.perf_counter()
            results = farm.map(nap, items)
            seconds = time.perf_counter() - begun
            assert results == items
            found[name] = 100 * n * length * 1e-3 / (N_WORKERS * seconds)
    return found


if __name__ == "__main__":
    answer(naps)
