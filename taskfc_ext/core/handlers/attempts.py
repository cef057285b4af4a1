"""What workers say of their attempts."""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers.broadcasts import resume
from taskfc_ext.core.handlers.dispatch import let_go_of_dropped, note_seconds
from taskfc_ext.core.handlers.stopping import stop_attempt, timeout_failure
from taskfc_ext.core.journal.endings import Endings
from taskfc_ext.core.state.farm import Farm, TimerKind, Worker
from taskfc_ext.core.state.task import Cause, Task
from taskfc_ext.core.state.waits import is_valid
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol.outputs import MAX_DISPLAYS
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, encode_failure
from taskfc_ext.protocol.printed import begins_with, join_printed, tail, whole_lines
from taskfc_ext.protocol.records import Why
from taskfc_ext.protocol.spec import OnLost
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import SetWorkers
from taskfc_ext.protocol.worker_messages import (
    Committed,
    Displayed,
    Finished,
    Output,
    Progress,
    PropertiesChanged,
    Ready,
    Returned,
    Started,
)

ASK_AGAIN_AFTER = 0.1
"""Seconds before a worker is asked again for a task that said "not now"; doubles each time."""

LONGEST_ASK_AGAIN = 5.0

MAX_LIVE_OUTPUT = 64 * 1024
"""Characters kept of what a running task has printed; all of it comes with its end."""


def on_ready(farm: Farm, step: Step, worker: Worker, message: Ready, now: Now) -> None:
    """A worker opened a connection: what it does not hold by now, it never will."""
    rejoined = worker.ready
    worker.ready = True
    worker.busy = False
    sizes = farm.codes.sizes
    worker.known = {digest: sizes.get(digest, 0) for digest in message.codes}
    held = set(message.leases)
    endings = Endings(farm, step, now)
    for lease, taskid in list(worker.leases.items()):
        if lease not in held:
            _give_back(farm, endings, farm.tasks[taskid])
    endings.settle()
    resume(farm, step, worker, message.broadcasts)
    let_go_of_dropped(farm, step, worker)
    if not rejoined:
        ask_all_again(farm)
    retire_if_done(farm, step, worker)


def on_started(farm: Farm, step: Step, worker: Worker, message: Started, now: Now) -> None:
    """An attempt runs, and may run for long."""
    taskid = worker.leases.get(message.lease)
    if taskid is None:
        farm.stale += 1  # the attempt was given up meanwhile; whoever gave it up has dealt with it
        return
    task = farm.tasks[taskid]
    worker.busy = True
    if task.state is not State.RUNNING:
        task.started = now.wall - message.elapsed
        farm.move((task,), State.RUNNING)
        timeout = task.spec.timeout
        if timeout is not None:
            farm.set_timer(now.mono + timeout - message.elapsed, TimerKind.DEADLINE, message.lease)
    if message.lease in farm.stopping_leases:  # the first interrupt came before there was anything to interrupt
        stop_attempt(farm, step, message.lease, farm.stopping_leases[message.lease].cause, now)


def on_finished(farm: Farm, step: Step, worker: Worker, message: Finished, now: Now) -> None:
    """Attempts have ended. Those whose lease is not valid any more have no effect: a later attempt owns the task."""
    if message.seq > worker.finished_seq:
        rows = _rows(message)
        endings = Endings(farm, step, now)
        for lease, outcome, value, seconds in rows:
            taskid = worker.leases.get(lease)
            if taskid is None:
                farm.stale += 1
                continue
            task = farm.tasks[taskid]
            if message.outputs:
                endings.printed(task, message.outputs.get(lease, ()))
            if message.displays:
                endings.showed(task, message.displays.get(lease, ()))
            if outcome == Outcome.OK and task.history is None and lease not in farm.stopping_leases:
                endings.succeed(task, value, seconds)  # as nearly all do
            else:
                _attempt_ended(farm, endings, worker, task, Outcome(outcome), value, seconds, now)
        _measure(farm, worker, message)
        endings.settle()
        worker.finished_seq = message.seq
    worker.busy = False
    step.to_worker(worker.worker, Committed(message.seq))
    retire_if_done(farm, step, worker)


def _rows(message: Finished) -> list[tuple[int, int, Payload, float]]:
    """Return the columns of `message` as rows.

    Raises:
        ProtocolError: they are of unequal length, or a lease is reported twice.
    """
    n = len(message.leases)
    if not n == len(message.outcomes) == len(message.values) == len(message.seconds) == len(set(message.leases)):
        raise ProtocolError(f"a report whose columns do not agree: {n} leases, {len(message.values)} values")
    return list(zip(message.leases, message.outcomes, message.values, message.seconds, strict=True))


