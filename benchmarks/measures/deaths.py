"""Tasks that end although processes are killed: each system gets the same kills, and a bounded time.

A task that has ended with another value than its own, or with an error, did not end right. One that has not ended in
time is pending.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.answer import Answer, answer
from benchmarks.clusters import CLUSTERS, Cluster, wait_until
from benchmarks.report import BY_SECOND
from tests.chaos.killer import kill_one

SEED = 1
"""Decides which workers are killed."""

PATIENCE = 30.0
"""Seconds for which the rest of the tasks may take after the last kill."""

STORM_GAP, STORM_LASTS = 0.7, 25.0
"""Seconds between the kills of a storm, and in all."""


def work(item: int) -> int:
    """Take a moment, and return another number. It uses no global name: some systems send it without them."""
    import time

    time.sleep(0.05)
    return 3 * item + 1


CLIENT = """
def note(path):
    import time
    time.sleep(0.05)
    open(path, "x").close()

keep([submit(note, f"{folder}/{{item}}") for item in range({n})])
print("submitted", flush=True)
import time
time.sleep(600)
"""
"""The rest of a client that is killed: it submits tasks, each of which makes a file."""


def worker_killed(system: str, n: int) -> Answer:
    """Kill one worker once a tenth of `n` tasks have ended: how many end right, and what that takes."""
    with CLUSTERS[system]() as cluster:
        run = _Run(cluster, n)
        wait_until(lambda: run.n_done() >= n // 10, PATIENCE)
        kill_one(cluster.workers, random.Random(SEED))
        run.wait(PATIENCE)
        return run.figures("worker_killed", n_kills=1)


def kill_storm(system: str, n: int) -> Answer:
    """Kill a random worker each 0.7 s for 25 s, while `n` tasks run. The figures have the right ends by second, too."""
    chance = random.Random(SEED)
    with CLUSTERS[system]() as cluster:
        run = _Run(cluster, n)
        n_kills = 0
        while run.read_clock() < STORM_LASTS and run.n_done() < n:
            run.wait_until((run.read_clock() // STORM_GAP + 1) * STORM_GAP)
            n_kills += kill_one(cluster.workers, chance) is not None
        run.wait(PATIENCE)
        return run.figures("kill_storm", n_kills=n_kills) | run.by_second("kill_storm")


def controller_killed(system: str, n: int) -> Answer:
    """Kill what holds the queue once a fifth of `n` tasks have ended."""
    with CLUSTERS[system]() as cluster:
        assert cluster.kill_controller is not None, "the client holds the queue"
        run = _Run(cluster, n)
        wait_until(lambda: run.n_done() >= n // 5, PATIENCE)
        cluster.kill_controller()
        run.wait(PATIENCE)
        return run.figures("controller_killed", n_kills=1)


def client_killed(system: str, n: int) -> Answer:
    """Kill the client once `n` tasks are submitted: how many of them have run at the end."""
    folder = Path(os.environ["TMPDIR"], "executed")
    folder.mkdir()
    with CLUSTERS[system]() as cluster:
        source = f"{cluster.client}\n{CLIENT.format(n=n, folder=str(folder))}"
        with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "submitted\n"
            begun = time.monotonic()
            client.kill()
        wait_until(lambda: len(list(folder.iterdir())) >= n, PATIENCE)
        n_run = len(list(folder.iterdir()))
        figures = {"submitted": n, "right": n_run, "pending": n - n_run, "s": round(time.monotonic() - begun, 1)}
        return {f"client_killed_{name}": value for name, value in figures.items()}


class _Run:
    """`n` tasks on a cluster, and what becomes of them."""

    def __init__(self, cluster: Cluster, n: int) -> None:
        self._cluster = cluster
        self._begun = time.monotonic()
        self._handles = [cluster.submit(work, item) for item in range(n)]
        cluster.flush()
        self._pending = dict(enumerate(self._handles))
        self._ends: dict[int, float] = {}

    def read_clock(self) -> float:
        """Return the seconds since the first submission."""
        return time.monotonic() - self._begun

    def n_done(self) -> int:
        """Return how many tasks have ended, in any way."""
        for item, handle in [*self._pending.items()]:
            if self._cluster.is_done(handle):
                del self._pending[item]
                self._ends[item] = self.read_clock()
        return len(self._ends)

    def wait_until(self, seconds: float) -> None:
        """Return when so many seconds have passed since the first submission."""
        wait_until(lambda: self.n_done() < 0 or self.read_clock() >= seconds, seconds + 1)

    def wait(self, seconds: float) -> None:
        """Return when all tasks have ended, or so many seconds have passed."""
        wait_until(lambda: self.n_done() == len(self._handles), seconds)

    def figures(self, measure: str, n_kills: int) -> Answer:
        """Return what became of the tasks."""
        n_right = sum(self._is_right(item, handle) for item, handle in enumerate(self._handles))
        n_pending = len(self._pending)
        figures = {
            "submitted": len(self._handles),
            "right": n_right,
            "lost": len(self._handles) - n_right - n_pending,
            "pending": n_pending,
            "kills": n_kills,
            "workers": len(self._cluster.workers()),
            "s": round(max(self._ends.values(), default=0.0), 1),
            "seed": SEED,
        }
        return {f"{measure}_{name}": value for name, value in figures.items()}

    def by_second(self, measure: str) -> Answer:
        """Return how many tasks had ended right after each second."""
        last = round(STORM_LASTS + PATIENCE)
        ends = [end for item, end in self._ends.items() if self._is_right(item, self._handles[item])]
        return {f"{measure}{BY_SECOND}{second}": sum(end <= second for end in ends) for second in range(last + 1)}

    def _is_right(self, item: int, handle: Any) -> bool:
        if item in self._pending:
            return False
        try:
            return bool(self._cluster.result(handle) == 3 * item + 1)
        except BaseException:
            return False


if __name__ == "__main__":
    answer(worker_killed, kill_storm, controller_killed, client_killed)
    sys.exit()
