"""Measure this project and its peers in one run, and say whether what was promised is met."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measures.same_cost import BEFORE, revision
from benchmarks.plan import GROUPS, SMOKE, USUAL, absence
from benchmarks.profile import profile
from benchmarks.promises import PROMISES, is_measured, verdicts
from benchmarks.report import TABLES, costs, figures, growth
from benchmarks.results import Results, load
from benchmarks.rounds import ROOT, Cell, run_rounds
from benchmarks.systems import OURS, SYSTEMS

FILE = ROOT / "build" / "benchmarks.json"

VERSIONS = ("loky", "joblib", "executorlib", "ray", "distributed", "ipyparallel", "pyzmq", "msgspec")


def main() -> int:
    """Run what the command line asks for; return 1 when a system could not be measured."""
    options = _parse()
    if options.before:
        os.environ["TASKFC_BEFORE"] = options.before
    results = Results(machine(), datetime.datetime.now(datetime.UTC).date().isoformat())
    if options.add and options.json.exists():
        try:
            results = load(options.json)
        except ValueError as error:
            sys.exit(f"{error}; without --add it is replaced")
    print(results.machine + "\n", flush=True)
    if options.profile:
        with tempfile.TemporaryDirectory() as folder:
            print(profile(Path(folder), options.tasks))
        return 0
    cells = _select(options)
    absent = {cell: why for cell in cells if (why := absence(cell))}
    for why in sorted(set(absent.values())):
        print(why)
    cells = [cell for cell in cells if cell not in absent]
    for _ in run_rounds(cells, 1 if options.smoke else options.rounds, results, lambda line: print(line, flush=True)):
        if not options.smoke:
            results.save(options.json)
    print("\n" + report(results, is_smoke=options.smoke))
    if not options.smoke:
        page = "reliability" if list(options.groups or ()) == ["deaths"] else "publish"
        print(f"\nThe figures are in {options.json}: python -m benchmarks.{page} FILE puts them into the docs.")
    return 1 if results.n_failed else 0


def report(results: Results, *, is_smoke: bool = False) -> str:
    """Return all tables that have figures; those of promises too, unless they would mean nothing."""
    tables = [figures(results, title, columns) for title, columns in TABLES.items()]
    tables.append(growth(results, OURS))
    if not is_smoke:
        for title, promises in PROMISES.items():
            if is_measured(results, promises):
                tables.append(verdicts(results, title, promises))
    if results.knows(OURS, ["submit_ratio"]):
        tables.append(f"{costs(results, OURS)}\n\nbefore: {revision()}; after: this folder")
    return "Medians [smallest-largest]\n\n" + "\n\n".join(filter(None, tables))


def machine() -> str:
    """Return a line about this machine, what else it does, and the versions of what is compared."""
    versions = []
    for package in VERSIONS:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()}"
    load = f"load average {os.getloadavg()[0]:.1f} at the start"
    return f"{cores} cores, {platform.system()} {platform.machine()}, {load}, {python}, {', '.join(versions)}"


def _select(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that the command line names: by group, by system and by measure."""
    if options.smoke:
        return SMOKE
    groups = options.groups or (GROUPS if options.measures else USUAL)
    return [
        cell
        for group in groups
        for cell in GROUPS[group]
        if (not options.systems or cell.system in options.systems)
        and (not options.measures or cell.measure in options.measures)
    ]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each measures every cell once (default: 3)")
    measures = dict.fromkeys(cell.measure for cells in GROUPS.values() for cell in cells)
    _add_names(parser, "--groups", GROUPS, f"default: {','.join(USUAL)}")
    _add_names(parser, "--systems", SYSTEMS, "default: all")
    _add_names(parser, "--measures", measures, "default: all of the groups")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", default=FILE, help=f"where the figures go (default: {FILE})"
    )
    parser.add_argument("--add", action="store_true", help="keep what that file has of other cells")
    parser.add_argument(
        "--before", metavar="REVISION", help=f"what `cost_of_same` compares with, a Git revision (default: {BEFORE})"
    )
    parser.add_argument("--profile", action="store_true", help="instead: where the controller's CPU time goes")
    parser.add_argument("--tasks", type=int, default=200_000, help="with --profile: how many (default: 200,000)")
    parser.add_argument("--smoke", action="store_true", help="instead: a few tasks each, to see that all of this runs")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least one is needed")
    return options


def _add_names(parser: argparse.ArgumentParser, option: str, known: Iterable[str], default: str) -> None:
    names = list(known)

    def split(text: str) -> list[str]:
        if unknown := [name for name in text.split(",") if name not in names]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(names)}")
        return text.split(",")

    parser.add_argument(option, type=split, metavar="NAME,NAME", help=f"of {', '.join(names)} ({default})")


if __name__ == "__main__":
    sys.exit(main())