def on_returned(farm: Farm, step: Step, worker: Worker, message: Returned, now: Now) -> None:
    """The worker gives back what it has not started."""
    endings = Endings(farm, step, now)
    for lease in sorted(set(message.leases)):  # in the order in which they were given out
        taskid = worker.leases.get(lease)
        if taskid is None:
            farm.stale += 1
        else:
            _give_back(farm, endings, farm.tasks[taskid])
    if worker.leases:
        worker.busy = True
    endings.settle()
    retire_if_done(farm, step, worker)


def on_output(farm: Farm, worker: Worker, message: Output) -> None:
    """The running attempt has printed something."""
    taskid = worker.leases.get(message.lease)
    if taskid is not None:
        past = farm.tasks[taskid].past()
        kept = past.output
        if begins_with(message.printed, "\r"):  # a bar is drawn anew: its older states are not to fill the log
            kept = whole_lines(kept)
        past.output = tail(join_printed(kept, message.printed), MAX_LIVE_OUTPUT)


def on_displayed(farm: Farm, worker: Worker, message: Displayed) -> None:
    """The running attempt shows something else than before."""
    taskid = worker.leases.get(message.lease)
    if taskid is None:
        return
    past = farm.tasks[taskid].past()
    if message.kept > len(past.displays):
        return  # it goes on from what this controller never heard; on a new connection a worker begins anew
    past.displays = (*past.displays[: message.kept], *message.then)[-MAX_DISPLAYS:]
    past.displays_version = f"{message.lease}.{message.revision}"


def on_progress(farm: Farm, worker: Worker, message: Progress) -> None:
    """The running attempt says how far it is. Kept under its lease, so another attempt starts without."""
    taskid = worker.leases.get(message.lease)
    if taskid is not None:
        worker.progress = message
        farm.mark((farm.tasks[taskid],))


def on_properties(farm: Farm, worker: Worker, message: PropertiesChanged) -> None:
    """What this worker refused may suit it now."""
    for task in _choosy(farm):
        if worker.worker in task.past().refused:
            _ask_again(farm, task, worker.worker)


def ask_all_again(farm: Farm) -> None:
    """Offer every refused task to every worker once more."""
    for task in _choosy(farm):
        parked = farm.unpark(task)
        past = task.past()
        past.refused = {}
        past.unreachable_since = None
        farm.mark((task,))
        if parked:
            farm.offer(task)
    farm.choosy.clear()


def on_ask_again(farm: Farm, taskid: int, worker: int) -> None:
    """The back-off of a "not now" is over."""
    task = farm.tasks.get(taskid)
    if task is not None and task.history is not None and worker in task.history.refused:
        _ask_again(farm, task, worker, keep_clock=True)
        farm.asked_again.add(taskid)


def stop_clocks(farm: Farm) -> None:
    """Forget since when tasks are refused that a live worker was to be asked about again, and was not: it is busy."""
    for taskid in farm.asked_again:
        task = farm.tasks.get(taskid)
        if task is not None and not task.lease and not _askable(farm, task) <= task.past().refused.keys():
            task.past().unreachable_since = None
    farm.asked_again.clear()


def check_unreachable(farm: Farm, step: Step, task: Task, now: Now) -> None:
    """End `task` if all live workers have refused it for too long; start the clock if they do now."""
    past = task.past()
    if task.taskid in farm.held:
        return  # nobody is to take it
    live = _askable(farm, task)
    if not live or not live <= past.refused.keys():
        return
    if past.unreachable_since is None:
        past.unreachable_since = now.mono
        farm.set_timer(now.mono + farm.unreachable_after, TimerKind.UNREACHABLE, task.taskid)
    elif now.mono - past.unreachable_since >= farm.unreachable_after:
        said = "; ".join(f"worker {worker}: {text}" for worker, text in sorted(past.refused.items()) if worker in live)
        message = f"{task.title} was refused by every live worker for {farm.unreachable_after:g} s ({said})"
        endings = Endings(farm, step, now)
        endings.fail(task, Reason.UNREACHABLE, encode_failure(Failure(Reason.UNREACHABLE, message)))
        endings.settle()


def retire_surplus(farm: Farm, step: Step) -> None:
    """Choose the workers that are too many, those that have least to do first; they end when they hold nothing.

    Of those that have as much to do, the youngest: it may stand in for one whose task waits.
    """
    staying = [worker for worker in farm.workers.values() if not worker.retiring]
    staying.sort(key=lambda worker: (worker.ready, len(worker.leases), -worker.worker))
    n_substitutes = farm.waits.n_substitutes if farm.waits is not None else 0
    surplus = staying[: max(0, len(staying) - farm.n_workers - n_substitutes)]
    for worker in surplus:
        worker.retiring = True
    set_workers(farm, step, tuple(worker.worker for worker in surplus if not worker.leases))
    farm.to_check.update(taskid for group in farm.parked.values() for taskid in group)  # fewer are left to ask


