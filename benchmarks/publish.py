"""Put the figures of a run into the docs: the tables of docs/benchmarks.md and its picture.

python -m benchmarks.publish FILE       first copies the figures of FILE, as `make bench` wrote it, to docs/
python -m benchmarks.publish            tables and picture of the figures that are there
python -m benchmarks.publish --check    exits with 1 if the tables are not those of these figures
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.picture import draw
from benchmarks.promises import PROMISES, is_measured, verdicts
from benchmarks.report import TABLES, figures, growth
from benchmarks.results import Results, load
from benchmarks.rounds import ROOT
from benchmarks.systems import OURS

FIGURES = ROOT / "docs" / "benchmarks.json"
PICTURE = ROOT / "docs" / "pictures" / "benchmarks.svg"
PAGE = ROOT / "docs" / "benchmarks.md"

BEGIN = "<!-- From here to the end of the figures: written by `python -m benchmarks.publish`. -->"
END = "<!-- The end of the figures. -->"


def main(argv: list[str] | None = None) -> int:
    """Write tables and picture, or compare the tables; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the figures of a run")
    parser.add_argument("--check", action="store_true", help="write nothing, and exit with 1 if the page is stale")
    options = parser.parse_args(argv)
    results = load(options.file or FIGURES)
    wanted = insert(PAGE.read_text(), tables(results))
    if options.check:
        return compare(PAGE, wanted, command="python -m benchmarks.publish")
    results.save(FIGURES)
    PAGE.write_text(wanted)
    draw(results, PICTURE)
    return 0


def compare(page: Path, wanted: str, *, command: str) -> int:
    """Return 0 if a page has the `wanted` text, else 1 after a line with the command that writes it."""
    if page.read_text() == wanted:
        return 0
    print(f"{page.relative_to(ROOT)} is stale: run {command}", file=sys.stderr)
    return 1


def insert(page: str, text: str, *, begin: str = BEGIN) -> str:
    """Return a page with `text` between its two marks.

    Raises:
        ValueError: it does not have each mark once.
    """
    if page.count(begin) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must have these lines once each: {begin!r} and {END!r}")
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def tables(results: Results) -> str:
    """Return the section of figures: where and when, one table for each kind, and the promises."""
    n = len(results.rounds)
    rounds = "1 round" if n == 1 else f"{n} rounds, medians [smallest-largest]"
    parts = [f"{results.date}, {rounds}. {results.machine}."]
    parts += [figures(results, title, columns) for title, columns in TABLES.items()]
    parts += [growth(results, OURS), "### Promises"]
    parts += [
        verdicts(results, title, promises) for title, promises in PROMISES.items() if is_measured(results, promises)
    ]
    return "\n\n".join(filter(None, parts))


if __name__ == "__main__":
    sys.exit(main())
