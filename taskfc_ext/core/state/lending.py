"""Queries of the waits in tasks: the tasks that each waits for, and the workers that stand in."""

from __future__ import annotations

from collections.abc import Iterable

from taskfc_ext.core.state.engine import count_queued
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.waits import OpenBarrier, Waits, is_valid
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.protocol.states import State

MAX_SUBSTITUTES = 1000
"""Workers that stand in for others, at most: each is a process of some 40 MB."""

_SHOWN = 100
"""Largest number of tasks shown that a task waits for."""


def n_needed(farm: Farm, waits: Waits) -> int:
    """Return the number of substitutes with which all ready tasks can run, `n_workers` at a time."""
    n_active = sum(bool(worker.leases) and worker.worker not in waits.lending for worker in farm.workers.values())
    n_queued = count_queued(farm, farm.n_workers)
    n_more = len(waits.lending) + min(farm.n_workers, n_active + n_queued) - farm.n_workers
    return max(0, min(n_more, len(waits.lending), MAX_SUBSTITUTES))


def valid_barriers(farm: Farm) -> list[OpenBarrier]:
    """Return the open barriers of tasks that still run."""
    return [barrier for barrier in farm.barriers.in_tasks() if is_valid(farm.workers, barrier)]


def task_on(farm: Farm, worker: Worker) -> Task | None:
    """Return the task whose start the worker has reported, or `None`."""
    first = next(iter(worker.leases.values()), None)
    return farm.tasks[first] if first is not None and farm.tasks[first].state is State.RUNNING else None


def running_on(farm: Farm, workers: Iterable[int]) -> list[Task]:
    """Return the tasks that run on `workers`."""
    found = (farm.workers.get(worker) for worker in workers)
    return [task for worker in found if worker is not None and (task := task_on(farm, worker)) is not None]


def dependants_of(farm: Farm, taskid: int) -> set[int]:
    """Return `taskid` and the unfinished tasks that cannot end before it: they depend on it, or wait for it."""
    found, left = {taskid}, [taskid]
    waiting = [
        (task.taskid, barrier.remaining)
        for barrier in valid_barriers(farm)
        for task in running_on(farm, [barrier.worker])
    ]
    while left:
        parent = left.pop()
        after = {child for batch in farm.children.get(parent, ()) for child in batch if child in farm.tasks}
        after.update(task for task, remaining in waiting if parent in remaining)
        left += after - found
        found |= after
    return found


def waits_of(farm: Farm, task: Task) -> list[int]:
    """Return the tasks that a running task waits for, in ascending order, at most `_SHOWN`."""
    waits, worker = farm.waits, task.worker
    if waits is None or worker not in waits.lending or task_on(farm, farm.workers[worker]) is not task:
        return []
    found: set[int] = set()
    for barrier in farm.barriers.in_tasks():
        if barrier.worker == worker and is_valid(farm.workers, barrier):
            found |= barrier.remaining
    return sorted(found)[:_SHOWN]


def waits_text(farm: Farm, task: Task, taskids: list[int]) -> str:
    """Return the message in lists of a task that waits for `taskids`."""
    if not taskids:
        return ""
    first = farm.tasks[taskids[0]]
    noun = "task" if len(taskids) == 1 else "tasks"
    text = f"waiting for {noun} {list_ids(taskids)} ({first.batch.name or first.batch.spec.label})"
    in_turn = sorted(dependants_of(farm, task.taskid).intersection(taskids))
    if in_turn:
        text += f"; task {in_turn[0]} cannot end before this one: abort one of them"
    return text


def substitutes(farm: Farm) -> frozenset[int]:
    """Return the workers that stand in for others: the youngest, beyond the number asked for."""
    staying = sorted(worker.worker for worker in farm.workers.values() if not worker.retiring)
    return frozenset(staying[farm.n_workers :])
