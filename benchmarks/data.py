"""Large data in and out of one system, in a fresh process; the answer is one line of JSON.

Usage: python -m benchmarks.data SYSTEM data N
       python -m benchmarks.data SYSTEM huge GB

data: `N` times an array of 100 MB goes in and another one comes out, each a new one, and every page of it is read where
it arrives; then 100 arrays of 1 MB go there and back. The results are checked.

huge: an array of `GB` GiB goes in, and another one comes out. Beside the times, the answer has the most memory of its
own that all processes had at one moment, in GiB: one copy is the sender's array, and another one would be too many.
The disk needs room for both.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.systems import SYSTEMS, Farm

LARGE = 100 * 2**20
"""Bytes of the large arrays."""

SMALL = 2**20
"""Bytes of the small arrays."""

N_SMALL = 100
"""The small arrays."""

_PER_PAGE = 4096 // 8


def read(array: Any) -> float:
    """Return the sum of one element of each page."""
    return float(array[::_PER_PAGE].sum())


def make(seed: int, size: int = LARGE) -> Any:
    """Return an array of `size` bytes."""
    return np.full(size // 8, float(seed))


def make_huge(size: int) -> Any:
    """Return an array of `size` bytes."""
    return make(2, size)


def echo(array: Any) -> Any:
    """Return the array as it is."""
    return array


def data(farm: Farm, n: int) -> dict[str, Any]:
    """Measure the way in, the way out, and both for many small ones."""
    for _ in range(4):  # until each worker has imported numpy
        farm.run_one(read, np.zeros(_PER_PAGE))
    ways_in, ways_out = [], []
    for seed in range(n):
        array = make(seed)
        begun = time.perf_counter()
        assert farm.run_one(read, array) == read(array)
        ways_in.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        assert read(farm.run_one(make, seed)) == read(array)
        ways_out.append(time.perf_counter() - begun)
    small = [np.full(SMALL // 8, float(seed)) for seed in range(N_SMALL)]
    begun = time.perf_counter()
    assert [read(array) for array in farm.run_all(echo, small)] == [read(array) for array in small]
    echoed = time.perf_counter() - begun
    return {
        "in_first_ms": 1000 * ways_in[0],
        "in_ms": 1000 * median(ways_in[1:]),
        "out_first_ms": 1000 * ways_out[0],
        "out_ms": 1000 * median(ways_out[1:]),
        "echo_ms": 1000 * echoed,
    }


def huge(farm: Farm, gigabytes: int) -> dict[str, Any]:
    """Measure one huge array each way, and the memory that it takes."""
    size = gigabytes * 2**30
    farm.run_one(read, np.zeros(_PER_PAGE))
    with _peak_memory(farm) as peak_in:
        array = make(1, size)
        begun = time.perf_counter()
        assert farm.run_one(read, array) == read(array)
        way_in = time.perf_counter() - begun
        del array
    with _peak_memory(farm) as peak_out:
        begun = time.perf_counter()
        assert read(farm.run_one(make_huge, size)) == 2.0 * (size // 4096)
        way_out = time.perf_counter() - begun
    return {"in_s": way_in, "in_peak_gb": peak_in(), "out_s": way_out, "out_peak_gb": peak_out()}


@contextmanager
def _peak_memory(farm: Farm) -> Iterator[Callable[[], float]]:
    """Measure the largest sum of memory that is no page cache, of this process and all of the farm, in GiB."""
    roots = [psutil.Process()]
    if farm.scheduler_pid is not None:
        roots.append(psutil.Process(farm.scheduler_pid).parent() or psutil.Process(farm.scheduler_pid))
    peak, has_ended = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not has_ended.wait(0.05):
            pids = {each.pid for root in roots for each in (root, *root.children(recursive=True))}
            peak = max(peak, sum(map(_own_bytes, pids)))

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
    _system, _measure, _n = sys.argv[1:]
    with SYSTEMS[_system]() as _farm:
        _answer = {"data": data, "huge": huge}[_measure](_farm, int(_n))
    print(json.dumps(_answer))
