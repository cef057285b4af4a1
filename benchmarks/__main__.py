"""Measure this project and its peers in one run, and say whether what was promised is met."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.profile import profile
from benchmarks.report import (
    COLUMNS,
    DATA_COLUMNS,
    DATA_TARGETS,
    NOTEBOOK_COLUMNS,
    QUEUE_COLUMNS,
    TARGETS,
    costs,
    figures,
    notebook,
    points,
    queue,
    ratios,
)
from benchmarks.rounds import Cell, run_rounds
from benchmarks.same_cost import BEFORE, is_known, revision

OURS = "taskfc_ext"
PACKAGES = {"dask": "distributed", "dask LocalCluster": "distributed", "ipyparallel": "ipyparallel"}

CELLS = [
    Cell(OURS, "throughput", 50_000),
    Cell("ProcessPoolExecutor", "throughput", 20_000),
    Cell("dask", "throughput", 2_000),
    Cell("ipyparallel", "throughput", 2_000),
    Cell(OURS, "latency", 2_000),
    Cell("ProcessPoolExecutor", "latency", 2_000),
    Cell("dask", "latency", 300),
    Cell("ipyparallel", "latency", 300),
    Cell(OURS, "balance", 128),
    Cell("ProcessPoolExecutor", "balance", 128),
    Cell("dask", "balance", 128),
    Cell("ipyparallel", "balance", 128),
    Cell(OURS, "cold", 1),
    Cell("ProcessPoolExecutor", "cold", 1),
    Cell("dask LocalCluster", "cold", 1),
    Cell("ipyparallel", "cold", 1),
]

DATA = [Cell(system, "data", 5, "benchmarks.data") for system in (OURS, "ProcessPoolExecutor", "dask")]

NOTEBOOK = [
    *(Cell(system, "cell", 40, "benchmarks.notebook") for system in (OURS, "ipyparallel", "dask")),
    *(Cell(system, "load", 3, "benchmarks.notebook") for system in (OURS, "ipyparallel", "dask")),
    Cell(OURS, "card", 10, "benchmarks.page"),
    Cell(OURS, "abort", 5, "benchmarks.page"),
]
QUEUE = [
    Cell(OURS, "widget", 10, "benchmarks.queue"),
    Cell(OURS, "sidebar", 10, "benchmarks.queue"),
    Cell(OURS, "scroll", 100_000, "benchmarks.queue"),
    Cell(OURS, "cost", 10, "benchmarks.queue"),
    Cell(OURS, "watched", 50_000, "benchmarks.queue"),
]
SAME = [Cell(OURS, "cost_of_same", 5, "benchmarks.same_cost")]
"""This version beside an earlier one; its rounds are its own, within one run of it."""

NEEDS = {
    "benchmarks.data": ("numpy",),
    "benchmarks.notebook": ("jupyter_client",),
    "benchmarks.page": ("jupyterlab", "playwright"),
    "benchmarks.queue": ("jupyterlab", "playwright"),
    "benchmarks.same_cost": ("jupyter_client", "numpy"),
}

SMOKE = [
    *(
        Cell(system, measure, n)
        for system in (OURS, "ProcessPoolExecutor")
        for measure, n in (("throughput", 200), ("latency", 20), ("balance", 8), ("cold", 1))
    ),
    Cell(OURS, "data", 2, "benchmarks.data"),
    Cell(OURS, "cell", 2, "benchmarks.notebook"),
    Cell(OURS, "load", 1, "benchmarks.notebook"),
    Cell(OURS, "card", 1, "benchmarks.page"),
    Cell(OURS, "widget", 1, "benchmarks.queue"),
    Cell(OURS, "cost", 1, "benchmarks.queue"),
    Cell(OURS, "cost_of_same", 1, "benchmarks.same_cost"),
]
"""Shows that the scripts run; its figures mean nothing."""

TABLES = [
    ("two workers, no-op task", COLUMNS),
    ("arrays of 100 MB", DATA_COLUMNS),
    ("in a notebook", NOTEBOOK_COLUMNS),
    ("the live queue", QUEUE_COLUMNS),
]


def main() -> int:
    """Run what the command line asks for; return 1 when a system could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each measures every cell once (default: 3)")
    parser.add_argument(
        "--systems", metavar="NAME,NAME", help=f"of {', '.join(dict.fromkeys(c.system for c in CELLS))}"
    )
    parser.add_argument(
        "--measures",
        metavar="NAME,NAME",
        help=f"of {', '.join(dict.fromkeys(c.measure for c in [*CELLS, *DATA, *NOTEBOOK, *QUEUE, *SAME]))}",
    )
    parser.add_argument(
        "--before", metavar="REVISION", help=f"what `cost_of_same` compares with, a Git revision (default: {BEFORE})"
    )
    parser.add_argument("--profile", action="store_true", help="instead: where the controller's CPU time goes")
    parser.add_argument("--tasks", type=int, default=200_000, help="with --profile: how many (default: 200,000)")
    parser.add_argument("--smoke", action="store_true", help="instead: a few tasks each, to see that all of this runs")
    options = parser.parse_args()
    if options.before:
        os.environ["TASKFC_BEFORE"] = options.before
    print(_machine() + "\n", flush=True)
    if options.profile:
        with tempfile.TemporaryDirectory() as folder:
            print(profile(Path(folder), options.tasks))
        return 0
    cells = [
        cell
        for cell in (SMOKE if options.smoke else [*CELLS, *DATA, *NOTEBOOK, *QUEUE, *SAME])
        if _is_wanted(cell, options)
    ]
    absent = {cell: why for cell in cells if (why := _is_absent(cell))}
    for why in sorted(set(absent.values())):
        print(why)
    cells = [cell for cell in cells if cell not in absent]
    measured = run_rounds(cells, 1 if options.smoke else options.rounds, lambda line: print(line, flush=True))
    print("\nMedians [smallest-largest]")
    for title, columns in TABLES:
        if systems := list(dict.fromkeys(cell.system for cell in cells if measured.knows(cell.system, columns))):
            print("\n" + figures(measured, systems, title, columns))
    for columns, targets in ((COLUMNS, TARGETS), (DATA_COLUMNS, DATA_TARGETS)):
        if not options.smoke and measured.knows(OURS, columns):
            print("\n" + ratios(measured, OURS, targets))
    if not options.smoke and measured.knows(OURS, ["balance"]):
        print("\n" + points(measured, OURS))
    if not options.smoke and measured.knows(OURS, NOTEBOOK_COLUMNS):
        print("\n" + notebook(measured, OURS))
    if not options.smoke and measured.knows(OURS, QUEUE_COLUMNS):
        print("\n" + queue(measured, OURS))
    if measured.knows(OURS, ["submit_ratio"]):
        print(f"\n{costs(measured, OURS)}\n\nbefore: {revision()}; after: this folder")
    return 1 if measured.n_failed else 0


