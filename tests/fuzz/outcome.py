"""The outcome of a part: how its inputs ended, how long the longest took, and the failures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

HANG = 0.1
"""Seconds of processor time above which an input counts as a hang. Other load on the machine does not matter."""

MEMORY = 32 * 2**20
"""Bytes by which the memory of a process may grow."""

SHOWN = 30
"""Failures that are printed."""

Report = Callable[[str], object]


@dataclass
class Outcome:
    """The ends of the inputs of one part.

    Attributes:
        counts: number of inputs by kind of input and end.
        failures: a line each, with what repeats it.
        longest: processor seconds of the slowest input, and what it was.
        growth: bytes by which the memory of the process grew, after a first part of the inputs.
        figures: what else there is to be said, by name.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    longest: tuple[float, str] = (0.0, "")
    growth: int = 0
    figures: dict[str, str] = field(default_factory=dict)

    @property
    def n_inputs(self) -> int:
        """Inputs so far."""
        return self.counts.total()

    def took(self, seconds: float, what: str) -> None:
        """Note the processor time of an input; a hang is a failure."""
        if seconds > self.longest[0]:
            self.longest = seconds, what
        if seconds > HANG:
            self.failures.append(f"a hang of {seconds:.3f} s of processor time: {what}")

    def add(self, other: Outcome) -> None:
        """Add what another process, or another piece of work, has found. Growth: the largest of all."""
        self.counts += other.counts
        self.failures += other.failures
        self.longest = max(self.longest, other.longest)
        self.growth = max(self.growth, other.growth)
        self.figures |= other.figures

    def table(self) -> str:
        """Return the ends as a table, and the figures below it."""
        ends = sorted({end for _, end in self.counts})
        kinds = sorted({kind for kind, _ in self.counts})
        rows = [("input", *ends)]
        rows += [(kind, *(f"{self.counts[kind, end]:,}" for end in ends)) for kind in kinds]
        if len(kinds) > 1:
            total = [sum(n for (_, each), n in self.counts.items() if each == end) for end in ends]
            rows.append(("all", *(f"{n:,}" for n in total)))
        lines = [f"{kind:<28}" + "".join(f"{cell:>16}" for cell in cells) for kind, *cells in rows]
        if self.longest[1]:
            lines.append(f"longest input: {1000 * self.longest[0]:.1f} ms of processor time ({self.longest[1]})")
        lines += [f"{name}: {value}" for name, value in self.figures.items()]
        return "\n".join(lines)


class Progress:
    """Reports a line every few seconds."""

    def __init__(self, report: Report, every: float = 5.0) -> None:
        self._report = report
        self._every = every
        self._begun = time.monotonic()
        self._due = self._begun + every

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.monotonic() - self._begun

    def at(self, done: int, of: int, outcome: Outcome, what: str) -> None:
        """Note how much is done; report it if that is due."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every
            rate = done / self.seconds
            self._report(f"{done:,} of {of:,} {what}, {rate:,.0f} a second, {len(outcome.failures)} failures")
