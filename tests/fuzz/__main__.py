"""Run the parts of the harness, and print a table of each.

python -m tests.fuzz                                          all of it: half an hour on two cores
python -m tests.fuzz decoders --frames 100000 --seed 7        one part, and less of it
python -m tests.fuzz core --seed 7 --case 123                 one case again, as a failure names it
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

from tests.fuzz import core, decoders, files, live
from tests.fuzz.outcome import HANG, SHOWN, Outcome
from tests.homes import new_home


def main() -> int:
    """Run the parts that the command line names, else all; return 1 if anything failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="decoders, core, files, live; all of them by default")
    parser.add_argument("--frames", type=int, default=10_000_000, help="for the decoders")
    parser.add_argument("--conversations", type=int, default=10_000, help="with a bare core")
    parser.add_argument("--files", type=int, default=100_000, help="to be damaged")
    parser.add_argument("--messages", type=int, default=1_000_000, help="for a live farm")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--case", type=int, default=None, help="only this one of the part")
    parser.add_argument("--processes", type=int, default=2, help="for the decoders")
    given = parser.parse_args()
    seed = int.from_bytes(os.urandom(4), "little") if given.seed is None else given.seed

    parts: dict[str, Callable[[], Outcome]] = {
        "decoders": lambda: decoders.run(
            n=given.frames, seed=seed, processes=given.processes if given.case is None else 1, case=given.case,
            report=_report,
        ),
        "core": lambda: core.run(n=given.conversations, seed=seed, case=given.case, report=_report),
        "files": lambda: files.run(n=given.files, seed=seed, case=given.case, report=_report),
        "live": lambda: _run_live(given.messages, seed),
    }  # fmt: skip
    if unknown := set(given.parts) - parts.keys():
        parser.error(f"there is no part {', '.join(unknown)}")
    n_failures = 0
    for name in given.parts or parts:
        begin = time.monotonic()
        outcome = parts[name]()
        print(f"\n{name}, seed {seed}, {time.monotonic() - begin:.0f} s, load {os.getloadavg()[0]:.1f}")
        print(outcome.table())
        print(*outcome.failures[:SHOWN], sep="\n")
        n_failures += len(outcome.failures)
    print(f"{n_failures} failures; a hang is over {1000 * HANG:.0f} ms of processor time")
    return 1 if n_failures else 0


def _run_live(n: int, seed: int) -> Outcome:
    with new_home():
        return live.run(n=n, seed=seed, report=_report)


def _report(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
