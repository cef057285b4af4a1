"""One farm under load, while its processes and those of its clients are killed and stopped at random."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from taskfc_ext import start
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.store import Store
from tests.chaos.client import HUNG, Part
from tests.chaos.deaths import memory_group
from tests.chaos.judge import Facts, judge
from tests.chaos.killer import FarmProcesses, Find, hold_one
from tests.chaos.ledger import read_lines, read_runs
from tests.chaos.report import Report
from tests.processes import DEADLINE, until

STOPPED = 0.5
"""Seconds for which a process is suspended at most."""


@dataclass(frozen=True)
class Plan:
    """The size of a run.

    Attributes:
        kills: kind -> the number of SIGKILLs.
        stops: the number of SIGSTOPs, each followed by SIGCONT.
        gap: mean seconds between two of them; the gaps are exponential, as those of independent events. Where it is
            shorter than the start of a worker, most workers die in it, and the farm waits long between starts.
    """

    tasks: int = 10_000
    clients: int = 3
    workers: int = 3
    kills: dict[str, int] = field(
        default_factory=lambda: {"worker": 100, "controller": 20, "supervisor": 5, "client": 20}
    )
    stops: int = 10
    gap: float = 0.25

    def events(self, chance: random.Random) -> list[str]:
        """Return what happens, in random order: a kind is killed, or with "stop " before it suspended."""
        events = [kind for kind, n in self.kills.items() for _ in range(n)]
        events += [f"stop {chance.choice(list(self.kills))}" for _ in range(self.stops)]
        chance.shuffle(events)
        return events


class Clients:
    """The client processes, each started again when it was killed."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self.problems: list[str] = []
        self._killed: set[int] = set()

    def pids(self) -> list[int]:
        """The pids of those that run."""
        return [process.pid for process in self._processes.values() if process.poll() is None]

    def note_kill(self, pid: int) -> None:
        """Note that this process was killed on purpose."""
        self._killed.add(pid)

    def check(self) -> bool:
        """Start what has to run; return whether there is something left to do."""
        for part in self.parts:
            process = self._processes.get(part.number)
            if process is not None and process.poll() is None:
                continue
            if process is not None and process.returncode and process.pid not in self._killed:
                errors = part.file.with_suffix(".err").read_text().strip().splitlines()[-1:]
                self.problems.append(f"client {part.number} ended with {process.returncode}: {''.join(errors)}")
            if not self._is_finished(part):
                self._start(part)
        return bool(self.pids())

    def _is_finished(self, part: Part) -> bool:
        return part.notes.exists() and part.notes.read_text().endswith("finished\n")

    def _start(self, part: Part) -> None:
        with part.file.with_suffix(".err").open("a") as errors:
            command = [sys.executable, "-m", "tests.chaos.client", str(part.file)]
            self._processes[part.number] = subprocess.Popen(command, stderr=errors, text=True)

    def end(self) -> None:
        """Kill those that still run."""
        for process in self._processes.values():
            process.kill()
            process.wait()


class Storm:
    """The kills and stops of a run."""

    def __init__(self, clients: Clients, chance: random.Random) -> None:
        self._clients = clients
        self._chance = chance
        processes = FarmProcesses()
        self._finds: dict[str, Find] = {
            "worker": processes.workers,
            "controller": processes.controllers,
            "supervisor": processes.supervisors,
            "client": clients.pids,
        }
        self.done: Counter[str] = Counter()

    def strike(self, event: str) -> bool:
        """Do what an event says; return whether there is a process of that kind at this moment."""
        has_struck = self._strike_one(event, event.rpartition(" ")[2])
        self.done[event] += has_struck
        return has_struck

    def _strike_one(self, event: str, kind: str) -> bool:
        self._clients.check()
        held = hold_one(self._finds[kind], self._chance)
        if held is None:
            return False
        with held:
            if event == kind:
                if kind == "client":
                    self._clients.note_kill(held.pid)
                return held.send(signal.SIGKILL)
            if not held.send(signal.SIGSTOP):
                return False
            time.sleep(self._chance.uniform(0, STOPPED))
            return held.send(signal.SIGCONT) or True  # another event may have killed it


