"""Interleaved rounds: every round measures every cell once, so that a drift of the machine meets all systems alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 300  # s; the slowest, ipyparallel's 2,000 tasks, takes some 20 s on two cores


@dataclass(frozen=True)
class Cell:
    """One measure of one system, over `n` tasks: as many as give it a few seconds; `script` is who measures it."""

    system: str
    measure: str
    n: int
    script: str = "benchmarks.cell"


@dataclass
class Measured:
    """The values of every cell: (system, quantity) -> one a round; and how many cells gave none."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    n_failed: int = 0

    def add(self, system: str, answer: Mapping[str, float]) -> None:
        """Add one round's answer."""
        for quantity, value in answer.items():
            self.values.setdefault((system, quantity), []).append(value)

    def median(self, system: str, quantity: str) -> float | None:
        """Return the median over the rounds; `None` where nothing was measured."""
        values = self.values.get((system, quantity))
        return median(values) if values else None

    def knows(self, system: str, quantities: Iterable[str]) -> bool:
        """Tell whether any of these was measured of a system."""
        return any((system, quantity) in self.values for quantity in quantities)

    def range(self, system: str, quantity: str) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        values = self.values[system, quantity]
        return min(values), max(values)


class CellFailed(Exception):
    """A cell's process ended badly; the text is the end of its stderr."""


def run_rounds(cells: list[Cell], rounds: int, say: Callable[[str], None]) -> Measured:
    """Measure all `cells` in each of `rounds` rounds; what fails is said and left out."""
    measured = Measured()
    for number in range(1, rounds + 1):
        for cell in cells:
            try:
                answer = run_cell(cell)
            except CellFailed as error:
                measured.n_failed += 1
                say(f"round {number}: {cell.system} {cell.measure} failed: {error}")
                continue
            measured.add(cell.system, answer)
            figures = ", ".join(f"{quantity} {value:,.4g}" for quantity, value in answer.items())
            say(f"round {number}/{rounds}  {cell.system:<20} {cell.measure:<11} {figures}")
    return measured


def run_cell(cell: Cell, environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a cell in a fresh process with folders of its own, and return its answer.

    Raises:
        CellFailed: it did not answer.
    """
    with _own_folders() as folders:
        try:
            done = subprocess.run(
                [sys.executable, "-m", cell.script, cell.system, cell.measure, str(cell.n)],
                cwd=ROOT,
                env={**os.environ, **folders, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=CELL_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CellFailed(f"no answer within {CELL_TIMEOUT} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise CellFailed(done.stderr.strip()[-2000:] or f"exit code {done.returncode}")
    answer: dict[str, float] = json.loads(lines[-1])
    return answer


@contextmanager
def _own_folders() -> Iterator[dict[str, str]]:
    """Yield an environment in which no system meets what an earlier run left behind."""
    folder = tempfile.mkdtemp(prefix="tfcb-")
    names = ("TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    try:
        yield dict.fromkeys(names, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
