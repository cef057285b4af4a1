"""Balance: tasks of different lengths, and two workers that are to be busy until the end."""

from __future__ import annotations

import random
import time

from benchmarks.answer import Answer, answer
from benchmarks.systems import N_WORKERS, SYSTEMS

N_SETS = 3
"""Sets of sleeps, one after the other."""


def nap(microseconds: int) -> int:
    """Sleep: work that takes as long on a busy machine."""
    import time  # ipyparallel sends no globals

    time.sleep(microseconds * 1e-6)
    return microseconds


def balance(system: str, n: int) -> Answer:
    """Run `n` sleeps of random 1 to 50 ms, and return the share of the workers' time that is spent asleep, in percent.

    The rest is lost between two tasks, and at the end, when one worker has nothing left to do. How much that is depends
    on the last few sleeps, so there are several sets of them, the same ones for every system.
    """
    chance = random.Random(n)
    with SYSTEMS[system]() as farm:
        farm.run_all(nap, _draw_naps(chance, 8))
        asleep = seconds = 0.0
        for _ in range(N_SETS):
            naps = _draw_naps(chance, n)
            begun = time.perf_counter()
            results = farm.run_all(nap, naps)
            seconds += time.perf_counter() - begun
            asleep += sum(naps) * 1e-6
            assert results == naps
    return {"balance": 100 * asleep / (N_WORKERS * seconds)}


def _draw_naps(chance: random.Random, n: int) -> list[int]:
    return [chance.randint(1_000, 50_000) for _ in range(n)]


if __name__ == "__main__":
    answer(balance)
