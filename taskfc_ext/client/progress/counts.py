"""Counts of a wait: what it waits for, and how much of it is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Counts(NamedTuple):
    """The state of a wait.

    Attributes:
        done: tasks that have ended in any state, or bytes that are written.
        total: the number of all; `None` if it is unknown.
        failed: the number of ended tasks without a value: failed, aborted or cancelled.
    """

    done: int
    total: int | None = None
    failed: int = 0


class Ending(Protocol):
    """The part of a future that is counted."""

    def done(self) -> bool: ...

    @property
    def has_failed(self) -> bool: ...


class FutureCounts:
    """Counts of a fixed number of futures.

    Args:
        futures: all of them.
    """

    def __init__(self, futures: Iterable[Ending]) -> None:
        self._left = list[Ending]()
        self._futures: Iterable[Ending] | None = futures
        self._total = self._n_failed = 0

    def read(self) -> Counts:
        """Return the counts now. A reading looks only at the futures that were unfinished at the reading before."""
        if self._futures is not None:
            self._left, self._futures = list(self._futures), None
            self._total = len(self._left)
        left = []
        for future in self._left:
            if future.done():
                self._n_failed += future.has_failed
            else:
                left.append(future)
        self._left = left
        return Counts(self._total - len(left), self._total, self._n_failed)
