"""A kill storm: tasks of 50 ms, and at regular times one worker is killed. All tasks are done at the end."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from taskfc_ext import start
from tests.chaos.killer import FarmProcesses, kill_one
from tests.chaos.ledger import read_runs, run_noted
from tests.chaos.report import Report
from tests.processes import DEADLINE, until

WORKERS = 3
SECONDS = 0.05
"""That a task takes."""


@dataclass(frozen=True)
class Storm:
    """A storm of `lasts` seconds, with a SIGKILL each `gap` seconds, over `tasks` tasks."""

    tasks: int
    gap: float
    lasts: float


STORMS = {"storm": Storm(600, 0.7, 25.0), "long storm": Storm(1500, 2.5, 45.0)}
"""The two that lose tasks elsewhere: see `benchmarks.measures.deaths`."""


def run(storm: Storm, seed: int, show: Callable[[str], object], what: str = "storm") -> Report:
    """Run a storm on a new farm, and end the farm.

    Args:
        seed: decides which workers are killed.
        show: gets lines about the progress.
    """
    chance = random.Random(seed)
    report = Report(what, seed)
    with tempfile.TemporaryDirectory(prefix="tfchaos") as folder, start(WORKERS) as farm, farm.client() as client:
        workers = FarmProcesses().workers
        begun = time.monotonic()
        futures = [client.submit(run_noted, folder, str(number), SECONDS) for number in range(storm.tasks)]
        client.flush(DEADLINE)
        kills = 0
        while (passed := time.monotonic() - begun) < storm.lasts and not all(future.done() for future in futures):
            time.sleep(max(0.0, (kills + 1) * storm.gap - passed))
            kills += kill_one(workers, chance) is not None
            if kills % 10 == 0:
                show(f"{time.monotonic() - begun:4.0f} s, {kills} kills, {sum(f.done() for f in futures)} ended")
        wrong, failed = 0, 0
        for number, future in enumerate(futures):
            if (error := future.exception(DEADLINE)) is not None:
                failed += 1
                report.problems.append(f"task {number}: {type(error).__name__}: {error}")
            elif future.result()[0] != str(number):
                wrong += 1
                report.problems.append(f"task {number} has the result {future.result()!r}")
        report.seconds = round(time.monotonic() - begun, 1)
        until(lambda: len(client.workers()) == WORKERS, "all workers are back")
        runs = read_runs(folder)
    extra = sum(len(found) - 1 for found in runs.values())
    if extra > kills:
        report.problems.append(f"{extra} extra executions after {kills} kills")
    report.figures = {
        "tasks": storm.tasks,
        "SIGKILLs of workers": kills,
        "done": storm.tasks - failed - wrong,
        "failed": failed,
        "wrong results": wrong,
        "extra executions": extra,
    }
    return report
