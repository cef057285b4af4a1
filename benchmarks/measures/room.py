"""Memory of a queued task whose future is held."""

from __future__ import annotations

import gc
import os
import tempfile

from benchmarks.answer import Answer, answer
from benchmarks.processes import relatives, resident, settle
from benchmarks.systems import N_WORKERS, SYSTEMS


def echo(item: int) -> int:
    """Do nothing."""
    return item


def wait_for(path: str) -> str:
    """Wait until a file exists: this worker is busy."""
    import os  # ipyparallel sends no globals
    import time

    while not os.path.exists(path):
        time.sleep(0.02)
    return path


def room(system: str, n: int) -> Answer:
    """Resident bytes that one of `n` more queued tasks takes, in all processes together; both workers are busy.

    A fifth of `n` is queued before the first look, so that what grows once is no part of it.
    """
    gate = os.path.join(tempfile.gettempdir(), "gate")
    with SYSTEMS[system]() as farm:
        assert farm.submit is not None
        farm.run_all(echo, range(100))
        blockers = [farm.submit(wait_for, gate) for _ in range(N_WORKERS)]
        pids = relatives() | {os.getpid()}
        handles, sizes = [], []
        for more in (n // 5, n):
            handles += [farm.submit(echo, item) for item in range(more)]
            farm.flush()
            gc.collect()
            sizes.append(settle(lambda: resident(pids)))
        with open(gate, "w", encoding="ascii"):
            pass
        assert farm.results(blockers) == [gate] * N_WORKERS
        assert farm.results(handles) == [*range(n // 5), *range(n)]
    return {"queued_bytes": (sizes[1] - sizes[0]) / n}


if __name__ == "__main__":
    answer(room)
