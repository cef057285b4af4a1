"""Chaos: tasks run on a Dask cluster while its processes and those of the farm are killed at random.

`python -m tests.engines.chaos` runs it as often as wanted, and fails if a promise is broken:

- each accepted task ends, and none succeeds without a run;
- each task that may be made again succeeds, unless it was poisoned by the rule for it;
- a task that may run only once runs at most once;
- a kill costs at most one more run for each slot;
- no process, socket or page is left.

One number decides which processes are killed, and after how many tasks have ended.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskfc_ext import start
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.process_tree import children, command_line
from taskfc_ext.drivers.processes import tagged_processes
from taskfc_ext.errors import WorkerLost
from taskfc_ext.protocol.options import MAX_DEATHS
from tests.chaos.killer import kill_one
from tests.chaos.ledger import read_runs, run_noted
from tests.conftest import farm_home
from tests.engines.clusters import THREADS, DaskCluster, dask_cluster
from tests.processes import DEADLINE, until

N_DASK_WORKERS = 2
N_SLOTS = N_DASK_WORKERS * THREADS

KINDS = ("child", "dask worker", "nanny", "bridge", "controller")
"""What is killed."""

TASKS_PER_KILL = 50

LONGEST = 0.2
"""Seconds that a task takes at most."""


class Kill(NamedTuple):
    """A process of a kind is killed when so many tasks have ended."""

    after: int
    kind: str


def make_plan(chance: random.Random, n_tasks: int) -> list[Kill]:
    """Return the kills of a run in their order: each kind as often as any other, at any time but the last."""
    n_kills = max(len(KINDS), n_tasks // TASKS_PER_KILL)
    kinds = [KINDS[number % len(KINDS)] for number in range(n_kills)]
    chance.shuffle(kinds)
    return [*map(Kill, sorted(chance.choices(range(n_tasks * 9 // 10), k=n_kills)), kinds)]


class Ends:
    """Counts the ends of tasks."""

    def __init__(self) -> None:
        self.n = 0
        self._changed = threading.Condition()

    def count(self, future: Any) -> None:
        """Count the end of a task; any thread."""
        with self._changed:
            self.n += 1
            self._changed.notify_all()

    def wait_for(self, n: int) -> None:
        """Return when `n` tasks have ended; fail if none ends for a long time."""
        with self._changed:
            while (before := self.n) < n:
                if not self._changed.wait_for(lambda before=before: self.n > before, DEADLINE):
                    raise AssertionError(f"no task ended for {DEADLINE:g} s: {self.n} have ended, {n} are awaited")


@dataclass
class Report:
    """The figures of a run, and its broken promises.

    Attributes:
        seconds: from the first submission to the last end.
        kills: by kind.
        extra_runs: of tasks that may be made again.
        n_lost: tasks that may run only once, and were lost.
        n_poisoned: tasks that may be made again, and were given up by rule.
    """

    seconds: float
    kills: Counter[str]
    extra_runs: int
    n_lost: int
    n_poisoned: int
    problems: list[str]

    def __str__(self) -> str:
        kills = ", ".join(f"{n} of {kind}" for kind, n in sorted(self.kills.items()))
        figures = f"{self.kills.total()} kills ({kills}), {self.extra_runs} extra runs, {self.n_lost} lost"
        verdict = "; ".join(self.problems) or "whole"
        return f"{self.seconds:.0f} s, {figures}, {self.n_poisoned} poisoned: {verdict}"


class Killer:
    """Kills processes of a cluster and of the farm on it.

    Args:
        supervisor: the pid of the farm's supervisor.
        tag: the farm's.
    """

    def __init__(self, cluster: DaskCluster, supervisor: int, tag: str, chance: random.Random) -> None:
        self._cluster = cluster
        self._supervisor = supervisor
        self._tag = tag
        self._chance = chance
        self.kills: Counter[str] = Counter()

    def kill(self, kind: str) -> None:
        """Kill a process of this kind, as soon as there is one. In the place of a nanny, another one starts."""
        until(lambda: kill_one(lambda: self._find(kind), self._chance), f"a {kind} was killed")
        self.kills[kind] += 1
        if kind == "nanny":
            self._cluster.add_worker()

    def _find(self, kind: str) -> Iterable[int]:
        match kind:
            case "child":
                return [pid for pid in tagged_processes(self._tag) if b"taskfc_ext.worker.hosted" in command_line(pid)]
            case "dask worker":
                return self._cluster.watched_workers
            case "nanny":
                return self._cluster.nannies
        module = b"taskfc_ext.engines.app" if kind == "bridge" else b"taskfc_ext.controller.app"
        return [child.pid for child in children(self._supervisor) if module in command_line(child.pid)]


def run(
    cluster: DaskCluster, n_tasks: int, seed: int, show: Callable[[str], object], *, n_slots: int = N_SLOTS
) -> Report:
    """Run tasks on a farm on `cluster` while processes are killed; end the farm, and return what was found.

    Args:
        seed: decides what is killed, and when.
        show: gets lines about the progress.
        n_slots: the most slots of the farm.
    """
    chance = random.Random(seed)
    plan = make_plan(chance, n_tasks)
    ends = Ends()
    tasks: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="tfchaos") as folder, start(n_slots, on=cluster.url) as farm:
        log, tag = folder, farm_paths("default").tag
        killer = Killer(cluster, farm.supervisor_pid, tag, chance)
        with farm.client() as client:
            kinds = [client.with_options(on_lost="retry"), client.with_options(on_lost="fail")]
            begun = time.monotonic()

            def submit(n: int) -> None:
                for number in range(len(tasks), min(n, n_tasks)):
                    tasks.append(kinds[number % 2].submit(run_noted, log, str(number), chance.uniform(0, LONGEST)))
                    tasks[-1].add_done_callback(ends.count)

            for kill in plan:
                submit(kill.after + n_tasks // 2)  # right after the kill before
                ends.wait_for(kill.after)
                killer.kill(kill.kind)
                show(f"{time.monotonic() - begun:4.0f} s, {ends.n:5,} ended: killed a {kill.kind}")
            submit(n_tasks)
            ends.wait_for(n_tasks)
            seconds = time.monotonic() - begun
            status = client.queue_status()
        runs = Counter({int(key): len(found) for key, found in read_runs(log).items()})
    report = judge(tasks, runs, killer.kills)
    report.seconds = seconds
    if left := status["scheduled"] + status["pending"]:
        report.problems.append(f"{left} tasks are left in the queue")
    until(lambda: not tagged_processes(tag), "all workers have ended")
    return report


def judge(tasks: list[Any], runs: Counter[int], kills: Counter[str]) -> Report:
    """Compare the ends of tasks with their runs; tasks with even numbers may be made again."""
    report = Report(0.0, kills, 0, 0, 0, [])
    broken = report.problems.append
    for number, task in enumerate(tasks):
        error, n_runs, may_repeat = task.exception(0), runs[number], number % 2 == 0
        if error is None and not n_runs:
            broken(f"task {number} succeeded without a run")
        if error is None and task.result(0)[0] != str(number):
            broken(f"task {number} has another's result")
        if error is not None and not isinstance(error, WorkerLost):
            broken(f"task {number} failed: {error!r}")
        if may_repeat:
            report.extra_runs += max(0, n_runs - 1)
            report.n_poisoned += error is not None
            if isinstance(error, WorkerLost) and n_runs < MAX_DEATHS:
                broken(f"task {number} failed after {n_runs} runs: {error}")
        else:
            report.n_lost += error is not None
            if n_runs > 1:
                broken(f"task {number} may run only once and ran {n_runs} times")
    if report.extra_runs > kills.total() * N_SLOTS:
        broken(f"{report.extra_runs} extra runs after {kills.total()} kills, with {N_SLOTS} slots")
    return report


def main() -> int:
    """Run what the command line asks for; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000, help="tasks of a run (default: 2000)")
    parser.add_argument("--runs", type=int, default=10, help="runs, each with another seed (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="the first run's seed (default: 1)")
    options = parser.parse_args()
    n_broken = 0
    for seed in range(options.seed, options.seed + options.runs):
        print(f"seed {seed}", flush=True)
        with dask_cluster(n_workers=N_DASK_WORKERS, has_nannies=True) as cluster, farm_home():
            report = run(cluster, options.tasks, seed, lambda line: print(f"  {line}", flush=True))
        print(f"seed {seed}: {report}", flush=True)
        n_broken += bool(report.problems)
    print(f"{options.runs - n_broken} of {options.runs} runs were whole")
    return int(n_broken > 0)


if __name__ == "__main__":
    sys.exit(main())
