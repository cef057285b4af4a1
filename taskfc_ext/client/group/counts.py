"""Counts of the items of a group. A reading looks only at the tasks that were unfinished at the reading before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from taskfc_ext.client.future.future import TaskFuture


class GroupCounts(NamedTuple):
    """Numbers of the items of a map.

    Attributes:
        total: all items.
        succeeded: items with a result.
        failed: items of failed tasks. In a chunk, the items before the failed one have no result either.
        aborted: items of aborted or cancelled tasks.
        unknown: items of tasks that were unfinished when the farm was stopped.
    """

    total: int
    succeeded: int = 0
    failed: int = 0
    aborted: int = 0
    unknown: int = 0

    @property
    def done(self) -> int:
        """The number of items whose task has ended, in any state."""
        return self.succeeded + self.failed + self.aborted

    @property
    def unfinished(self) -> int:
        """The number of items whose task has not ended, as far as is known."""
        return self.total - self.done - self.unknown


class GroupCounter:
    """Counts the ends of tasks. Any thread may read it.

    Args:
        futures: of the tasks; `replace` changes this list.
        items_of: returns the places of a task's items, by the place of the task.

    Attributes:
        n_replaced: the number of calls of `replace`.
        unsuccessful: the places of the tasks that have failed or were aborted, in the order in which that was noticed.
        last_end: when the last of the ended tasks has ended, in seconds since the epoch; 0 if none has.
    """

    def __init__(self, futures: list[TaskFuture], items_of: Callable[[int], range]) -> None:
        self._futures = futures
        self._items_of = items_of
        self._lock = threading.Lock()
        self._left = list(range(len(futures)))
        self._total = items_of(len(futures)).start
        self._by_state = dict.fromkeys(("succeeded", "failed", "aborted", "unknown"), 0)
        self.n_replaced = 0
        self.unsuccessful: list[int] = []
        self.last_end = 0.0

    def are_all_done(self) -> bool:
        """Return whether all tasks have ended; look no further than the first one that has not."""
        with self._lock:
            n_ended = 0
            for place in self._left:
                if not self._futures[place].done():
                    break
                self._add(place)
                n_ended += 1
            del self._left[:n_ended]
            return not self._left

    def read(self) -> GroupCounts:
        """Return the counts now."""
        with self._lock:
            futures = self._futures
            ended = [place for place in self._left if futures[place].done()]
            if ended:
                for place in ended:
                    self._add(place)
                gone = set(ended)
                self._left = [place for place in self._left if place not in gone]
            return GroupCounts(self._total, **self._by_state)

    def replace(self, new: Mapping[int, TaskFuture]) -> None:
        """Put other futures into these places, and count their tasks as unfinished."""
        with self._lock:
            unfinished = set(self._left)
            for place, future in new.items():
                if place not in unfinished:
                    self._by_state[end_of(self._futures[place])] -= len(self._items_of(place))
                self._futures[place] = future
            self.unsuccessful = [place for place in self.unsuccessful if place not in new]
            self._left = sorted({*self._left, *new})
            self.n_replaced += 1

    def _add(self, place: int) -> None:
        future = self._futures[place]
        state = end_of(future)
        self._by_state[state] += len(self._items_of(place))
        if state in ("failed", "aborted"):
            self.unsuccessful.append(place)
        facts = future.facts
        self.last_end = max(self.last_end, time.time() if facts is None else facts.completed)


def end_of(future: TaskFuture) -> str:
    """Return the state of a future that is done; asks nobody."""
    if not future.has_failed:
        return "succeeded"
    return "unknown" if future.is_given_up else future.state
