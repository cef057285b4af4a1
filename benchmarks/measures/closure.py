"""A function that holds 10 MB, mapped over many items."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable

import numpy as np

from benchmarks.answer import Answer, answer
from benchmarks.processes import proportional, relatives
from benchmarks.systems import SYSTEMS

MEGABYTES = 10


def pick(array: np.ndarray, item: int) -> float:
    """Read one element."""
    return float(array[item])


def closure(system: str, n: int) -> Answer:
    """Map such a function over `n` items, in the chunks that the system makes by default."""
    with SYSTEMS[system]() as farm:
        run = farm.usual_map or farm.map
        run(functools.partial(pick, np.zeros(8)), [0] * 8)
        array = _fill()
        begun = time.perf_counter()
        results = run(functools.partial(pick, array), range(n))
        seconds = time.perf_counter() - begun
        assert results == array[:n].tolist()
    return {"closure_s": seconds}


def copies(system: str, n: int) -> Answer:
    """The same: the most by which all processes together grow meanwhile, in copies of the 10 MB.

    The caller's own array does not count, and pages that processes share count once.
    """
    with SYSTEMS[system]() as farm:
        run = farm.usual_map or farm.map
        run(functools.partial(pick, np.zeros(8)), [0] * 8)
        array = _fill()
        grown = _peak(lambda: run(functools.partial(pick, array), range(n)), array[:n].tolist())
    return {"closure_copies": grown / (MEGABYTES * 2**20)}


def _fill() -> np.ndarray:
    return np.random.default_rng(1).random(MEGABYTES * 2**20 // 8)


def _peak(run: Callable[[], list[float]], expected: list[float]) -> int:
    """Return by how many bytes all processes together grow at most while `run` runs."""
    pids = relatives() | {os.getpid()}
    before = most = proportional(pids)
    ended = threading.Event()

    def look() -> None:
        nonlocal most
        while not ended.wait(0.002):
            most = max(most, proportional(pids))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        assert run() == expected
    finally:
        ended.set()
        thread.join()
    return max(most, proportional(pids)) - before


if __name__ == "__main__":
    answer(closure, copies)