def _is_wanted(cell: Cell, options: argparse.Namespace) -> bool:
    systems = options.systems.split(",") if options.systems else [cell.system]
    measures = options.measures.split(",") if options.measures else [cell.measure]
    return cell.system in systems and cell.measure in measures


def _is_absent(cell: Cell) -> str:
    """Return what a cell lacks here; empty when it can be measured."""
    for package in (PACKAGES.get(cell.system), *NEEDS.get(cell.script, ())):
        if package is not None and importlib.util.find_spec(package) is None:
            return f"{package} is not installed, and what needs it is left out (pip install 'taskfc-ext[bench,test]')"
    if cell.script == "benchmarks.same_cost" and not is_known(revision()):
        return f"this clone has no revision {revision()}, and what is compared with it is left out (--before REVISION)"
    if cell.script in ("benchmarks.page", "benchmarks.queue"):
        from tests.browser.lab import chromium  # needs Playwright

        if chromium() is None:
            return "there is no Chromium, and what is seen in it is left out (apt-get install chromium)"
    return ""


def _machine() -> str:
    versions = []
    for package in ("distributed", "ipyparallel", "pyzmq", "msgspec"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()}"
    return f"{cores} cores, {platform.system()} {platform.machine()}, {python}, {', '.join(versions)}"


if __name__ == "__main__":
    sys.exit(main())
