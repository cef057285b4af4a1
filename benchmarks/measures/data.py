"""Large arrays in and out, and many of 1 MB there and back."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks.answer import Answer, answer
from benchmarks.systems import SYSTEMS

SMALL = 2**20
"""Bytes of the small arrays."""

N_SMALL = 100
"""The small arrays."""


def read(array: Any) -> float:
    """Return the sum of one element of each page, of 4 KB."""
    return float(array[::512].sum())


def make(seed: int) -> Any:
    """Return an array of 100 MB."""
    import numpy as np  # ipyparallel sends no globals

    return np.full(100 * 2**20 // 8, float(seed))


def echo(array: Any) -> Any:
    """Return the array as it is."""
    return array


def data(system: str, n: int) -> Answer:
    """Send `n` arrays of 100 MB in and as many out, each a new one, then 100 of 1 MB there and back.

    Every page is read where it arrives.
    """
    with SYSTEMS[system]() as farm:
        for _ in range(4):  # until each worker has imported numpy
            farm.run_one(read, np.zeros(512))
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
    answer(data)
