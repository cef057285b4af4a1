"""One version of the project, measured on request: a farm of two workers and a kernel that uses it.

Started by `same_cost` as a file, with the version's folder first on `PYTHONPATH` and this clone behind it. A line on
stdin is a measure and how often; the answer is a line of JSON: seconds, or seconds of the workers' CPU, for one piece
of work.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import taskfc_ext
from benchmarks.measures.notebook import EMPTY, INPUTS, Kernel, fresh_kernel

CELL = "%%task\nsum(b) + a"
WAITED = "%%task --wait\nsum(b) + a"

data = np.zeros(12_500_000)  # 100 MB
factor = 3
seen: list[int] = []


def constant() -> int:
    """Return what is known."""
    return 7


def times(item: int) -> int:
    """Use a constant of the notebook."""
    return item * factor


def scale(item: int) -> int:
    """Use a function of the notebook."""
    return times(item) + 1


def note(item: int) -> int:
    """Change a list of the notebook."""
    seen.append(item)
    return len(seen)


def looked_up(item: int) -> float:
    """Use a large array of the notebook."""
    return float(data[item])


class Side:
    """The farm, its client, and the kernel."""

    def __init__(self, controller: Any, client: Any, kernel: Kernel) -> None:
        self._controller = controller
        self._client = client
        self._kernel = kernel
        self.measures: dict[str, Callable[[int], float]] = {
            "submit": lambda n: self._submit(constant, n),
            "cell": lambda n: self._cells(CELL, n),
            "waited": lambda n: self._cells(WAITED, n),
            "map": self._map,
            "cpu_constant": lambda n: self._cpu(lambda: self._submit(constant, n), n),
            "cpu_uses": lambda n: self._cpu(lambda: self._submit(scale, n, with_item=True), n),
            "cpu_list": lambda n: self._cpu(lambda: self._submit(note, n, with_item=True), n),
            "cpu_cell": lambda n: self._cpu(lambda: self._cells(WAITED, n), n),
        }

    def _submit(self, function: Callable[..., Any], n: int, *, with_item: bool = False) -> float:
        begun = time.perf_counter()
        futures = [self._client.submit(function, *([item] if with_item else [])) for item in range(n)]
        self._client.flush()
        for future in futures:
            future.result()
        return (time.perf_counter() - begun) / n

    def _map(self, n: int) -> float:
        begun = time.perf_counter()
        assert len(self._client.map(looked_up, range(n))) == n
        return (time.perf_counter() - begun) / n

    def _cells(self, source: str, n: int) -> float:
        """Return what a cell adds to an empty one."""
        pairs = [(self._kernel.run(EMPTY), self._kernel.run(source)) for _ in range(n)]
        empty, added = zip(*pairs, strict=True)
        return median(added) - median(empty)

    def _cpu(self, act: Callable[[], object], n: int) -> float:
        before = sum(map(_cpu_seconds, self._controller.worker_pids))
        act()
        return (sum(map(_cpu_seconds, self._controller.worker_pids)) - before) / n


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process's threads so far (`man 5 proc`, schedstat), in seconds."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextmanager
def side() -> Iterator[Side]:
    """Start the farm and the kernel; both are warm when they are yielded."""
    with taskfc_ext.start(2) as controller, controller.client() as client, fresh_kernel() as kernel:
        made = Side(controller, client, kernel)
        for source in ("%load_ext taskfc_ext\n%config TaskMagics.notify = False", INPUTS):
            kernel.run(source)
        for measure in made.measures.values():
            measure(10)
        yield made


def main() -> None:
    """Answer each line of stdin; the first answer, unasked, is the folder of the version."""
    with side() as measured:
        print(json.dumps(os.path.dirname(os.path.dirname(taskfc_ext.__file__))), flush=True)
        for line in sys.stdin:
            name, n = re.split(r"\s+", line.strip())
            print(json.dumps(measured.measures[name](int(n))), flush=True)


if __name__ == "__main__":
    main()
