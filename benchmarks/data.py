"""Large data in and out of one system, in a fresh process; the answer is one line of JSON.

Usage: python -m benchmarks.data SYSTEM data N

`N` times an array of 100 MB goes in and another one comes out, each a new one, and every page of it is read where it
arrives; then 100 arrays of 1 MB go there and back. The results are checked.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Any

import numpy as np

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


def make(seed: int) -> Any:
    """Return an array of `LARGE` bytes."""
    return np.full(LARGE // 8, float(seed))


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


if __name__ == "__main__":
    _system, _measure, _n = sys.argv[1:]
    with SYSTEMS[_system]() as _farm:
        _answer = data(_farm, int(_n))
    print(json.dumps(_answer))
