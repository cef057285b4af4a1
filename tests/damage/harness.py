"""Runs the cases of the harness, and counts how they end."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from taskfc_ext.errors import StoreError
from tests.damage.damages import DAMAGES, LOG
from tests.damage.stores import Sample, is_equal_but_for_one, make_samples, read_all

Report = Callable[[str], object]


@dataclass
class Outcome:
    """The ends of all cases: by kind of damage and end, and the violations as lines."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Return the counts as a table."""
        ends = ("equal", "warned", "refused", "violation")
        rows = [("damage", *ends)]
        rows += [
            (kind, *(str(self.counts[kind, end]) for end in ends)) for kind in sorted({kind for kind, _ in self.counts})
        ]
        rows.append(("all", *(str(sum(n for (_, each), n in self.counts.items() if each == end)) for end in ends)))
        return "\n".join(f"{kind:<24}" + "".join(f"{cell:>11}" for cell in cells) for kind, *cells in rows)


def run(root: Path, *, cases: int, seed: int, only_log: bool = False, report: Report = lambda line: None) -> Outcome:
    """Run so many cases.

    Args:
        root: an empty folder for the stores, best in memory.
        cases: their number; case `i` depends on `seed` and `i` only.
        seed: of the chance.
        only_log: damage the logs of killed stores only.
        report: receives a line every few seconds.
    """
    samples, outcome, due = make_samples(root, seed), Outcome(), time.monotonic() + 5
    for case in range(cases):
        run_case(root, samples, f"{seed}/{case}", outcome, only_log=only_log)
        if time.monotonic() >= due:
            due = time.monotonic() + 5
            report(f"{case + 1:,} of {cases:,} cases, {len(outcome.violations)} violations")
    return outcome


def run_case(root: Path, samples: list[Sample], seed: str, outcome: Outcome, *, only_log: bool = False) -> None:
    """Damage one copy of one sample, and read it."""
    draw = random.Random(seed)
    weights = {kind: weight for kind, (_, weight) in DAMAGES.items() if not only_log or kind in LOG}
    kind = draw.choices(list(weights), list(weights.values()))[0]
    sample = next(each for each in samples if each.name == "killed") if kind in LOG else draw.choice(samples)
    folder = root / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sample.folder, folder)
    try:
        DAMAGES[kind][0](draw, folder, sample)
        end = _end_of(folder, sample)
    except StoreError:
        end = "refused"
    except Exception as error:
        end = f"{type(error).__name__}: {error}"
    if end not in ("equal", "warned", "refused"):
        outcome.violations.append(f"seed {seed}: {kind} in the {sample.name} store: {end}")
        end = "violation"
    outcome.counts[kind, end] += 1


def _end_of(folder: Path, sample: Sample) -> str:
    before, after, warnings = read_all(folder, sample.ended)
    if before != sample.portrait:
        parts = [name for name, one, other in zip(_PARTS, before, sample.portrait, strict=True) if one != other]
        return f"silently different: {', '.join(parts)}"
    if not is_equal_but_for_one(before, after):
        return "silently different after one more commit"
    return "warned" if warnings else "equal"


_PARTS = ("records", "submissions", "ends", "newest ends", "ends by id", "code")
