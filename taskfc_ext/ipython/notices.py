"""Notices: one line when tasks have ended while the user was doing something else.

A notice reports a batch. In a terminal that is all tasks that the magics of this shell have submitted since the last
notice, and the line appears after the next cell. In a notebook each cell has a batch of its own, and the line appears
under that cell. It is due when the last of the batch has ended. It leaves out tasks whose end the user has seen: by
`result()`, by a wait, in the cell that submitted them, or on a card that lives. The futures know the ends; nothing is
asked of the controller here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from taskfc_ext.protocol.ids import ranges_of
from taskfc_ext.protocol.states import FINISHED
from taskfc_ext.text import one_line, plural
from taskfc_ext.view.selection import format_ranges

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
    ranges = ranges_of(taskids)
    if len(ranges) > _RANGES:
        n_tasks = sum(last - first + 1 for first, last in ranges)
        return f"{plural(n_tasks, 'task')} ({ranges[0][0]}-{ranges[-1][1]})"
    return "tasks " + ", ".join(format_ranges(ranges))


def _title(task: EndedTask) -> str:
    return f"task {task.taskid} {task.name}".rstrip()


def _shorten(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _WHY else f"{text[: _WHY - 1]}…"


class _Submitted(NamedTuple):
    """A task and the cell that has submitted it; `context`: see `Notices`."""

    future: TaskFuture
    cell: int
    context: Context | None


class Notices:
    """The open batches. Main thread only.

    Attributes:
        context: returns the context in which a display appears under the running cell; `None`: no display can appear
            under an earlier cell.
    """

    def __init__(self) -> None:
        self.context: Callable[[], Context | None] = lambda: None
        self._open: list[_Submitted] = []
        self._cell = 0

    def add(self, future: TaskFuture) -> None:
        """Add a task that the running cell has submitted."""
        future.track_reads()
        self._open.append(_Submitted(future, self._cell, self.context()))

    def mark_shown(self, future: TaskFuture) -> None:
        """Remove a task whose end its card will show."""
        self._open = [task for task in self._open if task.future is not future]

    def mark_seen(self, taskids: Iterable[int], farm: str) -> None:
        """Remove these tasks of `farm`: the user has seen their end."""
        ids = set(taskids)
        self._open = [task for task in self._open if task.future.taskid not in ids or task.future.farm != farm]

    def mark_all_seen(self, farm: str) -> None:
        """Remove all tasks of `farm` that have ended."""
        self._open = [task for task in self._open if task.future.farm != farm or not task.future.done()]

    def after_cell(self) -> list[tuple[Context | None, str]]:
        """Return the notices that are due after a cell, each with the context in which it is shown."""
        now, self._cell = self._cell, self._cell + 1
        batches: dict[int, list[_Submitted]] = {}
        for task in self._open:
            batches.setdefault(-1 if task.context is None else task.cell, []).append(task)
        ended = [batch for batch in batches.values() if all(task.future.done() for task in batch)]
        self._open = [task for batch in batches.values() if batch not in ended for task in batch]
        return [(batch[0].context, line) for batch in ended if (line := _write_news(batch, now))]


def _write_news(batch: Sequence[_Submitted], now: int) -> str:
    """Return the line about the tasks that are news after the cell `now`."""
    news = [task for task in batch if not task.future.is_read]
    if all(task.cell == now for task in news):
        return ""
    return write_notice([ended for task in news if (ended := _end_of(task.future)) is not None])


def _end_of(future: TaskFuture) -> EndedTask | None:
    """Return the end of the task; `None` if it is unknown, since the farm was stopped or the connection closed."""
    if future.taskid is None or (future.facts is None and not future.cancelled()):
        return None
    from taskfc_ext.client.group.frame import failure_text  # `%load_ext` does not need it

    state = future.state
    return EndedTask(future.taskid, future.name or "", state, failure_text(future) if state == "failed" else "")
