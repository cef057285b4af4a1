"""Measure this project and its peers in one run, and say whether the promised ratios are met."""

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
from benchmarks.report import figures, ratios
from benchmarks.rounds import Cell, run_rounds

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
    Cell(OURS, "cold", 1),
    Cell("ProcessPoolExecutor", "cold", 1),
    Cell("dask LocalCluster", "cold", 1),
    Cell("ipyparallel", "cold", 1),
]

SMOKE = [
    Cell(system, measure, n)
    for system in (OURS, "ProcessPoolExecutor")
    for measure, n in (("throughput", 200), ("latency", 20), ("cold", 1))
]
"""Shows that the scripts run; its figures mean nothing."""


def main() -> int:
    """Run what the command line asks for; return 1 when a system could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each measures every cell once (default: 3)")
    parser.add_argument(
        "--systems", metavar="NAME,NAME", help=f"of {', '.join(dict.fromkeys(c.system for c in CELLS))}"
    )
    parser.add_argument("--measures", metavar="NAME,NAME", help="of throughput, latency, cold")
    parser.add_argument("--profile", action="store_true", help="instead: where the controller's CPU time goes")
    parser.add_argument("--tasks", type=int, default=200_000, help="with --profile: how many (default: 200,000)")
    parser.add_argument("--smoke", action="store_true", help="instead: a few tasks each, to see that all of this runs")
    options = parser.parse_args()
    print(_machine() + "\n", flush=True)
    if options.profile:
        with tempfile.TemporaryDirectory() as folder:
            print(profile(Path(folder), options.tasks))
        return 0
    cells = [cell for cell in (SMOKE if options.smoke else CELLS) if _is_wanted(cell, options)]
    absent = {cell.system for cell in cells if _is_absent(cell.system)}
    for system in sorted(absent):
        print(f"{system} is not installed, and left out (pip install 'taskfc-ext[bench]')")
    cells = [cell for cell in cells if cell.system not in absent]
    measured = run_rounds(cells, 1 if options.smoke else options.rounds, lambda line: print(line, flush=True))
    systems = list(dict.fromkeys(cell.system for cell in cells))
    print("\nMedians [smallest-largest]\n\n" + figures(measured, systems))
    if not options.smoke:
        print("\n" + ratios(measured, OURS))
    return 1 if measured.n_failed else 0


def _is_wanted(cell: Cell, options: argparse.Namespace) -> bool:
    systems = options.systems.split(",") if options.systems else [cell.system]
    measures = options.measures.split(",") if options.measures else [cell.measure]
    return cell.system in systems and cell.measure in measures


def _is_absent(system: str) -> bool:
    return system in PACKAGES and importlib.util.find_spec(PACKAGES[system]) is None


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
