"""Time from the SIGKILL of a worker until its task is known as lost, and until another worker has run a task."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from taskfc_ext import start
from taskfc_ext.errors import WorkerLost
from tests.chaos.ledger import stay_noted
from tests.chaos.report import Report, times
from tests.processes import DEADLINE, until

NOTICED = 0.5
REFILLED = 2.0
"""Seconds that are promised, for 99 of 100 deaths."""

JITTER = 0.05
"""Seconds from the begin of a task until its worker is killed, at most."""


def run(n_kills: int, seed: int, show: Callable[[str], object]) -> Report:
    """Kill so many workers, one after another, each in a task that may run only once."""
    chance = random.Random(seed)
    report = Report("deaths noticed", seed)
    noticed, refilled = [], []
    with tempfile.TemporaryDirectory(prefix="tfchaos") as folder, start(1) as farm, farm.client() as client:
        client.submit(abs, -1).result(DEADLINE)
        once = client.with_options(on_lost="fail")
        started = time.monotonic()
        for number in range(n_kills):
            file = Path(folder, str(number))
            future = once.submit(stay_noted, str(file))
            until(file.exists, "the task runs")
            time.sleep(chance.uniform(0, JITTER))
            pid = int(until(file.read_text, "its pid is there"))
            begun = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            error = future.exception(DEADLINE)
            noticed.append(time.monotonic() - begun)
            if not isinstance(error, WorkerLost) or "SIGKILL" not in error.note:
                report.problems.append(f"kill {number}: {error!r}")
            client.submit(abs, -1).result(DEADLINE)  # another worker has run it: there is no other
            refilled.append(time.monotonic() - begun)
            if number % 20 == 19:
                show(f"{number + 1} of {n_kills} kills")
        report.seconds = round(time.monotonic() - started, 1)
    report.figures = {
        "SIGKILLs of workers": n_kills,
        **times("until the task is lost", noticed),
        **times("until another worker has run a task", refilled),
        f"noticed within {NOTICED:g} s": sum(value <= NOTICED for value in noticed),
        f"refilled within {REFILLED:g} s": sum(value <= REFILLED for value in refilled),
    }
    return report
