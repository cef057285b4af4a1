"""Notices: one line when tasks have ended while the user was doing something else.

A notice reports a batch: all tasks that the magics of this shell have submitted since the last notice. It is due when
the last of them has ended. It leaves out tasks whose end the user has seen: by `result()`, by a wait, or in the cell
that submitted them. The futures know the ends; nothing is asked of the controller here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from taskfc_ext.protocol.states import FINISHED
from taskfc_ext.text import one_line, plural

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture

_NAMED = 3
"""Failures in one notice, which is one line."""
_RANGES = 5
"""Ranges of ids in one notice."""
_WHY = 120
"""Characters of a failure's message."""


@dataclass(frozen=True, slots=True)
class EndedTask:
    """A task whose end the user has not seen. `why`: the type and text of the exception of a failed task."""

    taskid: int
    name: str
    state: str
    why: str = ""


def write_notice(tasks: Sequence[EndedTask]) -> str:
    """Return the line about a batch; empty for no tasks."""
    if not tasks:
        return ""
    failures = [task for task in tasks if task.state == "failed"]
    if len(tasks) == 1:
        (task,) = tasks
        why = f": {_shorten(task.why)}" if task.why else ""
        return one_line(f"{_title(task)} has ended: {task.state}{why}")
    counts = [(sum(task.state == state for task in tasks), state) for state in FINISHED]
    ends = ", ".join(f"{n:,} {state}" for n, state in counts if n)
    shown = [f"{_title(task)}: {_shorten(task.why)}" for task in failures[:_NAMED]]
    more = [f"and {len(failures) - _NAMED:,} more"] if len(failures) > _NAMED else []
    named = f" ({'; '.join([*shown, *more])})" if shown else ""
    return one_line(f"{ids_of([task.taskid for task in tasks])} have ended: {ends}{named}")


def ids_of(taskids: Iterable[int]) -> str:
    """Return ids as ranges: `tasks 3-7, 9`."""
    ids = sorted(taskids)
    runs = [[taskid for _, taskid in run] for _, run in groupby(enumerate(ids), lambda pair: pair[1] - pair[0])]
    if len(runs) > _RANGES:
        return f"{plural(len(ids), 'task')} ({ids[0]}-{ids[-1]})"
    return "tasks " + ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _title(task: EndedTask) -> str:
    return f"task {task.taskid} {task.name}".rstrip()


def _shorten(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _WHY else f"{text[: _WHY - 1]}…"


class Notices:
    """The open batch. Main thread only."""

    def __init__(self) -> None:
        self._open: list[tuple[TaskFuture, int]] = []
        self._cell = 0

    def add(self, future: TaskFuture) -> None:
        """Add a task that the running cell has submitted."""
        future.track_reads()
        self._open.append((future, self._cell))

    def mark_seen(self, taskids: Iterable[int], farm: str) -> None:
        """Remove these tasks of `farm`: the user has seen their end."""
        ids = set(taskids)
        self._open = [(future, cell) for future, cell in self._open if future.taskid not in ids or future.farm != farm]

    def mark_all_seen(self, farm: str) -> None:
        """Remove all tasks of `farm` that have ended."""
        self._open = [(future, cell) for future, cell in self._open if future.farm != farm or not future.done()]

    def after_cell(self) -> str:
        """Return the notice that is due after a cell; empty if none is."""
        cell, self._cell = self._cell, self._cell + 1
        if not self._open or not all(future.done() for future, _ in self._open):
            return ""
        batch, self._open = self._open, []
        news = [(future, submitted_in) for future, submitted_in in batch if not future.is_read]
        if all(submitted_in == cell for _, submitted_in in news):
            return ""
        return write_notice([ended for future, _ in news if (ended := _end_of(future)) is not None])


def _end_of(future: TaskFuture) -> EndedTask | None:
    """Return the end of the task; `None` if it is unknown, since the farm was stopped or the connection closed."""
    if future.taskid is None or (future.facts is None and not future.cancelled()):
        return None
    state = future.state
    return EndedTask(future.taskid, future.name or "", state, _why(future) if state == "failed" else "")


def _why(future: TaskFuture) -> str:
    error = future.exception(0)
    kind = getattr(error, "type_name", "") or type(error).__name__
    return f"{kind}: {getattr(error, 'message', '') or error}"
