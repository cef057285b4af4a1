"""Every crash of every script, and every crash while the controller recovers from it.

    python -m tests.controller.every_crash [--points N] [--seed SEED]

A point is one play of a script to its end: the controller is killed at one commit or at two, before it, after it, or
after the sends, which arrive or are lost. The second is counted from the start of the controller that recovers. With
`--points N` the play goes on with three crashes at random commits until there are N.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice, product
from pathlib import Path
from typing import NamedTuple

from taskfc_ext.core.journal import baseline
from taskfc_ext.drivers import journal
from tests.controller.crash_scripts import SCRIPTS, WHEN, play
from tests.homes import memory_or

RECOVERY = 6
"""Commits of the next controller among which the second crash is: its start, what it hears, and a few steps."""

REPORT_EVERY = 15.0
"""Seconds between two lines of progress."""


class Point(NamedTuple):
    """One play: the script, and the crashes, each a commit of its controller and a moment of that."""

    script: str
    crashes: tuple[tuple[int, str], ...]


def fails(point: Point) -> str:
    """Play one point; return what went wrong, empty if nothing did."""
    baseline.AFTER_CLEAR = 3  # so that short scripts have baselines, too, and rows that are verified in several parts
    journal._AT_ONCE = 3
    with tempfile.TemporaryDirectory(dir=memory_or(None)) as folder:
        try:
            play(SCRIPTS[point.script], Path(folder, "journal"), *point.crashes)
        except Exception as error:
            return f"{point.script}, {point.crashes}: {type(error).__name__}: {error}"
    return ""


def n_commits(script: str) -> int:
    """Return the number of commits of a script that nothing disturbs."""
    baseline.AFTER_CLEAR = 3
    with tempfile.TemporaryDirectory() as folder:
        return play(SCRIPTS[script], Path(folder, "journal")).n_commits


def all_points() -> Iterator[Point]:
    """Yield each single crash, and each of them with each crash of the recovery."""
    for script in SCRIPTS:
        firsts = list(product(range(1, n_commits(script) + 1), WHEN))
        yield from (Point(script, (first,)) for first in firsts)
        seconds = list(product(range(1, RECOVERY + 1), WHEN))
        yield from (Point(script, crashes) for crashes in product(firsts, seconds))


def random_points(draw: random.Random) -> Iterator[Point]:
    """Yield points of three crashes, for ever."""
    while True:
        script = draw.choice(list(SCRIPTS))
        yield Point(script, tuple((draw.randint(1, 8), draw.choice(WHEN)) for _ in range(3)))


def main() -> int:
    """Play all points, and print a table; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.controller.every_crash", description=__doc__)
    parser.add_argument(
        "--points", type=int, default=0, help="at least so many; default: those of one crash and of two"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="of the random ones; default: a new one, which is printed"
    )
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    seed = int.from_bytes(os.urandom(4), "little") if options.seed is None else options.seed
    points = list(all_points())
    n_systematic = len(points)
    points += islice(random_points(random.Random(seed)), max(0, options.points - n_systematic))
    print(f"{n_systematic:,} points of one crash or two, {len(points) - n_systematic:,} of three with seed {seed}")
    began, reported, played = time.monotonic(), time.monotonic(), Counter[tuple[str, int]]()
    problems: list[str] = []
    with ProcessPoolExecutor(options.processes) as pool:
        for point, problem in zip(points, pool.map(fails, points, chunksize=50), strict=True):
            played[point.script, len(point.crashes)] += 1
            if problem:
                problems.append(problem)
                print(problem, flush=True)
            if time.monotonic() > reported + REPORT_EVERY:
                reported = time.monotonic()
                print(f"{reported - began:6.0f} s, {played.total():,} of {len(points):,}", flush=True)
    print(f"{'script':<40}{'one crash':>12}{'two':>12}{'three':>12}")
    for script in SCRIPTS:
        print(f"{script:<40}" + "".join(f"{played[script, n]:>12,}" for n in (1, 2, 3)))
    print(f"{len(problems)} problems at {played.total():,} points, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
