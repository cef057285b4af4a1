"""One line when tasks have ended while the user was doing something else, also when some failed.

A notice is about a batch: all that was submitted by the magics of this shell since the last one. It is due when the
last of them has ended, and leaves out what the user has seen end: by `result()`, by a wait, in the cell that submitted
it. What has ended is known from the futures, which the controller tells; nothing is asked of it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import TYPE_CHECKING

from taskfc_ext.text import one_line, plural

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture

_NAMED = 3
"""Failures that a notice tells; it is one line."""
_RANGES = 5
"""Ranges of ids that it tells."""
_WHY = 120
"""Characters of what a failure says."""

STATES = ("succeeded", "failed", "aborted")


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that the user has not seen end. `why`: of a failure, the exception's type and text."""

    taskid: int
    name: str
    state: str
    why: str = ""


def notice(tasks: Sequence[Ended]) -> str:
    """Return the line about a batch; empty where there is nothing to tell."""
    if not tasks:
        return ""
    failures = [task for task in tasks if task.state == "failed"]
    if len(tasks) == 1:
        (task,) = tasks
        why = f": {_shown(task.why)}" if task.why else ""
        return one_line(f"{_title(task)} has ended: {task.state}{why}")
    counts = [(sum(task.state == state for task in tasks), state) for state in STATES]
    ends = ", ".join(f"{n:,} {state}" for n, state in counts if n)
    told = [f"{_title(task)}: {_shown(task.why)}" for task in failures[:_NAMED]]
    more = [f"and {len(failures) - _NAMED:,} more"] if len(failures) > _NAMED else []
    named = f" ({'; '.join([*told, *more])})" if told else ""
    return one_line(f"{ids_of([task.taskid for task in tasks])} have ended: {ends}{named}")


def ids_of(taskids: Iterable[int]) -> str:
    """Return several ids as people write them: `tasks 3-7, 9`."""
    ids = sorted(taskids)
    runs = [[taskid for _, taskid in run] for _, run in groupby(enumerate(ids), lambda pair: pair[1] - pair[0])]
    if len(runs) > _RANGES:
        return f"{plural(len(ids), 'task')} ({ids[0]}-{ids[-1]})"
    return "tasks " + ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _title(task: Ended) -> str:
    return f"task {task.taskid} {task.name}".rstrip()


def _shown(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _WHY else f"{text[: _WHY - 1]}…"


class Notices:
    """The batch that is open. Main thread only."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[TaskFuture, int]] = {}
        self._cell = 0
        self._order = count()

    def add(self, future: TaskFuture) -> None:
        """Take in what the running cell has submitted."""
        future.track_reads()
        self._open[next(self._order)] = future, self._cell

    def seen(self, taskids: Iterable[int], farm: str) -> None:
        """Say that the user has seen these tasks of `farm` end, or needs not be told of it."""
        ids = set(taskids)
        self._open = {
            key: (future, cell)
            for key, (future, cell) in self._open.items()
            if future.taskid not in ids or future.farm != farm
        }

    def seen_all(self, farm: str) -> None:
        """Say that the user has seen all tasks of `farm` end that have ended."""
        self._open = {
            key: (future, cell)
            for key, (future, cell) in self._open.items()
            if future.farm != farm or not future.done()
        }

    def after_cell(self) -> str:
        """Return the line that is due now that a cell has run; empty where none is."""
        cell, self._cell = self._cell, self._cell + 1
        if not self._open or not all(future.done() for future, _ in self._open.values()):
            return ""
        batch, self._open = list(self._open.values()), {}
        news = [(future, submitted_in) for future, submitted_in in batch if not future.is_read]
        if all(submitted_in == cell for _, submitted_in in news):
            return ""
        return notice([ended for future, _ in news if (ended := _ended(future)) is not None])


def _ended(future: TaskFuture) -> Ended | None:
    """Return how the task has ended, `None` where nobody knows: its farm was stopped, or the connection closed."""
    if future.taskid is None or (future.facts is None and not future.cancelled()):
        return None
    state = future.state
    return Ended(future.taskid, future.name or "", state, _why(future) if state == "failed" else "")


def _why(future: TaskFuture) -> str:
    error = future.exception(0)
    kind = getattr(error, "type_name", "") or type(error).__name__
    return f"{kind}: {getattr(error, 'message', '') or error}"
