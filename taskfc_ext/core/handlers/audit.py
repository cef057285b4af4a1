"""Audit of a running farm: the cheap part of `validate`, in slices, which repairs what it finds.

Nothing is ever found unless another part is wrong. Then a task would wait for ever, or a GPU would be lost, and nobody
would know. Each repair does what a restart on the same store would do. `Step.repairs` describes it, for the log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from operator import attrgetter

from taskfc_ext.core.effects import SendEnded, Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers.workers import on_worker_vanished
from taskfc_ext.core.journal.endings import Endings, answer_request, dependency_failure, has_failed
from taskfc_ext.core.state.farm import LIVE_CODE, Farm
from taskfc_ext.core.state.quotas import Quotas
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.client_messages import Reply
from taskfc_ext.protocol.payloads import Reason
from taskfc_ext.protocol.states import State

TASKS_AT_ONCE = 1000
"""Tasks of one slice, which takes one or two milliseconds."""

WHOLE = 2000
"""Unfinished tasks up to which a slice also compares queues and counts, of which a part says nothing."""

LATE = 1.0
"""Seconds after the end of a back-off, after which its timer is lost."""


def audit(farm: Farm, step: Step, now: Now) -> None:
    """Check the next slice of `farm`, and repair what is wrong."""
    n_before = len(step.repairs)
    _audit_leases(farm, step)
    tasks = _next_slice(farm)
    _audit_holders(farm, step, tasks, now)
    _audit_dependencies(farm, step, tasks, now)
    _audit_ready(farm, step, tasks, now)
    _audit_ended(farm, step)
    _audit_barriers(farm, step)
    if len(farm.tasks) <= WHOLE:
        _audit_counts(farm, step)
    farm.n_repairs += len(step.repairs) - n_before


def _next_slice(farm: Farm) -> list[Task]:
    tasks: list[Task] = []
    taskid = farm.audited
    while len(tasks) < TASKS_AT_ONCE:
        taskid = farm.ended.find(LIVE_CODE, taskid)
        if taskid < 0:
            farm.audited = 0
            return tasks
        tasks.append(farm.tasks[taskid])
        taskid += 1
    farm.audited = taskid
    return tasks


def _audit_leases(farm: Farm, step: Step) -> None:
    """Void the leases that no task holds: a worker would seem busy, and resources in use, for ever."""
    for lease, task in list(farm.leases.items()):
        if task.lease != lease or farm.tasks.get(task.taskid) is not task:
            del farm.leases[lease]
            step.repairs.append(f"lease {lease} was valid, and {task.title} did not hold it: void now")
    for worker in farm.workers.values():
        for lease in [lease for lease in worker.leases if lease not in farm.leases]:
            taskid = worker.leases.pop(lease)
            step.repairs.append(f"worker {worker.worker} held the void lease {lease} of task {taskid}: taken from it")
    for lease in farm.resources.held.keys() - farm.leases.keys():
        holding = farm.resources.held.pop(lease)
        step.repairs.append(f"the void lease {lease} held {holding.needs}: free now")
    for lease in farm.stopping_leases.keys() - farm.leases.keys():
        del farm.stopping_leases[lease]
        step.repairs.append(f"the void lease {lease} was being stopped: forgotten")


def _audit_holders(farm: Farm, step: Step, tasks: list[Task], now: Now) -> None:
    """Restore the leases of tasks that hold them; those of workers that are gone end as lost ones."""
    gone: set[int] = set()
    for task in tasks:
        lease, worker = task.lease, farm.workers.get(task.worker)
        if not lease or (farm.leases.get(lease) is task and worker is not None and lease in worker.leases):
            continue
        step.repairs.append(f"{task.title} held the lease {lease} of worker {task.worker}, which did not count: valid")
        if worker is None:
            gone.add(task.worker)
            worker = farm.workers[task.worker] = Worker(task.worker)
        farm.leases[lease] = task
        worker.leases[lease] = task.taskid
        worker.leases = dict(sorted(worker.leases.items()))
    for lost in gone:
        on_worker_vanished(farm, step, lost, now)


def _audit_dependencies(farm: Farm, step: Step, tasks: list[Task], now: Now) -> None:
    """Let each task wait for the tasks that it comes after and that have not ended, and for no others."""
    endings, ready = Endings(farm, step, now), []
    waiting = [task for task in tasks if task.state is State.WAITING]
    for batch, of_batch in groupby(waiting, attrgetter("batch")):
        parents = {*batch.after, *batch.inputs}
        unmet = {parent for parent in parents if parent in farm.tasks}
        sound: object = None  # a set of dependencies that was compared: the tasks of a batch share one
        for task in of_batch:
            past = task.past()
            if past.unmet is sound or (unmet and past.unmet == unmet):
                sound = past.unmet
                continue
            step.repairs.append(
                f"{task.title} waited for the tasks {sorted(past.unmet)[:10]}, not {sorted(unmet)[:10]}"
            )
            past.unmet = set(unmet)
            needed = batch.inputs if batch.after_any else parents
            failed = [parent for parent in needed if parent not in unmet and has_failed(farm, parent)]
            if failed:
                endings.fail(task, Reason.DEPENDENCY, dependency_failure(task, min(failed)))
            elif not unmet:
                ready.append(task)
    farm.transition(ready, State.SCHEDULED)
    farm.enqueue(ready)
    endings.settle()


def _audit_ready(farm: Farm, step: Step, tasks: list[Task], now: Now) -> None:
    """Queue tasks that are ready, and in no queue."""
    queued = _read_queues(farm)
    for task in tasks:
        if task.lease or farm.tasks.get(task.taskid) is not task:
            continue
        if task.state is State.RUNNING:
            step.repairs.append(f"{task.title} ran on no worker: queued")
            farm.transition((task,), State.SCHEDULED)
            farm.withdraw((task,))  # its place may still be there
            farm.offer(task)
        elif task.state is State.SCHEDULED and task.taskid not in farm.held and _is_forgotten(farm, task, queued, now):
            step.repairs.append(f"{task.title} was ready, and in no queue: queued")
            task.past().not_before = None
            farm.offer(task)


def _read_queues(farm: Farm) -> Collection[int] | None:
    """Return the tasks in the queues; `None`: too many to look at."""
    if len(farm.tasks) <= WHOLE:
        return {taskid for queue in farm.resources.all_queues() for taskid in queue.ids()}
    return None if farm.queue or farm.resources.queues else ()


def _is_forgotten(farm: Farm, task: Task, queued: Collection[int] | None, now: Now) -> bool:
    not_before = task.history.not_before if task.history is not None else None
    if not_before is not None:
        return not_before < now.mono - LATE
    rejection = farm.refusals.rejected.get(task.taskid)
    if rejection is not None and rejection.line is not None:
        return False
    return queued is not None and task.taskid not in queued


def _audit_ended(farm: Farm, step: Step) -> None:
    """Forget what is noted of tasks that have ended, and send their ends to those who wait for them."""
    refusals = farm.refusals
    for taskid in _find_ended(farm, {*farm.held, *farm.moved, *refusals.rejected}):
        step.repairs.append(f"task {taskid}, which has ended, was held, moved or rejected: forgotten")
        farm.held.discard(taskid)
        farm.moved.pop(taskid, None)
        refusals.discard(taskid)
    for taskid in _find_ended(farm, farm.result_subscribers):
        step.repairs.append(f"the end of task {taskid} had not been sent to those who wait for it: sent")
        for session in farm.result_subscribers.pop(taskid):
            if farm.knows(taskid):
                step.to_client(session, SendEnded((taskid,)))


def _find_ended(farm: Farm, taskids: Iterable[int]) -> list[int]:
    """Return those of `taskids` that have ended. Set operations with all tasks would take their number in time."""
    return [taskid for taskid in taskids if taskid not in farm.tasks]


def _audit_barriers(farm: Farm, step: Step) -> None:
    """Answer barriers for tasks that have ended."""
    for key, barrier in list(farm.barriers.items()):
        if len(barrier.remaining) > WHOLE:
            continue
        ended = _find_ended(farm, barrier.remaining)
        if ended or not barrier.remaining:
            step.repairs.append(f"barrier {barrier.seq} waited for tasks that have ended: {ended[:10]}")
            barrier.remaining.difference_update(ended)
        if not barrier.remaining:
            farm.close_barrier(key)
            answer_request(farm, step, barrier.session, Reply(barrier.seq, None))


def _audit_counts(farm: Farm, step: Step) -> None:
    """Correct the counts of tasks by state, and by client."""
    for state, n in farm.recount().items():
        if farm.counts[state] != n:
            step.repairs.append(f"{farm.counts[state]} tasks were counted as {state}, and {n} are: corrected")
            farm.counts[state] = n
    quotas = Quotas(farm.tasks.values())
    if quotas.shares != farm.quotas.shares:
        step.repairs.append(f"the shares of clients were counted as {farm.quotas.shares}: {quotas.shares} now")
        farm.quotas = quotas
