"""Lists of unfinished tasks and of workers, and counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from taskfc_ext.core.effects import SendList
from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.lending import substitutes, task_on, waits_of
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.core.views.waiting import Waiting, back_off_left
from taskfc_ext.protocol.batches import chunks
from taskfc_ext.protocol.client_messages import ListTasks
from taskfc_ext.protocol.infos import EngineInfo, TaskInfo, TaskProgress, WorkerInfo
from taskfc_ext.protocol.owners import is_called
from taskfc_ext.protocol.spec import NO_CELL, is_from
from taskfc_ext.protocol.states import State

_SHOWN = 5
"""Largest number of tasks shown that a worker waits for."""

_LOOKED_AT, _MADE = 2048, 64
"""Unfinished tasks that a part of a search looks at, and rows that it makes: half a millisecond, after which others
have their turn."""


def queue_status(farm: Farm, *, verbose: bool) -> dict[str, object]:
    """Return counts, or lists of ids, by state, in the older system's names: *running* tasks are `pending`.

    While the store has no room, `no_room` says so.
    """
    without: dict[str, object] = {} if farm.no_room is None else {"no_room": farm.no_room.text}
    keys = {
        "waiting": State.WAITING,
        "scheduled": State.SCHEDULED,
        "pending": State.RUNNING,
        "succeeded": State.SUCCEEDED,
        "failed": State.FAILED,
        "aborted": State.ABORTED,
    }
    if verbose:
        return {key: farm.ids_in(state) for key, state in keys.items()} | without
    return {key: farm.counts[state] for key, state in keys.items()} | without


def _ended_of(farm: Farm, taskids: Iterable[int]) -> tuple[int, ...]:
    """Return those that have ended by now: the rows of others may come while the answer is made."""
    return tuple([taskid for taskid in taskids if taskid not in farm.tasks and farm.knows(taskid)])


def list_tasks(farm: Farm, message: ListTasks, now: Now) -> SendList:
    """Return the answer to a `ListTasks`, with the unfinished tasks."""
    search = _search(farm, message, now)
    live: list[TaskInfo] = []
    more: Iterable[TaskInfo | int | None] = ()
    for each in search:
        if isinstance(each, TaskInfo):
            live.append(each)
        else:
            more = search
            break
    return SendList(
        seq=message.seq,
        live=tuple(reversed(live)),
        taskids=None if message.taskids is None else _ended_of(farm, message.taskids),
        states=message.states,
        name=message.name,
        owner=message.owner,
        limit=message.limit,
        left_out=frozenset(farm.retried) if message.not_retried else frozenset(),
        origin=message.origin,
        more=more,
    )


def _search(farm: Farm, message: ListTasks, now: Now) -> Iterator[TaskInfo | int | None]:
    """Yield the unfinished tasks that match, newest first; at a `None`, between two parts, the caller may pause.

    A task that is submitted meanwhile is left out. Of requested ones that end meanwhile the ids come last.
    """
    requested = None
    if message.taskids is not None:
        requested = [farm.tasks[each] for each in sorted({*message.taskids}, reverse=True) if each in farm.tasks]
    candidates = reversed(farm.tasks.values()) if requested is None else iter(requested)
    has_origin = message.origin != NO_CELL  # a call for each of a million tasks takes long
    n_left, is_steady, is_first = message.limit, requested is not None, True
    while n_left and (some := list(islice(candidates, _LOOKED_AT))):
        matching = [
            task
            for task in some
            if (message.owner is None or is_called(task.batch.owner, message.owner))
            and (message.name is None or task.batch.name == message.name)
            and (not has_origin or is_from(task.batch.origin, message.origin))
            and (message.states is None or task.state in message.states)
        ][:n_left]
        n_left -= len(matching)
        if n_left and not is_steady:
            candidates, is_steady = iter(list(candidates)), True  # the farm's own changes while others have their turn
        for rows in (*chunks(matching, _MADE),) or ((),):
            if not is_first:
                yield None
            is_first = False
            waiting = Waiting(farm)
            for task in rows:
                if task.taskid in farm.tasks:
                    yield task_info(farm, task, waiting, now)
    for task in requested or ():
        if task.taskid not in farm.tasks:
            yield task.taskid


def task_info(farm: Farm, task: Task, waiting: Waiting, now: Now) -> TaskInfo:
    """Return an unfinished task as lists show it."""
    past, left, waits = task.history, back_off_left(farm, task, now), waits_of(farm, task)
    return TaskInfo(
        progress=progress_of(farm, task),
        taskid=task.taskid,
        name=task.batch.name,
        label=task.spec.label,
        state=task.state.value,
        held=task.taskid in farm.held,
        stopping=farm.stop_cause(task) is not None,
        worker=task.worker,
        attempts=task.attempts,
        deaths=past.deaths if past is not None else 0,
        priority=farm.priority_of(task),
        submitted=task.batch.submitted,
        elapsed=max(0.0, now.wall - task.started) if task.state is State.RUNNING else None,
        owner=task.batch.owner,
        cell=task.batch.origin.cell,
        message=waiting.text(task, left, waits),
        waits_for=tuple(waits),
        retry_of=task.retry_of,
        not_before=None if left is None else now.wall + left,
    )


def progress_of(farm: Farm, task: Task) -> TaskProgress | None:
    """Return the progress of the running attempt of a task, if it has reported any."""
    worker = farm.workers.get(task.worker)
    progress = worker.progress if worker is not None else None
    if progress is None or progress.lease != task.lease or task.state is not State.RUNNING:
        return None
    return TaskProgress(progress.done, progress.total, progress.description)


def workers_info(farm: Farm) -> list[WorkerInfo]:
    """Return all workers, as lists show them."""
    standing_in = substitutes(farm) if farm.waits is not None else frozenset()
    return [_worker_info(farm, worker, is_substitute=worker.worker in standing_in) for worker in farm.workers.values()]


def _worker_info(farm: Farm, worker: Worker, *, is_substitute: bool) -> WorkerInfo:
    task = task_on(farm, worker)
    if not worker.ready:
        state = "starting"
    elif farm.waits is not None and worker.worker in farm.waits.lending:
        state = "waiting"
    elif worker.retiring:
        state = "retiring"
    elif worker.pending and not worker.leases:
        state = "setting up"
    else:
        state = "busy" if worker.leases else "idle"
    return WorkerInfo(
        worker=worker.worker,
        pid=worker.pid,
        state=state,
        running=task.taskid if task is not None else None,
        held=len(worker.leases),
        problem=_problem_of(farm, worker),
        waits_for=tuple(waits_of(farm, task)[:_SHOWN]) if task is not None else (),
        is_substitute=is_substitute,
        place=worker.place,
    )


def engine_info(farm: Farm) -> EngineInfo | None:
    """Return the engine of the farm as lists show it, or `None` at home."""
    if farm.engine is None:
        return None
    report = farm.engine.report
    return EngineInfo(
        kind=report.kind,
        url=report.url,
        state=report.state,
        since=farm.engine.since,
        text=report.text,
        n_places=report.n_places,
        limit=farm.n_workers,
    )


def _problem_of(farm: Farm, worker: Worker) -> str:
    """Return the last problem of a worker with broadcasts; a skipped broadcast counts."""
    for number, problem in reversed(worker.set_up.items()):
        if problem:
            return f"broadcast {number}: {problem}"
    for kept in reversed(farm.broadcasts.values()):
        why = kept.why_skipped(farm.max_deaths)
        if why:
            return f"broadcast {kept.record.number}: {why}"
    return ""
