"""One huge array in and another one out, with the memory that this takes. By hand: it needs the disk for both.

`python -m benchmarks.measures.huge taskfc_ext huge 10` is one of 10 GiB each way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil

from benchmarks.answer import Answer, answer
from benchmarks.measures.data import read
from benchmarks.processes import relatives
from benchmarks.systems import SYSTEMS


def make(gigabytes: int, value: float) -> Any:
    """Return an array of `gigabytes` GiB."""
    return np.full(gigabytes * 2**30 // 8, value)


def huge(system: str, gigabytes: int) -> Answer:
    """Return the seconds of each way, and the most memory of their own that all processes had at one moment, in GiB.

    One copy is the sender's array, and another one would be too many.
    """
    with SYSTEMS[system]() as farm:
        farm.run_one(read, np.zeros(512))
        with _peak_memory() as peak_in:
            array = make(gigabytes, 1.0)
            begun = time.perf_counter()
            assert farm.run_one(read, array) == read(array)
            way_in = time.perf_counter() - begun
            del array
        with _peak_memory() as peak_out:
            begun = time.perf_counter()
            assert read(farm.run_one(_make_twos, gigabytes)) == 2.0 * (gigabytes * 2**30 // 4096)
            way_out = time.perf_counter() - begun
    return {"in_s": way_in, "in_peak_gb": peak_in(), "out_s": way_out, "out_peak_gb": peak_out()}


def _make_twos(gigabytes: int) -> Any:
    return make(gigabytes, 2.0)


@contextmanager
def _peak_memory() -> Iterator[Callable[[], float]]:
    """Measure the largest sum of memory that is no page cache, of this process and all of the system's, in GiB."""
    peak, has_ended = 0, threading.Event()
    own = psutil.Process().pid

    def look() -> None:
        nonlocal peak
        while not has_ended.wait(0.05):
            peak = max(peak, sum(map(_own_bytes, {own, *relatives()})))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: peak / 2**30
    finally:
        has_ended.set()
        thread.join()


def _own_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as lines:
            return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))
    except (FileNotFoundError, ProcessLookupError):
        return 0


if __name__ == "__main__":
    answer(huge)
