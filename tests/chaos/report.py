"""Findings of a run: its figures, and the promises that were broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Figure = int | float | str


@dataclass
class Report:
    """Findings of one run.

    Attributes:
        what: its kind.
        seconds: that it took.
        figures: what was counted and measured, by its words.
        problems: the broken promises.
    """

    what: str
    seed: int
    seconds: float = 0.0
    figures: dict[str, Figure] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether all promises were kept."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def __str__(self) -> str:
        figures = [f"  {what:<52} {_text(value):>12}" for what, value in self.figures.items()]
        problems = [f"  BROKEN: {problem}" for problem in self.problems[:20]]
        if len(self.problems) > 20:
            problems.append(f"  and {len(self.problems) - 20} more")
        verdict = "whole" if self.is_whole else f"{len(self.problems)} promises broken"
        return "\n".join([f"{self.what}, seed {self.seed}, {self.seconds:.0f} s: {verdict}", *figures, *problems])


def _text(value: Figure) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def quantile(values: list[float], share: float) -> float:
    """Return the smallest of `values` that is as large as this share of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1))]


def times(what: str, values: list[float]) -> dict[str, Figure]:
    """Return the figures of a distribution of seconds."""
    return {f"{what}: {word}, s": round(quantile(values, share), 3)
            for word, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}  # fmt: skip
