"""Throughput while a widget shows the queue."""

from __future__ import annotations

from statistics import median

from benchmarks.answer import Answer, answer
from benchmarks.measures.calls import rate
from benchmarks.measures.notebook import fresh_kernel
from benchmarks.systems import SYSTEMS

N_PAIRS = 4


def echo(item: int) -> int:
    """Do nothing."""
    return item


def watching(system: str, n: int) -> Answer:
    """How many of `n` tasks a second end while a widget shows them, as a share of those while nobody looks."""
    ratios = []
    with SYSTEMS[system]() as farm:
        rate(farm, echo, n)
        for number in range(N_PAIRS):
            pair = {}
            for is_watched in (True, False) if number % 2 else (False, True):  # neither is always first
                with fresh_kernel() as kernel:  # in both cases, so that they differ in nothing else
                    if is_watched:
                        kernel.run("%load_ext taskfc_ext\n%task start --name bench\n%task widget")
                    pair[is_watched] = rate(farm, echo, n)
            ratios.append(pair[True] / pair[False])
    return {"watched": median(ratios)}


if __name__ == "__main__":
    answer(watching)
