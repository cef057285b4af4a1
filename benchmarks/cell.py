"""One measurement of one system in a fresh process; the answer is one line of JSON.

Usage: python -m benchmarks.cell SYSTEM throughput|latency|balance|cold N
"""

import time

START = time.perf_counter()  # before every other import: a cold start begins here

import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.systems import N_WORKERS, SYSTEMS, Farm  # noqa: E402

N_SETS = 4
"""Sets of sleeps that `balance` runs, one after the other."""


def echo(item: int) -> int:
    """Do nothing: what is measured is the way there and back."""
    return item


def throughput(farm: Farm, n: int) -> dict[str, Any]:
    """Submit `n` tasks one call at a time, flush, and take every result."""
    farm.run_all(echo, range(100))
    cpu_before = _cpu_seconds(farm.scheduler_pid)
    begun = time.perf_counter()
    results = farm.run_all(echo, range(n))
    seconds = time.perf_counter() - begun
    assert results == list(range(n))
    answer: dict[str, Any] = {"tasks_per_s": n / seconds}
    if farm.scheduler_pid is not None:
        answer["scheduler_us"] = (_cpu_seconds(farm.scheduler_pid) - cpu_before) / n * 1e6
    return answer


def latency(farm: Farm, n: int) -> dict[str, Any]:
    """Run `n` tasks one after another, each waited for."""
    for item in range(20):
        farm.run_one(echo, item)
    seconds = []
    for item in range(n):
        begun = time.perf_counter()
        assert farm.run_one(echo, item) == item
        seconds.append(time.perf_counter() - begun)
    seconds.sort()
    return {"p50_us": seconds[n // 2] * 1e6, "p99_us": seconds[n * 99 // 100] * 1e6}


def nap(microseconds: int) -> int:
    """Sleep: work that takes as long on a busy machine."""
    time.sleep(microseconds * 1e-6)
    return microseconds


def balance(farm: Farm, n: int) -> dict[str, Any]:
    """Run `n` sleeps of random 1 to 50 ms, and return the share of the workers' time that is spent asleep, in percent.

    The rest is lost between two tasks, and at the end, when one worker has nothing left to do. How much that is depends
    on the last few sleeps, so there are several sets of them, the same ones for every system.
    """
    chance = random.Random(n)
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


def cold(farm: Farm, n: int) -> dict[str, Any]:
    """The time since this process began to import, with nothing running then, until a first result."""
    del n
    assert farm.run_one(echo, 1) == 1
    return {"cold_s": time.perf_counter() - START}


def _cpu_seconds(pid: int | None) -> float:
    """Return user and system time of a process so far (`man 5 proc`); 0 where that cannot be known."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEASURES = {"throughput": throughput, "latency": latency, "balance": balance, "cold": cold}


if __name__ == "__main__":
    _system, _measure, _n = sys.argv[1:]
    with SYSTEMS[_system]() as _farm:
        _answer = MEASURES[_measure](_farm, int(_n))
    print(json.dumps(_answer))
