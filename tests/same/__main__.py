"""Run notebooks twice, plain and with their cells as tasks, and say which cells give the same (`make same`)."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.same.cells import read_cells
from tests.same.report import Compared, compare, share, table
from tests.same.runs import Bring, How, run

NOTEBOOKS = Path(__file__).parent / "notebooks"
HOWS: dict[str, How] = {"cells": "tasks", "calls": "calls"}
PROMISED = {"cells": 0.95, "calls": 0.85}
"""Shares of cells. What a call changes of the notebook's names stays with the call, by design."""


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return 1 when too many cells differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.same", description=__doc__)
    parser.add_argument("notebooks", nargs="*", help=".ipynb, or percent format; default: those of the project")
    parser.add_argument("--as", dest="how", choices=HOWS, default="cells", help="what runs as tasks (default: cells)")
    parser.add_argument(
        "--bring",
        choices=("bound", "told", "all"),
        default="all",
        help="-o of the names that a cell binds; of those and what --dry-run says is changed there only; '*' (default)",
    )
    options = parser.parse_args(arguments)
    paths = [Path(name) for name in options.notebooks] or sorted(NOTEBOOKS.glob("*.py"))
    compared = [
        compare_notebook(path, HOWS[options.how], options.bring, f"[{n}/{len(paths)}]")
        for n, path in enumerate(paths, 1)
    ]
    print("\n" + table(compared))
    reached = share(compared)
    promised = PROMISED[options.how]
    print(f"\n{reached:.1%} of the cells give the same; promised are {promised:.0%}")
    return 0 if reached >= promised else 1


def compare_notebook(path: Path, how: How, bring: Bring, where: str = "") -> Compared:
    """Run a notebook both ways, saying how far it is, and return what differs."""
    cells = read_cells(path)
    started = time.monotonic()
    seen = []
    for stage in ("here", how):
        line = f"{where}{path.stem:<24} {stage:<6} "
        seen.append(run(cells, stage, lambda text, line=line: _moving(line + text), bring))
    found = compare(path.stem, cells, *seen)
    start = "\r\x1b[K" if sys.stdout.isatty() else ""
    seconds = time.monotonic() - started
    print(
        f"{start}{where} {path.stem:<24} {found.n_equal} of {found.n_cells} equal, {seconds:.0f} s".lstrip(), flush=True
    )
    return found


def _moving(text: str) -> None:
    """Replace the line on a terminal; elsewhere only whole notebooks are told."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
