"""A long task among tiny ones of the same function: none of them waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import taskfc_ext
from benchmarks.answer import Answer, answer
from benchmarks.systems import N_WORKERS

LONG = 2.0  # s
COUNT = 10_000_000
"""A step of a loop in C that can be neither interrupted nor switched from."""


def sleep(item: int) -> int:
    """Return the item; a negative one takes two seconds of sleep."""
    if item < 0:
        time.sleep(LONG)
    return item


def burn(item: int) -> int:
    """Return the item; a negative one takes two seconds of Python."""
    if item < 0:
        end = time.perf_counter() + LONG
        while time.perf_counter() < end:
            pass
    return item


def hold(item: int) -> int:
    """Return the item; a negative one holds the interpreter's lock for about two seconds, in one call."""
    if item < 0:
        begun = time.perf_counter()
        sum(range(COUNT))
        rate = COUNT / (time.perf_counter() - begun)
        sum(range(int(LONG * rate)))
    return item


def ahead(system: str, n: int) -> Answer:
    """Submit `n` tiny tasks with a long one among them: the seconds until the last tiny result, for each kind of it."""
    del system
    found: Answer = {}
    with taskfc_ext.start(N_WORKERS, name="ahead") as controller, controller.client() as client:
        for function in (sleep, burn, hold):
            assert client.map(function, range(1_000)) == list(range(1_000))  # its length is known by now
            found[f"{function.__name__}_tiny_s"] = _time_tiny(client.submit, client.flush, function, n)
    return found


def _time_tiny(
    submit: Callable[..., taskfc_ext.TaskFuture], flush: Callable[[], None], function: Callable[[int], int], n: int
) -> float:
    items = list(range(n))
    items.insert(n // 3, -1)
    begun = time.perf_counter()
    futures = [submit(function, item) for item in items]
    flush()
    long = futures.pop(n // 3)
    results = [future.result() for future in futures]
    seconds = time.perf_counter() - begun
    assert results == list(range(n))
    assert long.result() == -1
    return seconds


if __name__ == "__main__":
    answer(ahead)
