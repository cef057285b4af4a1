"""Handlers of refusals: reject a task, redeliver it, and end it when every live worker rejects it for too long.

`core.state.refusals` says what these words mean. A refusal costs the task neither an attempt nor a retry.
"""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.journal.endings import Endings
from taskfc_ext.core.state.engine import is_growing
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.lending import valid_barriers
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, encode_failure
from taskfc_ext.protocol.records import Why

REDELIVER_AFTER = 0.1
"""Seconds before a task is redelivered to a worker that said "not now"; doubles each time."""

MAX_REDELIVER_AFTER = 5.0

_MAX_REASON = 500  # characters


def on_refused(
    farm: Farm, endings: Endings, worker: Worker, task: Task, outcome: Outcome, value: Payload, now: Now
) -> None:
    """Reject `task` for `worker`: until further notice, or for the back-off of a "not now"."""
    reason = value.decode("utf-8", "replace")[:_MAX_REASON] if isinstance(value, bytes) else ""
    rejection = farm.refusals.reject(task.taskid, worker.worker, reason)
    if outcome is Outcome.NOT_NOW:
        pause = min(MAX_REDELIVER_AFTER, REDELIVER_AFTER * 2.0 ** min(rejection.n_not_now, 30))
        rejection.n_not_now += 1
        farm.set_timer(now.mono + pause, TimerKind.REDELIVER, task.taskid, worker.worker)
    endings.requeue(task, Why.REFUSED)


# redelivery


def on_properties(farm: Farm, worker: Worker) -> None:
    """Redeliver to `worker`, whose properties changed, the tasks that it has rejected."""
    for task in _rejected_tasks(farm):
        if worker.worker in farm.refusals.reasons_of(task.taskid):
            _redeliver(farm, task, worker.worker)
            farm.refusals.stop_clock(task.taskid)


def on_redeliver_timer(farm: Farm, taskid: int, worker: int) -> None:
    """Redeliver a task to `worker` after the back-off of its "not now"; the clock of unreachable goes on."""
    if worker in farm.refusals.reasons_of(taskid):
        _redeliver(farm, farm.tasks[taskid], worker)
        farm.refusals.redelivered.add(taskid)


def redeliver_to_all(farm: Farm) -> None:
    """Redeliver every rejected task to every worker."""
    refusals = farm.refusals
    for task in _rejected_tasks(farm):
        refusals.stop_clock(task.taskid)
        if refusals.reasons_of(task.taskid):
            _redeliver(farm, task)


def _redeliver(farm: Farm, task: Task, worker: int | None = None) -> None:
    """Redeliver a rejected task to `worker`, which has rejected it, or to every worker."""
    was_waiting = farm.refusals.withdraw(task.taskid)
    if worker is None:
        farm.refusals.offer_to_all(task.taskid)
    else:
        del farm.refusals.rejected[task.taskid].reasons[worker]
    farm.mark((task,))
    if was_waiting:
        farm.offer(task)


def _rejected_tasks(farm: Farm) -> list[Task]:
    """Return the rejected tasks, newest first, since each is put before the others of its client.

    A task that another worker has is included: that worker may refuse it as well.
    """
    return [farm.tasks[taskid] for taskid in sorted(farm.refusals.rejected, reverse=True)]


# unreachable tasks


def end_unreachable(farm: Farm, step: Step, now: Now) -> None:
    """End the tasks that every live worker has rejected for too long; start the clock of those that they reject now."""
    to_check = farm.refusals.to_check
    live = frozenset(farm.live_workers()) if to_check else frozenset()
    while to_check:
        task = farm.tasks.get(to_check.pop())
        if task is None or task.lease:
            continue
        _check_message(farm, task, live)
        if task.taskid not in farm.held:
            _check_unreachable(farm, step, task, live, now)


def _check_message(farm: Farm, task: Task, live: frozenset[int]) -> None:
    """Send `task` to subscribers if all live workers reject it now and did not before, or the other way round."""
    rejection = farm.refusals.rejected.get(task.taskid)
    if rejection is None:
        return
    all_live = live if live <= rejection.reasons.keys() else frozenset()
    if all_live != rejection.all_live:
        rejection.all_live = all_live
        farm.mark((task,))


def _check_unreachable(farm: Farm, step: Step, task: Task, live: frozenset[int], now: Now) -> None:
    asked = _workers_to_ask(farm, task, live)
    rejection = farm.refusals.rejected.get(task.taskid)
    if rejection is None or not asked or not asked <= rejection.reasons.keys():
        return
    if is_growing(farm):
        rejection.unreachable_since = None  # the next worker may take it; the demand has it checked again
        return
    if rejection.unreachable_since is None:
        rejection.unreachable_since = now.mono
        farm.set_timer(now.mono + farm.unreachable_after, TimerKind.UNREACHABLE, task.taskid)
    elif now.mono >= rejection.unreachable_since + farm.unreachable_after:  # the time of the timer, to the last bit
        reasons = "; ".join(f"worker {worker}: {rejection.reasons[worker]}" for worker in sorted(asked))
        message = f"{task.title} was refused by every live worker for {farm.unreachable_after:g} s ({reasons})"
        endings = Endings(farm, step, now)
        endings.fail(task, Reason.UNREACHABLE, encode_failure(Failure(Reason.UNREACHABLE, message)))
        endings.settle()


def stop_clocks(farm: Farm) -> None:
    """Stop the clock of tasks that were redelivered to a worker and not dispatched, since this worker is busy."""
    refusals = farm.refusals
    live = frozenset(farm.live_workers()) if refusals.redelivered else frozenset()
    for taskid in refusals.redelivered:
        task, reasons = farm.tasks.get(taskid), refusals.reasons_of(taskid)
        if task is not None and not task.lease and not _workers_to_ask(farm, task, live) <= reasons.keys():
            refusals.stop_clock(taskid)
    refusals.redelivered.clear()


def _workers_to_ask(farm: Farm, task: Task, live: frozenset[int]) -> frozenset[int]:
    """Return the workers among `live`, all live ones, without those whose own task waits for `task`."""
    return live - {barrier.worker for barrier in valid_barriers(farm) if task.taskid in barrier.remaining}
