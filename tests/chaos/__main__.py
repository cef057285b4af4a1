"""Kill everything, and compare what came of it with what was promised: `python -m tests.chaos`, or `make chaos`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.__main__ import machine
from tests.chaos import interrupts, load, notice, storm
from tests.chaos.report import Report
from tests.conftest import farm_home

FILE = Path("build", "chaos.json")

Harness = Callable[[argparse.Namespace, int, Callable[[str], object]], Report]


def _load(options: argparse.Namespace, seed: int, show: Callable[[str], object]) -> Report:
    kills = {
        "worker": options.worker_kills,
        "controller": options.controller_kills,
        "supervisor": options.supervisor_kills,
        "client": options.client_kills,
    }
    plan = load.Plan(options.tasks, options.clients, options.workers, kills, options.stops, options.gap)
    return load.run(plan, seed, show)


HARNESSES: dict[str, Harness] = {
    "load": _load,
    "storm": lambda options, seed, show: storm.run(storm.STORMS["storm"], seed, show),
    "long-storm": lambda options, seed, show: storm.run(storm.STORMS["long storm"], seed, show, "long storm"),
    "notice": lambda options, seed, show: notice.run(options.deaths, seed, show),
    "interrupts": lambda options, seed, show: interrupts.run(options.waits, seed, show),
}


def main() -> int:
    """Run what the command line asks for; return 1 if a promise was broken."""
    options = _parse()
    here = machine()
    print(here, flush=True)
    reports = []
    for what in options.what or HARNESSES:
        for seed in range(options.seed, options.seed + options.runs):
            print(f"{what}, seed {seed}", flush=True)
            reports.append(run_alone(what, options, seed))
            print(reports[-1], flush=True)
            _save(options.json, here, reports)
    n_whole = sum(report.is_whole for report in reports)
    print(f"{n_whole} of {len(reports)} runs were whole; the figures are in {options.json}")
    return int(n_whole < len(reports))


def run_alone(what: str, options: argparse.Namespace, seed: int) -> Report:
    """Run a harness in a home of its own; what is left there at the end is a broken promise, too."""
    report = None
    try:
        with farm_home():
            report = HARNESSES[what](options, seed, lambda line: print(f"  {line}", flush=True))
    except AssertionError as error:
        if report is None:
            report = Report(what, seed)
        report.problems.append(str(error))
    return report


def _save(file: Path, here: str, reports: list[Report]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).date().isoformat()
    found = {"machine": here, "date": date, "reports": [report.as_json() for report in reports]}
    file.write_text(json.dumps(found, indent=1) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[[], *HARNESSES], help=f"of {', '.join(HARNESSES)}; default: all")
    parser.add_argument("--seed", type=int, default=1, help="the first run's seed (default: 1)")
    parser.add_argument("--runs", type=int, default=1, help="runs of each, each with another seed (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", default=FILE, help=f"default: {FILE}")
    of_load = parser.add_argument_group("load")
    for name, default, text in (
        ("tasks", 10_000, "tasks"),
        ("clients", 3, "client processes"),
        ("workers", 3, "workers"),
        ("worker-kills", 100, "SIGKILLs of workers"),
        ("controller-kills", 20, "SIGKILLs of controllers"),
        ("supervisor-kills", 5, "SIGKILLs of supervisors"),
        ("client-kills", 20, "SIGKILLs of clients"),
        ("stops", 10, "SIGSTOPs, each followed by SIGCONT"),
    ):
        of_load.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: {default:,})")
    of_load.add_argument("--gap", type=float, default=0.25, help="mean seconds between two of them (default: 0.25)")
    parser.add_argument("--deaths", type=int, default=200, help="notice: kills (default: 200)")
    parser.add_argument("--waits", type=int, default=500, help="interrupts: waits (default: 500)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
