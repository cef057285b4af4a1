"""One line when the tasks of a notebook have ended, for those who were not looking. No thread, no controller.

Futures hear of their tasks' ends by themselves, so all that is done after a cell is to look at those that are open. The
line is printed by the main thread, under the cell that has just run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from itertools import count, groupby
from typing import TYPE_CHECKING

from taskfc_ext.errors import TaskFCError
from taskfc_ext.ipython.futures import is_future
from taskfc_ext.text import one_line, plural

if TYPE_CHECKING:
    from taskfc_ext.client.future import TaskFuture

NAMED = 3
"""Failures that a notice tells of; it is one line."""

WHY = 80
"""Characters of an exception in it."""

_WORD = re.compile(r"[A-Za-z_][\w.-]*")
_TASK_LINE = re.compile(r"%task\s.*|\bfuture\(\s*\d+")
_LOOKS_AT_ALL = re.compile(r"^\s*%task(?:\s+(?:wait|status|history)\b.*)?\s*;?\s*$", re.MULTILINE)


class Notices:
    """Which tasks were submitted from here, and whether their ends are news.

    An end is no news if it came within the cell that submitted the task, or if a cell that ran since names the task or
    lists them all. When no task is open any more, what is news is told, once.
    """

    def __init__(self) -> None:
        self._new: list[TaskFuture] = []
        self._open: list[TaskFuture] = []
        self._ended: list[TaskFuture] = []

    def submitted(self, future: TaskFuture) -> None:
        """Remember a task that the running cell has submitted."""
        self._new.append(future)

    def after_cell(self, source: str, namespace: Mapping[str, object]) -> str:
        """Return what is to be said when the cell `source` has run; mostly nothing.

        Args:
            namespace: what the names in `source` stand for.
        """
        new, self._new = self._new, []
        if not (new or self._open or self._ended):
            return ""
        ended = [future for future in self._open if future.done()]
        self._open = [future for future in (*self._open, *new) if not future.done()]
        self._ended += ended
        if self._ended:
            self._ended = [] if _LOOKS_AT_ALL.search(source) else _unnamed(self._ended, source, namespace)
        if self._open:
            return ""
        news, self._ended = self._ended, []
        return notice(news)


def notice(futures: Iterable[TaskFuture]) -> str:
    """Return a line that says how these tasks have ended; empty where that is not known of any."""
    ends = {future: _end(future) for future in futures if future.taskid is not None}
    known = {future: end for future, end in ends.items() if end is not None}
    if not known:
        return ""
    taskids = sorted(future.taskid for future in known if future.taskid is not None)
    counts = Counter(state for state, _ in known.values())
    failed = [_title(future) + why for future, (state, why) in known.items() if state == "failed"]
    more = len(failed) - NAMED
    told = [*failed[:NAMED], *([f"and {more:,} more"] if more > 0 else [])]
    states = ", ".join(f"{counts[state]:,} {state}" for state in ("succeeded", "failed", "aborted") if counts[state])
    if len(known) == 1:
        (future, (state, why)) = next(iter(known.items()))
        return one_line(f"{_title(future)} has ended: {state}{why}")
    return one_line(f"{ranges(taskids)} have ended: {states}" + (f" ({'; '.join(told)})" if told else ""))


def ranges(taskids: list[int]) -> str:
    """Return what ascending ids are called: `tasks 3-7, 9`; of very many, how many they are."""
    counter = count()
    runs = [list(run) for _, run in groupby(taskids, lambda taskid: taskid - next(counter))]
    if len(runs) > 5:
        return plural(len(taskids), "task")
    return "tasks " + ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _unnamed(futures: list[TaskFuture], source: str, namespace: Mapping[str, object]) -> list[TaskFuture]:
    """Return those that `source` does not name: by the task's name, a variable that holds it, or its id."""
    words = set(_WORD.findall(source))
    names = words | {word.partition(".")[0] for word in words}
    taskids = {int(digits) for line in _TASK_LINE.findall(source) for digits in re.findall(r"\d+", line)}
    for name in names:
        value = namespace.get(name)
        held = value if isinstance(value, list | tuple) else (value,)
        taskids.update(each.taskid for each in held if is_future(each))
    return [future for future in futures if future.name not in names and future.taskid not in taskids]


def _title(future: TaskFuture) -> str:
    return f"task {future.taskid} {future.name or ''}".rstrip()


def _end(future: TaskFuture) -> tuple[str, str] | None:
    """Return the state that a task ended in, and why if it failed; `None` where that is not known."""
    try:
        failure = future.task_result().failure
    except CancelledError:
        return "aborted", ""
    except TaskFCError:
        return None  # the farm was stopped, or the controller is lost: that is told where it is asked for
    if future.state != "failed":
        return future.state, ""
    text = one_line(failure)
    shown = text if len(text) <= WHY else text[: WHY - 1] + "…"
    kind = getattr(failure, "type_name", "") or type(failure).__name__
    return "failed", f": {kind}: {shown}" if shown else f": {kind}"
