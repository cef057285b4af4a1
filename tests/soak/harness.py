"""Rounds of tasks through one farm, with a sample of its processes and its store after each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from taskfc_ext import BlockingTaskClient
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.files import bytes_in
from taskfc_ext.drivers.memory import resident
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.worker.helper_thread import PRELOAD_AFTER
from tests.processes import until
from tests.soak.slopes import Slope, fit

TASKS = 5000
"""Small tasks of a round."""

LARGE_TASKS = 3
"""Tasks of a round whose results stand in files."""

PER_ROUND = TASKS + LARGE_TASKS

WARM_UP = 2
"""Rounds in which caches and pools fill; a tenth of them if they are many."""

BYTES_A_TASK = 16.0
"""The most that the memory of a process may grow by with each finished and cleared task."""

STORE_BYTES = 64 * 2**20
"""The most that the store of a farm without tasks may take."""


class Resources(NamedTuple):
    """What a process holds: bytes of memory, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


class Sample(NamedTuple):
    """One look at a farm.

    Attributes:
        tasks: finished since the end of the warm-up.
        processes: name -> what it holds.
        store: bytes of all files of the store.
    """

    tasks: int
    processes: dict[str, Resources]
    store: int


@dataclass(frozen=True)
class Growth:
    """The growth of one series, for each task.

    Attributes:
        what: the process, and the resource.
        first: its value after the warm-up.
        last: its value after the last round.
        slope: for each finished task.
        is_over: whether it grows by more than it may.
    """

    what: str
    first: int
    last: int
    slope: Slope
    is_over: bool


def resources_of(pid: int) -> Resources:
    """Return what a process holds."""
    return Resources(resident(pid), len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")))


def processes_of(farm: Controller) -> dict[str, int]:
    """Return the pids of a farm's processes by their names."""
    workers = {f"worker {number}": pid for number, pid in enumerate(farm.worker_pids)}
    return {"controller": farm.pid, "supervisor": farm.supervisor_pid, **workers}


def play_round(client: BlockingTaskClient) -> None:
    """Run the tasks of one round, check their results, and clear them."""
    assert client.map(abs, range(-TASKS, 0)) == list(range(TASKS, 0, -1))
    assert [len(value) for value in client.map(bytes, [2 * LARGE] * LARGE_TASKS)] == [2 * LARGE] * LARGE_TASKS
    client.clear()


def soak(
    farm: Controller, client: BlockingTaskClient, *, rounds: int, report: Callable[[str], object] = lambda line: None
) -> list[Sample]:
    """Run the warm-up and so many rounds; return the sample after the warm-up, and one after each round."""
    for _ in range(max(WARM_UP, rounds // 10)):
        play_round(client)
    pids, samples, due = processes_of(farm), list[Sample](), time.monotonic() + 10
    until(lambda: _is_steady(list(pids.values())), "the workers have loaded what they load when they rest")
    samples.append(_look(farm, pids, 0))
    for number in range(1, rounds + 1):
        play_round(client)
        samples.append(_look(farm, pids, number * PER_ROUND))
        if time.monotonic() >= due:
            due = time.monotonic() + 10
            memory = samples[-1].processes["controller"].memory - samples[0].processes["controller"].memory
            report(f"{number:,} of {rounds:,} rounds, the controller's memory {memory / 2**20:+.1f} MiB")
    assert processes_of(farm) == pids, "none of them is another one"
    return samples


def _look(farm: Controller, pids: dict[str, int], tasks: int) -> Sample:
    held = {name: resources_of(pid) for name, pid in pids.items()}
    return Sample(tasks, held, bytes_in(farm_paths(farm.name).store))


def _is_steady(pids: list[int]) -> bool:
    """Return whether processes that rest, rest for longer than a worker does before it loads modules ahead."""
    before = [resident(pid) for pid in pids]
    time.sleep(4 * PRELOAD_AFTER)
    return [resident(pid) for pid in pids] == before


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """Return the growth of each series.

    Memory is over its bound where the upper end of the interval is; numbers of descriptors and threads are where they
    grow for certain; the store is where it is larger than it may be.
    """
    tasks = [float(sample.tasks) for sample in samples]
    found = []
    for name in samples[0].processes:
        for resource in Resources._fields:
            values = [int(getattr(sample.processes[name], resource)) for sample in samples]
            slope = fit(tasks, values)
            is_over = slope.upper >= BYTES_A_TASK if resource == "memory" else slope.lower > 0
            found.append(Growth(f"{name}, {resource}", values[0], values[-1], slope, is_over))
    sizes = [sample.store for sample in samples]
    found.append(Growth("store", sizes[0], sizes[-1], fit(tasks, sizes), max(sizes) > STORE_BYTES))
    return found


def table(found: Sequence[Growth]) -> str:
    """Return the growths as a table: first and last value, slope and its interval for each task."""
    rows = [("", "first", "last", "each task", "lower", "upper", "")]
    for each in found:
        slope = each.slope
        numbers = (f"{round(number, 3) + 0.0:,.3f}" for number in (slope.value, slope.lower, slope.upper))
        rows.append((each.what, f"{each.first:,}", f"{each.last:,}", *numbers, "OVER" if each.is_over else ""))
    return "\n".join(f"{name:<26}" + "".join(f"{cell:>14}" for cell in cells).rstrip() for name, *cells in rows)
