"""Put the figures of `make compare-reliability` and `make chaos` into docs/reliability.md, with its picture.

python -m benchmarks.reliability FILE...    first copies the figures of these files, as the two commands wrote them
python -m benchmarks.reliability            tables and picture of the figures in docs/
python -m benchmarks.reliability --check    exits with 1 if the tables are not those of these figures
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.picture import INK, OURS_COLOUR, SECOND_COLOUR, STYLE
from benchmarks.publish import compare, insert
from benchmarks.report import BY_SECOND, DEATHS, figures, table
from benchmarks.results import Results, load
from benchmarks.rounds import ROOT
from benchmarks.systems import OURS

PEERS = ROOT / "docs" / "reliability.json"
CHAOS = ROOT / "docs" / "chaos.json"
PICTURE = ROOT / "docs" / "pictures" / "reliability.svg"
PAGE = ROOT / "docs" / "reliability.md"

BEGIN = "<!-- From here to the end of the figures: written by `python -m benchmarks.reliability`. -->"

COLOURS = {OURS: OURS_COLOUR, "dask": SECOND_COLOUR, "ipyparallel": "#6d8a3c", "loky": "#8a6bb0"}

STORM = "kill_storm"


def main(argv: list[str] | None = None) -> int:
    """Write tables and picture, or compare the tables; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="figures of one of the two commands")
    parser.add_argument("--check", action="store_true", help="write nothing, and exit with 1 if the page is stale")
    options = parser.parse_args(argv)
    for file in options.files:
        (CHAOS if "reports" in json.loads(file.read_text()) else PEERS).write_text(file.read_text())
    results, chaos = load(PEERS), json.loads(CHAOS.read_text())
    wanted = insert(PAGE.read_text(), tables(results, chaos), begin=BEGIN)
    if options.check:
        return compare(PAGE, wanted, command="python -m benchmarks.reliability")
    PAGE.write_text(wanted)
    draw(results, PICTURE)
    return 0


def tables(results: Results, chaos: dict[str, Any]) -> str:
    """Return the figures of this project alone, then those beside its peers, each with where and when."""
    parts = [f"### This project\n\n{chaos['date']}. {chaos['machine']}.", _warn_if_busy(chaos["machine"])]
    runs = groupby(chaos["reports"], key=lambda report: report["what"])
    parts += [of_runs(list(reports)) for _, reports in runs]
    parts.append(f"### This project and its peers\n\n{results.date}. {results.machine}.")
    parts.append(_warn_if_busy(results.machine))
    parts += [figures(results, title, columns) for title, columns in DEATHS.items()]
    return "\n\n".join(filter(None, parts))


def _warn_if_busy(machine: str) -> str:
    """Return what figures of a machine that does other work are worth; empty for any other one."""
    found = re.search(r"(\d+) cores.*load average ([\d.]+)", machine)
    if found is None or float(found[2]) <= float(found[1]):
        return ""
    return "**The machine did much other work: these figures show that the harness runs, not how systems compare.**"


def of_runs(reports: list[dict[str, Any]]) -> str:
    """Return the table of one harness: the figures of its run, or the sums of several runs."""
    if len(reports) == 1:
        return _of_report(reports[0])
    first, last = reports[0], reports[-1]
    counts = [what for what, value in first["figures"].items() if isinstance(value, int)]
    rows = [["runs", f"{len(reports):,}"]]
    rows += [[what, f"{sum(report['figures'][what] for report in reports):,}"] for what in counts]
    verdict = "; ".join(problem for report in reports for problem in report["problems"]) or "none"
    seconds = sum(report["seconds"] for report in reports)
    heading = f"{first['what']}, seeds {first['seed']} to {last['seed']}, {seconds:,.0f} s"
    return table([heading, "all runs"], [*rows, ["broken promises", verdict]])


def _of_report(report: dict[str, Any]) -> str:
    rows = [[what, f"{value:,}" if isinstance(value, int) else str(value)] for what, value in report["figures"].items()]
    verdict = "; ".join(report["problems"]) or "none"
    heading = f"{report['what']}, seed {report['seed']}, {report['seconds']:.0f} s"
    return table([heading, ""], [*rows, ["broken promises", verdict]])


def draw(results: Results, path: Path) -> None:
    """Draw how many tasks have ended right after each second of a kill storm, and write that to `path` as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        figure, place = pyplot.subplots(figsize=(9.5, 4.5), facecolor="white")
        n_tasks = results.median(OURS, f"{STORM}_submitted") or 0
        for system, colour in COLOURS.items():
            if not (curve := ended_by_second(results, system)):
                continue
            right = results.median(system, f"{STORM}_right") or 0
            seconds = list(range(len(curve)))
            width = 2.4 if system == OURS else 1.4
            place.plot(seconds, curve, color=colour, linewidth=width, label=f"{system}: {right:,.0f} right")
        place.axvspan(0, 25, color="#f2f4f6", zorder=0)
        place.text(0.4, n_tasks * 1.03, "a worker is killed each 0.7 s", fontsize=8, color=INK)
        place.set_title("Tasks that have ended right, in a kill storm\n", loc="left", fontsize=10, fontweight="bold")
        place.set_xlabel("seconds")
        place.set_ylim(0, n_tasks * 1.1 or 1)
        place.set_xlim(left=0)
        place.grid(axis="y")
        place.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None, "Title": "Tasks that have ended right, in a kill storm"})
        pyplot.close(figure)


def ended_by_second(results: Results, system: str) -> list[float]:
    """Return how many tasks of a storm had ended right after each second."""
    curve: list[float] = []
    while (value := results.median(system, f"{STORM}{BY_SECOND}{len(curve)}")) is not None:
        curve.append(value)
    return curve


if __name__ == "__main__":
    sys.exit(main())
