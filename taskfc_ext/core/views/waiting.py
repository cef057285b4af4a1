"""Reasons why unfinished tasks do not run, in words. Computed where somebody asks, never on a task's way."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from itertools import islice

from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.lending import waits_text
from taskfc_ext.core.state.reasons import Reasons
from taskfc_ext.core.state.task import Task
from taskfc_ext.protocol.states import State

_MOST_BEHIND = 100
"""Tasks that are counted before another one; the queue may have a million."""

_REASONS = 3
"""Different reasons of refusals that are shown."""


class Waiting:
    """The waits of the tasks of a farm, as of now: one request asks for many."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._resources = Reasons(farm)
        self._places: dict[int, int] | None = None
        self._has_workers = any(worker.takes_tasks for worker in farm.workers.values())
        self._n_given = sum(len(worker.leases) for worker in farm.workers.values())

    def text(self, task: Task, left: float | None, waits: list[int]) -> str:
        """Return what a task waits for: `behind 2 tasks`; empty if it runs and waits for nothing.

        Args:
            task: an unfinished task.
            left: what `back_off_left` says of it.
            waits: the tasks that it waits for while it runs.
        """
        farm, past = self._farm, task.history
        if left is not None and past is not None:
            return f"retry {past.retries} of {task.spec.retries} in {math.ceil(left)} s"
        if task.state is State.WAITING:
            return _dependencies_text(farm, task)
        if task.state is State.RUNNING:
            return waits_text(farm, task, waits)
        if text := queued_text(farm, task, self._resources.text(task)):
            return text
        if task.taskid in farm.held:
            return ""  # its state says so
        if not self._has_workers:
            return "there is no worker"
        return self._behind(task)

    def _behind(self, task: Task) -> str:
        """Return how many tasks run or start before one that only waits for its turn."""
        if task.lease:
            worker = self._farm.workers.get(task.worker)
            n = _index(worker.leases.values(), task.taskid) if worker is not None else 0
        elif task.spec.needs is not None or task.taskid in self._farm.refusals.rejected:
            return ""  # it is in a line of its own
        elif self._n_given > _MOST_BEHIND:
            n = self._n_given
        else:
            n = self._n_given + self._place(task.taskid)
        if n > _MOST_BEHIND:
            return f"behind {_MOST_BEHIND}+ tasks"
        return f"behind {n} task{'s' * (n > 1)}" if n > 0 else ""

    def _place(self, taskid: int) -> int:
        if self._places is None:
            first = self._farm.queue.first(_MOST_BEHIND + 1)
            self._places = {each: place for place, each in enumerate(first)}
        return self._places.get(taskid, _MOST_BEHIND + 1)


def _index(taskids: Iterable[int], taskid: int) -> int:
    first = islice(taskids, _MOST_BEHIND + 1)
    return next((place for place, each in enumerate(first) if each == taskid), _MOST_BEHIND + 1)


def _dependencies_text(farm: Farm, task: Task) -> str:
    """Return the tasks that have to end first: `waits for task 7 (fit) and 2 more`."""
    unmet = task.history.unmet if task.history is not None else set()
    if not unmet:
        return ""
    first = min(unmet) if len(unmet) <= _MOST_BEHIND else next(iter(unmet))
    more = f" and {len(unmet) - 1:,} more" if len(unmet) > 1 else ""
    return f"waits for {farm.tasks[first].title}{more}"


def queued_text(farm: Farm, task: Task, waiting: str) -> str:
    """Return the message of a ready task: the workers that have refused it, and `waiting`, what it waits for."""
    reasons = farm.refusals.reasons_of(task.taskid)
    if not reasons:
        return waiting
    if _do_all_refuse(farm, reasons):
        live = (worker for worker in sorted(reasons) if worker in farm.workers and farm.workers[worker].takes_tasks)
        shown = dict.fromkeys(reasons[worker] for worker in live if reasons[worker])
        why = "; ".join(islice(shown, _REASONS))
        refused = f"all workers refuse it: {why}" if why else "all workers refuse it"
    else:
        refused = "refused by " + ", ".join(f"worker {worker}" for worker in sorted(reasons))
    return "; ".join(filter(None, (refused, waiting)))


def _do_all_refuse(farm: Farm, reasons: Container[int]) -> bool:
    """Tell whether every live worker is in `reasons`; one that is not ends the search, as there may be many rows."""
    is_any_live = False
    for worker in farm.workers.values():
        if worker.takes_tasks:
            if worker.worker not in reasons:
                return False
            is_any_live = True
    return is_any_live


def back_off_left(farm: Farm, task: Task, now: Now) -> float | None:
    """Return the seconds left of the back-off of a task, or `None`."""
    past = task.history
    if past is None or past.not_before is None or not farm.is_queued(task.taskid):
        return None
    return max(0.0, past.not_before - now.mono)
