"""A farm that has nothing to do."""

from __future__ import annotations

import time
from pathlib import Path

import taskfc_ext
from benchmarks.answer import Answer, answer
from benchmarks.processes import cpu_seconds, resident
from benchmarks.systems import N_WORKERS

N_TASKS = 1_000
QUIET = 2.0  # s after the last task


def echo(item: int) -> int:
    """Do nothing."""
    return item


def idle(system: str, n: int) -> Answer:
    """CPU in % of a core, for `n` seconds, and memory of supervisor and controller; a client is connected."""
    del system
    with taskfc_ext.start(N_WORKERS, name="idle") as controller, controller.client() as client:
        assert client.map(echo, range(N_TASKS)) == list(range(N_TASKS))
        time.sleep(QUIET)
        pids = [controller.pid, controller.supervisor_pid]
        before, begun = run_seconds(pids), time.perf_counter()
        time.sleep(n)
        spent, seconds = run_seconds(pids) - before, time.perf_counter() - begun
        return {"idle_percent": spent / seconds * 100, "idle_mb": resident(pids) / 1e6}


def run_seconds(pids: list[int]) -> float:
    """Return the CPU time of processes so far: Linux counts that of live threads in nanoseconds."""
    try:
        files = [task / "schedstat" for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(file.read_text().split()[0]) for file in files) * 1e-9
    except OSError:
        return cpu_seconds(pids)


if __name__ == "__main__":
    answer(idle)
