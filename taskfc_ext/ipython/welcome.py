"""The line of `%load_ext` about what this notebook has left in a running farm, and its names bound again."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, MutableMapping
from contextlib import suppress
from typing import Any

from taskfc_ext.client.context.owner import is_of_one_process
from taskfc_ext.errors import TaskFCError, UnknownTask
from taskfc_ext.ipython.sessions import Session
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.states import State
from taskfc_ext.text import one_line, plural

WAIT = 5.0
"""Seconds that `%load_ext` waits for a farm to answer."""

NEWEST = 1000
"""Tasks that are looked at."""

MOST_BOUND = 100
"""Names that are bound, the newest: each takes a moment."""

_NAMED = 5
"""Names in the line."""


def welcome(session: Session, namespace: MutableMapping[str, Any]) -> str:
    """Return what this notebook has in its farm, in a line, and bind its futures where their name is free.

    Empty if the farm does not run, does not answer in time, or has no task of this notebook. Nothing is started.

    Args:
        session: the notebook's.
        namespace: the notebook's names.
    """
    if is_of_one_process(session.owner) or not session.farms.runs(session.name):
        return ""
    found: list[TaskInfo] = []
    futures: dict[str, Any] = {}

    def ask() -> None:
        try:
            found.extend(session.client().list_tasks(owner=session.owner, limit=NEWEST))
            futures.update(_find_futures(session, namespace, found))
        except (TaskFCError, OSError):  # it has just ended, or is of another version: the next use of the farm says so
            pass

    asking = threading.Thread(target=ask, name="taskfc_ext welcome", daemon=True)
    asking.start()
    asking.join(WAIT)  # a farm that does not answer must not hold up the notebook
    if asking.is_alive() or not found:
        return ""
    namespace.update(futures)
    return one_line(f"{session.name}: {_count_left(found)}{_names(list(futures))}")


def _find_futures(session: Session, taken: Container[str], tasks: Iterable[TaskInfo]) -> dict[str, Any]:
    """Return the newest task of each name that is an identifier and not `taken`, as futures."""
    newest = {task.name: task.taskid for task in tasks if task.name is not None and task.name.isidentifier()}
    futures: dict[str, Any] = {}
    for name in [name for name in newest if name not in taken][-MOST_BOUND:]:
        with suppress(UnknownTask):  # it was cleared meanwhile
            futures[name] = session.future(newest[name])
    return futures


def _count_left(tasks: list[TaskInfo]) -> str:
    """Return what is running and waiting, and what has ended since this notebook has submitted its newest task."""
    running = [task for task in tasks if task.state == State.RUNNING.value]
    waiting = [task for task in tasks if task.state in (State.WAITING.value, State.SCHEDULED.value)]
    since = max(task.submitted for task in tasks)
    ended = [task for task in tasks if task.completed is not None and task.completed >= since]
    failed = sum(task.state == State.FAILED.value for task in ended)
    counts = [(len(running), "running"), (len(waiting), "waiting"), (len(ended), "finished since")]
    parts = [f"{n:,} {what}" for n, what in counts if n]
    if failed:
        parts[-1] += f" ({failed:,} failed)"
    return f"this notebook has {', '.join(parts)}" if parts else f"this notebook has {plural(len(tasks), 'task')}"


def _names(bound: list[str]) -> str:
    if not bound:
        return ""
    more = f" and {len(bound) - _NAMED:,} more" if len(bound) > _NAMED else ""
    return f"; here again: {', '.join(bound[-_NAMED:])}{more}"
