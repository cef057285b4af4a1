"""Run many rounds through one farm, and print a table of the growths; exit with 1 if one is over its bound."""

from __future__ import annotations

import argparse
import os
import sys
import time

from taskfc_ext import start
from tests.homes import new_home
from tests.processes import until
from tests.soak.harness import BYTES_A_TASK, PER_ROUND, STORE_BYTES, growths, soak, table


def main() -> int:
    """Run as many rounds as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help=f"of {PER_ROUND:,} tasks")
    given = parser.parse_args()
    begin = time.monotonic()
    with new_home(), start(2, name="soak") as farm, farm.client() as client:
        until(lambda: [each.state for each in client.workers()] == ["idle", "idle"], "both workers take part")
        found = growths(soak(farm, client, rounds=given.rounds, report=lambda line: print(line, flush=True)))
        left = {state: n for state, n in client.queue_status().items() if n}
    print(table(found))
    seconds, load = time.monotonic() - begin, os.getloadavg()[0]
    print(f"{given.rounds * PER_ROUND:,} tasks, {seconds:.0f} s, load {load:.1f}; tasks left: {left or 'none'}")
    print(
        f"lower, upper: of the 95 % interval. Bounds: {BYTES_A_TASK:g} bytes of memory a task, no more descriptors and "
        f"threads, {STORE_BYTES:,} bytes of the store"
    )
    return 1 if left or any(each.is_over for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
