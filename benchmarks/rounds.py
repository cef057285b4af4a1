"""Interleaved rounds: every round measures every cell once, so that a drift of the machine meets all systems alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import BY_SECOND
from benchmarks.results import Results, Row

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 300  # s; the slowest, the cost of the same answer as here, takes a minute on two cores


@dataclass(frozen=True)
class Cell:
    """One measure of one system, of size `n`: what gives it a few seconds; `script` is the module that has it."""

    system: str
    measure: str
    n: int
    script: str


class CellFailed(Exception):
    """A cell's process ended badly; the text is the end of its stderr."""


def run_rounds(cells: list[Cell], rounds: int, results: Results, say: Callable[[str], None]) -> Iterator[None]:
    """Measure all `cells` in each of `rounds` rounds; yield after each. What fails is said and left out."""
    begun = time.monotonic()
    total = rounds * len(cells)
    for done, (number, cell) in enumerate((number, cell) for number in range(1, rounds + 1) for cell in cells):
        started = time.monotonic()
        try:
            figures = run_cell(cell)
        except CellFailed as error:
            results.n_failed += 1
            say(f"round {number}: {cell.system} {cell.measure} failed: {error}")
            continue
        ended = time.monotonic()
        results.add(Row(number, cell.system, cell.measure, figures, round(ended - started, 2)))
        shown = {quantity: value for quantity, value in figures.items() if BY_SECOND not in quantity}
        found = ", ".join(f"{quantity} {value:,.4g}" for quantity, value in shown.items())
        left = (ended - begun) / (done + 1) * (total - done - 1)
        say(
            f"{done + 1:>3}/{total}  {_minutes(left)} left  round {number}/{rounds}  "
            f"{cell.system:<20} {cell.measure:<21} {found}"
        )
        yield


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


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


@contextmanager
def _own_folders() -> Iterator[dict[str, str]]:
    """Yield an environment in which no system meets what an earlier run left behind."""
    folder = tempfile.mkdtemp(prefix="tfcb-")
    names = ("TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    try:
        yield dict.fromkeys(names, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
