"""The figures of a run, and their file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median

import msgspec


class Row(msgspec.Struct, frozen=True):
    """Figures of one cell in one round; `seconds` is how long it took, with its start and its end."""

    round: int
    system: str
    measure: str
    figures: dict[str, float]
    seconds: float


class Results(msgspec.Struct):
    """All rows of a run, on a machine; `n_failed` cells gave none since these results were made or loaded."""

    machine: str
    date: str
    rows: list[Row] = []
    n_failed: int = 0

    def add(self, row: Row) -> None:
        """Add a row; it replaces one of the same round, system and measure."""
        key = (row.round, row.system, row.measure)
        self.rows = [each for each in self.rows if (each.round, each.system, each.measure) != key] + [row]

    def by_round(self, system: str, quantity: str) -> dict[int, float]:
        """Return a quantity's value in each round that has one."""
        return {
            row.round: row.figures[quantity] for row in self.rows if row.system == system and quantity in row.figures
        }

    def median(self, system: str, quantity: str) -> float | None:
        """Return the median over the rounds; `None` where nothing was measured."""
        values = self.by_round(system, quantity)
        return median(values.values()) if values else None

    def knows(self, system: str, quantities: Iterable[str]) -> bool:
        """Tell whether any of these was measured of a system."""
        return any(self.by_round(system, quantity) for quantity in quantities)

    @property
    def rounds(self) -> list[int]:
        """The numbers of the rounds."""
        return sorted({row.round for row in self.rows})

    def save(self, path: Path) -> None:
        """Write them as JSON, a row a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {"machine": self.machine, "date": self.date}
        lines = ",\n".join(msgspec.json.encode(row).decode() for row in self.rows)
        path.write_text(f'{msgspec.json.encode(head).decode()[:-1]},"rows":[\n{lines}\n]}}\n')


def load(path: Path) -> Results:
    """Return the results in a file.

    Raises:
        ValueError: the file has something else; the message says what and where.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} has no results of benchmarks: {error}") from error
