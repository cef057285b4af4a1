"""Measure the attacks on a farm of this machine, and print a table."""

from __future__ import annotations

import argparse

from tests.homes import new_home
from tests.hostile.attacks import ATTACKS
from tests.hostile.measure import farm, measure


def main() -> None:
    """Measure the attacks that the command line names; else all."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=6.0, help="of each attack")
    parser.add_argument("--queue", type=int, default=200_000, help="tasks that wait in the queue meanwhile")
    options = parser.parse_args()
    with new_home():
        print(_row("attack", "p50 before", "p99", "p50 meanwhile", "p99", "longest", "ratio", "RSS", "left", "log"))
        with farm("hostile", queue=options.queue) as (controller, client):
            for attack in options.attacks or ATTACKS:
                m = measure(controller, client, attack, options.seconds)
                times = [f"{1000 * each:.2f}" for each in (*m.before, *m.during, m.worst)]
                sizes = [f"{each / 2**20:.1f}" for each in (m.growth, m.left, m.log_bytes)]
                print(_row(attack, *times, f"{m.ratio:.1f}", *sizes), m.sent, f"n={m.n:,}", flush=True)
    print("\nTimes in ms, sizes in MiB; ratio: of the two p99.")


def _row(name: str, *cells: str) -> str:
    return f"{name:<14}" + "".join(f"{cell:>14}" for cell in cells) + "  "


if __name__ == "__main__":
    main()