def set_workers(farm: Farm, step: Step, retire: tuple[int, ...] = ()) -> None:
    """Tell the supervisor how many workers there should be, and which are to end."""
    n_substitutes = farm.waits.n_substitutes if farm.waits is not None else 0
    step.to_supervisor(SetWorkers(farm.n_workers, retire, n_substitutes))


def retire_if_done(farm: Farm, step: Step, worker: Worker) -> None:
    """Let a worker that is to go end, once it holds nothing."""
    if worker.retiring and not worker.leases:
        set_workers(farm, step, (worker.worker,))


def _attempt_ended(
    farm: Farm, endings: Endings, worker: Worker, task: Task, outcome: Outcome, value: Payload, seconds: float, now: Now
) -> None:
    stopping = farm.stopping_leases.get(task.lease)
    if stopping is not None or (task.history is not None and task.history.aborting):
        cause = stopping.cause if stopping is not None else Cause.ABORT
        end_stopped(endings, task, cause, seconds)
    elif outcome is Outcome.OK:
        endings.succeed(task, value, seconds)
    elif outcome is Outcome.ERROR or outcome is Outcome.FINAL_ERROR:
        endings.fail(task, Reason.ERROR, value, seconds, retryable=outcome is Outcome.ERROR)
    elif outcome is Outcome.INTERRUPTED:
        _interrupted(endings, task, seconds)
    else:
        _refused(farm, endings, worker, task, outcome, value, now)


def _interrupted(endings: Endings, task: Task, seconds: float) -> None:
    """An interrupt ended the attempt that this controller did not ask for: one before it did.

    Aborts are in the store, so it was a timeout's.
    """
    if task.spec.timeout is not None:
        end_stopped(endings, task, Cause.TIMEOUT, seconds)
    elif task.spec.on_lost is OnLost.FAIL:
        message = f"{task.title}, which may run only once, was interrupted"
        endings.fail(task, Reason.LOST, encode_failure(Failure(Reason.LOST, message)), seconds)
    else:
        endings.requeue(task, Why.RETURNED)


def end_stopped(endings: Endings, task: Task, cause: Cause, seconds: float = 0.0) -> None:
    """An attempt that was being stopped has ended, in whatever way: a late result is dropped."""
    if cause is Cause.ABORT or (task.history is not None and task.history.aborting):
        endings.abort(task, seconds)
    else:
        endings.fail(task, Reason.TIMEOUT, timeout_failure(task), seconds, retryable=task.spec.retry_timeouts)


def _refused(
    farm: Farm, endings: Endings, worker: Worker, task: Task, outcome: Outcome, value: Payload, now: Now
) -> None:
    past = task.past()
    farm.choosy.add(task.taskid)
    past.refused[worker.worker] = value.decode("utf-8", "replace")[:500] if isinstance(value, bytes) else ""
    if outcome is Outcome.NOT_NOW:
        pause = min(LONGEST_ASK_AGAIN, ASK_AGAIN_AFTER * 2.0 ** min(past.refusals, 30))
        past.refusals += 1
        farm.set_timer(now.mono + pause, TimerKind.ASK_AGAIN, task.taskid, worker.worker)
    farm.to_check.add(task.taskid)
    endings.requeue(task, Why.REFUSED)


def _give_back(farm: Farm, endings: Endings, task: Task) -> None:
    """A lease is over that never started: free of charge, unless the task was to be stopped anyway."""
    stopping = farm.stopping_leases.get(task.lease)
    if (task.history is not None and task.history.aborting) or stopping is not None:
        end_stopped(endings, task, stopping.cause if stopping is not None else Cause.ABORT)
    else:
        endings.requeue(task, Why.RETURNED)


def _measure(farm: Farm, worker: Worker, message: Finished) -> None:
    """Learn how long the tasks of a batch take; batches of several codes tell of the last one only."""
    if message.leases:
        taskid = worker.leases.get(message.leases[-1])
        if taskid is not None:
            note_seconds(farm, farm.tasks[taskid].spec.code, sum(message.seconds), len(message.seconds))


def _ask_again(farm: Farm, task: Task, worker: int, *, keep_clock: bool = False) -> None:
    parked = farm.unpark(task)
    past = task.past()
    past.refused.pop(worker, None)
    farm.mark((task,))
    if not keep_clock:
        past.unreachable_since = None
    if parked:
        farm.offer(task)


def _askable(farm: Farm, task: Task) -> set[int]:
    """Return the workers that may be asked for a refused task, now or later: none whose own task waits for it."""
    live = farm.live_workers()
    waiting = (barrier for barrier in farm.barriers.values() if task.taskid in barrier.remaining)
    return live - {barrier.worker for barrier in waiting if is_valid(farm.workers, barrier)}


def _choosy(farm: Farm) -> list[Task]:
    """Return the refused tasks, newest first: each is put before the ones behind it.

    Those that another worker is looking at now are among them: it may be the next to refuse.
    """
    return [farm.tasks[taskid] for taskid in sorted(farm.choosy, reverse=True)]
