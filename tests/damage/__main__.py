"""The harness by hand: `python -m tests.damage --cases 10000 --seed 1`; with `--log`, logs after kill -9 only."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.damage.harness import run
from tests.homes import memory_or


def main() -> int:
    """Run the cases and print the table; return 1 if there was a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.damage", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--log", action="store_true", help="damage logs of killed processes only")
    arguments = parser.parse_args()
    seed = int.from_bytes(os.urandom(4), "little") if arguments.seed is None else arguments.seed
    print(f"seed {seed}, {arguments.cases:,} cases")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=memory_or(None)) as folder:
        outcome = run(
            Path(folder),
            cases=arguments.cases,
            seed=seed,
            only_log=arguments.log,
            report=lambda line: print(line, flush=True),
        )
    print(outcome.table())
    print(*outcome.violations[:50], sep="\n")
    print(f"{len(outcome.violations)} violations in {arguments.cases:,} cases, {time.monotonic() - begin:.0f} s")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
