"""Cold start: from nothing to a first result."""

from __future__ import annotations

import time

from benchmarks import START
from benchmarks.answer import Answer, answer
from benchmarks.systems import SYSTEMS


def increment(item: int) -> int:
    """Return the next number."""
    return item + 1


def cold(system: str, n: int) -> Answer:
    """The time since this process began to import, with nothing running then, until a first result."""
    del n
    with SYSTEMS[system]() as farm:
        assert farm.run_one(increment, 1) == 2
        return {"cold_s": time.perf_counter() - START}


if __name__ == "__main__":
    answer(cold)