def run(plan: Plan, seed: int, show: Callable[[str], object], *, deadly: int = 97) -> Report:
    """Run tasks on a new farm while processes are killed, end the farm, and return what was found.

    Args:
        seed: decides what is killed, and when.
        show: gets lines about the progress.
        deadly: each so many tasks take their worker along once.
    """
    chance = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfchaos")))
        for name in ("runs", "runs.died"):
            folder.joinpath(name).mkdir()
        group = stack.enter_context(memory_group(folder.name))
        share = -(-plan.tasks // plan.clients)
        parts = [
            Part(number=n, folder=str(folder), n_tasks=min(share, plan.tasks - n * share), deadly=deadly, group=group)
            for n in range(plan.clients)
        ]
        for part in parts:
            part.file.write_bytes(msgspec.json.encode(part))
        paths = farm_paths("default")
        with start(plan.workers) as farm:
            clients = Clients(parts)
            stack.callback(clients.end)
            storm = Storm(clients, chance)
            begun = time.monotonic()
            _permit(folder, 0.0, share)
            events = plan.events(chance)
            for n_done, event in enumerate(events):
                _permit(folder, (n_done + 1) / len(events), share)
                _strike_soon(storm, event, plan.gap, chance)
                if n_done % 10 == 9 or n_done == len(events) - 1:
                    n_runs = sum(file.read_bytes().count(b"\n") for file in folder.joinpath("runs").iterdir())
                    show(f"{time.monotonic() - begun:4.0f} s, {n_done + 1:,} of {len(events):,} kills and stops, "
                         f"{n_runs:,} executions")  # fmt: skip
            _permit(folder, 1.0, share)
            _await_end(clients, folder, show)
            seconds = time.monotonic() - begun
            with farm.client() as client:
                until(lambda: not _n_open(client.queue_status()), "all tasks have ended")
                facts = Facts.collect(client, parts, read_runs(folder / "runs"))
        ends: Counter[int] = Counter()
        store = Store(paths.journal)
        for record in store.newest_ended():
            ends.update(record.ids)
        store.close()
        problems = [" ".join(words[1:]) for words in read_lines(*folder.glob("notes-*")) if words[0] == "problem"]
        report = judge(parts, facts, ends, storm.done, plan.workers)
        report.seed = seed
        report.problems += clients.problems + problems
        report.seconds = round(seconds, 1)
        report.figures["waits over 30 s"] = sum("no task of this client ended" in text for text in problems)
        return report


def _strike_soon(storm: Storm, event: str, gap: float, chance: random.Random) -> None:
    """Let an event happen after a random time, and again after another one while there is nobody to meet.

    So it does not lie in wait for a process that starts: each moment is as likely as any other.
    """
    deadline = time.monotonic() + 2 * DEADLINE
    while True:
        time.sleep(chance.expovariate(1 / gap))
        if storm.strike(event):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{event}: there was none for {2 * DEADLINE:g} s")


def _n_open(status: dict[str, int]) -> int:
    return status["scheduled"] + status["pending"]


def _permit(folder: Path, share: float, n_tasks: int) -> None:
    """Permit this share of each client's tasks, so that the load lasts as long as the kills."""
    new = folder / "permits.new"
    new.write_text(str(round(share * n_tasks) + 1))
    new.replace(folder / "permits")


def _await_end(clients: Clients, folder: Path, show: Callable[[str], object]) -> None:
    """Return when all clients have done their part; fail if nothing comes of it for a long time."""
    size, since = 0, time.monotonic()
    while clients.check():
        time.sleep(0.05)
        now = sum(note.stat().st_size for note in folder.glob("notes-*"))
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > HUNG + DEADLINE:
            clients.problems.append(f"no client noted anything for {HUNG + DEADLINE:g} s after the last kill")
            return
