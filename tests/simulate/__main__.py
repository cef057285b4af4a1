"""`python -m tests.simulate`: run seeds, or one seed with its whole story.

python -m tests.simulate --seeds 100000 --processes 2     find a violation, shrink it and print its story
python -m tests.simulate --seed 453 --trace               the story of one seed, with virtual times
python -m tests.simulate --seeds 2000 --store sqlite      on the real store, in shared memory
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulate.ledger import Violation
from tests.simulate.plan import Plan, make_plan
from tests.simulate.shrink import play, shrink
from tests.simulate.world import World

CHUNK = 50
"""Seeds from one line of progress, and one garbage collection, to the next."""


def play_chunk(first: int, n: int, store: str) -> list[tuple[int, str, str]]:
    """Return (seed, invariant, text) of each violation among `n` seeds."""
    gc.disable()
    gc.freeze()  # what is here is here to stay, so the collection at the end need not look at it
    found = []
    for seed in range(first, first + n):
        violation = play(make_plan(seed, store))
        if violation is not None:
            found.append((seed, violation.name, str(violation)))
    gc.collect()
    return found


def play_seeds(first: int, n: int, processes: int, store: str) -> list[tuple[int, str, str]]:
    """Run `n` seeds, and print the progress and each violation; return the violations."""
    began, done, found = time.monotonic(), 0, list[tuple[int, str, str]]()
    for chunk in _chunks(first, n, processes, store):
        done = min(n, done + CHUNK)
        for violation in chunk:
            print(f"\rseed {violation[0]}: {violation[2][:300]}", flush=True)
        found += chunk
        rate = done / (time.monotonic() - began)
        print(f"\r{done:,} of {n:,} seeds, {rate:.1f} a second, {len(found)} violations", end="", flush=True)
    print()
    return found


def _chunks(first: int, n: int, processes: int, store: str) -> Iterator[list[tuple[int, str, str]]]:
    starts = range(first, first + n, CHUNK)
    sizes = [min(CHUNK, first + n - start) for start in starts]
    one = partial(play_chunk, store=store)
    if processes == 1:
        yield from map(one, starts, sizes)
    else:
        with ProcessPoolExecutor(processes) as pool:
            yield from pool.map(one, starts, sizes)


def tell(plan: Plan, salt: int, *, has_trace: bool) -> Violation | None:
    """Print the plan and, if wanted, each event of its run; return the violation."""
    print(f"seed {plan.seed}, delays {salt}: {plan.n_clients} clients, {plan.n_workers} workers")
    for step in plan.steps:
        print(f"  {step}")
    trace: list[str] = []
    violation = None
    try:
        World(plan, salt, trace).run()
    except Violation as error:
        violation = error
    for line in trace if has_trace else ():
        print(line[:300])
    print(violation or "every invariant holds")
    return violation


def main() -> int:
    """Run what the command line asks for; return 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description="farms in virtual time")
    parser.add_argument("--seed", type=int, help="run this seed only, and print its plan")
    parser.add_argument("--trace", action="store_true", help="with --seed: print each event")
    parser.add_argument("--shrink", action="store_true", help="with --seed: shrink its plan first")
    parser.add_argument("--seeds", type=int, default=2000, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    args = parser.parse_args()
    if args.seed is None:
        found = play_seeds(args.first, args.seeds, args.processes, args.store)
        if not found:
            return 0
        args.seed, args.shrink, args.trace = found[0][0], True, True
    plan, salt = make_plan(args.seed, args.store), 0
    violation = play(plan) if args.shrink else None
    if violation is not None:
        plan, salt = shrink(plan, violation.name)
    return 1 if tell(plan, salt, has_trace=args.trace) is not None else 0


if __name__ == "__main__":
    sys.exit(main())
