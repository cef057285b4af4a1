"""Handlers of the messages of workers about their attempts."""

from __future__ import annotations

from collections.abc import Sequence

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers import refusals
from taskfc_ext.core.handlers.broadcasts import resume
from taskfc_ext.core.handlers.dispatch import forget_dropped, note_seconds
from taskfc_ext.core.handlers.engines import measure_round_trip
from taskfc_ext.core.handlers.stopping import stop_attempt, timeout_failure
from taskfc_ext.core.journal.endings import Endings
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.task import Cause, Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol.client_messages import Scaled
from taskfc_ext.protocol.outputs import MAX_DISPLAYS
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, encode_failure
from taskfc_ext.protocol.printed import begins_with, join_printed, tail, whole_lines
from taskfc_ext.protocol.records import Why
from taskfc_ext.protocol.spec import OnLost
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import Revoked, SetWorkers
from taskfc_ext.protocol.worker_messages import (
    Committed,
    Displayed,
    Finished,
    Output,
    Progress,
    Ready,
    Returned,
    Started,
)

MAX_LIVE_OUTPUT = 64 * 1024
"""Characters kept of the live output of a task; all of it comes with its end."""


def on_ready(farm: Farm, step: Step, worker: Worker, message: Ready, now: Now) -> None:
    """Handle a new connection of a worker: leases that it does not report go back, since they cannot reach it later."""
    rejoined = worker.ready
    worker.ready = True
    worker.busy = False
    worker.distance = None  # what was sent before measures nothing
    worker.asked_back = 0  # it may not have reached the worker
    sizes = farm.codes.sizes
    worker.known = {digest: sizes.get(digest, 0) for digest in message.codes}
    held = set(message.leases)
    endings = Endings(farm, step, now)
    for lease, taskid in list(worker.leases.items()):
        if lease not in held:
            _give_back(farm, endings, farm.tasks[taskid])
    endings.settle()
    resume(farm, step, worker, message.broadcasts)
    forget_dropped(farm, step, worker)
    if not rejoined:
        refusals.redeliver_to_all(farm)
    retire_if_done(farm, step, worker)


def on_started(farm: Farm, step: Step, worker: Worker, message: Started, now: Now) -> None:
    """Note that an attempt runs, and may run for long."""
    taskid = worker.leases.get(message.lease)
    if taskid is None:
        farm.stale += 1  # the attempt was given up, and that was handled then
        return
    task = farm.tasks[taskid]
    worker.busy = True
    if task.state is not State.RUNNING:
        task.started = now.wall - message.elapsed
        farm.transition((task,), State.RUNNING)
        timeout = task.spec.timeout
        if timeout is not None:
            farm.set_timer(now.mono + timeout - message.elapsed, TimerKind.DEADLINE, message.lease)
    if message.lease in farm.stopping_leases:  # the first interrupt came before the start
        stop_attempt(farm, step, message.lease, farm.stopping_leases[message.lease].cause, now)


def on_finished(farm: Farm, step: Step, worker: Worker, message: Finished, now: Now) -> None:
    """Handle ends of attempts. Reports under a void lease have no effect: a later attempt owns the task."""
    if message.seq > worker.finished_seq:
        _check_columns(message)
        if worker.distance is not None:
            measure_round_trip(worker, worker.distance, message, now)
        endings = Endings(farm, step, now)
        tasks = _tasks_of_successes(farm, worker, message)
        if tasks is not None:
            endings.succeed(tasks, message.values, message.seconds)
        else:
            _end_attempts(farm, endings, worker, message, now)
        _measure(farm, worker, message)
        endings.settle()
        worker.finished_seq = message.seq
    worker.busy = False
    step.to_worker(worker.worker, Committed(message.seq))
    retire_if_done(farm, step, worker)


def _check_columns(message: Finished) -> None:
    """Check that the columns of `message` are of one length, and that no lease is reported twice.

    Raises:
        ProtocolError: it is not so.
    """
    n = len(message.leases)
    if not n == len(message.outcomes) == len(message.values) == len(message.seconds) == len(set(message.leases)):
        raise ProtocolError(f"a report whose columns do not agree: {n} leases, {len(message.values)} values")


def _tasks_of_successes(farm: Farm, worker: Worker, message: Finished) -> list[Task] | None:
    """Return the tasks of a report of plain successes, as nearly all are, or `None` if it has anything else.

    Plain successes are ends of first attempts under valid leases, that no one has asked to stop, without any output.
    """
    if any(message.outcomes) or message.outputs or message.displays or farm.stopping_leases:
        return None
    held, by_id = worker.leases, farm.tasks
    try:
        tasks = [by_id[held[lease]] for lease in message.leases]
    except KeyError:  # a void lease
        return None
    return None if any(task.history for task in tasks) else tasks


def _end_attempts(farm: Farm, endings: Endings, worker: Worker, message: Finished, now: Now) -> None:
    """End the attempts of a report, one by one."""
    rows = zip(message.leases, message.outcomes, message.values, message.seconds, strict=True)
    for lease, outcome, value, seconds in rows:
        taskid = worker.leases.get(lease)
        if taskid is None:
            farm.stale += 1
            continue
        task = farm.tasks[taskid]
        endings.add_output(task, message.outputs.get(lease, ()))
        endings.add_displays(task, message.displays.get(lease, ()))
        _end_attempt(farm, endings, worker, task, Outcome(outcome), value, seconds, now)


def on_returned(farm: Farm, step: Step, worker: Worker, message: Returned, now: Now) -> None:
    """Requeue attempts that the worker gives back without having started them."""
    valid = [lease for lease in sorted(set(message.leases)) if lease in worker.leases]  # in the order of their dispatch
    farm.stale += len(set(message.leases)) - len(valid)
    if worker.leases or not message.is_busy:
        worker.busy = message.is_busy
    _take_back(farm, step, worker, valid, now)


def on_revoked(farm: Farm, step: Step, message: Revoked, now: Now) -> None:
    """End the attempts whose results the supervisor has read, and requeue those that it has revoked.

    The worker can do neither. It stays busy until it reports: it has an attempt to end, or revoked ones to return. Its
    report of the read results is stale then.
    """
    worker = farm.workers.get(message.worker)
    if worker is None:
        return
    endings = Endings(farm, step, now)
    for lease, value, seconds in zip(message.leases, message.values, message.seconds, strict=True):
        taskid = worker.leases.get(lease)
        if taskid is not None:  # else the worker has sent it before
            _end_attempt(farm, endings, worker, farm.tasks[taskid], Outcome.OK, value, seconds, now)
    endings.settle()
    revoked = [lease for lease in worker.leases if message.started < lease <= message.until]
    _take_back(farm, step, worker, revoked, now)


def _take_back(farm: Farm, step: Step, worker: Worker, leases: Sequence[int], now: Now) -> None:
    """Requeue attempts that have not started."""
    endings = Endings(farm, step, now)
    for lease in leases:
        _give_back(farm, endings, farm.leases[lease])
    endings.settle()
    retire_if_done(farm, step, worker)


def on_output(farm: Farm, worker: Worker, message: Output) -> None:
    """Add to the live output of the running attempt."""
    taskid = worker.leases.get(message.lease)
    if taskid is not None:
        past = farm.tasks[taskid].past()
        kept = past.output
        if begins_with(message.printed, "\r"):  # a progress bar is drawn again: its older states must not fill the log
            kept = whole_lines(kept)
        past.output = tail(join_printed(kept, message.printed), MAX_LIVE_OUTPUT)


def on_displayed(farm: Farm, worker: Worker, message: Displayed) -> None:
    """Change the live displays of the running attempt."""
    taskid = worker.leases.get(message.lease)
    if taskid is None:
        return
    past = farm.tasks[taskid].past()
    if message.kept > len(past.displays):
        return  # its base went to an earlier controller; a worker sends all of them on a new connection
    past.displays = (*past.displays[: message.kept], *message.then)[-MAX_DISPLAYS:]
    past.displays_version = f"{message.lease}.{message.revision}"


def on_progress(farm: Farm, worker: Worker, message: Progress) -> None:
    """Note the progress of the running attempt, under its lease, so that the next attempt starts without."""
    taskid = worker.leases.get(message.lease)
    if taskid is not None:
        worker.progress = message
        farm.mark((farm.tasks[taskid],))


def set_n_workers(farm: Farm, step: Step, n: int) -> None:
    """Note the intended number of workers; the clients are informed of each change."""
    if n == farm.n_workers:
        return
    farm.n_workers = n
    for session in farm.sessions.values():
        if session.connected:
            step.to_client(session.session, Scaled(n))


def retire_surplus(farm: Farm, step: Step) -> None:
    """Retire the surplus of workers, the ones with the fewest leases first; each ends when it holds none.

    Among equals the youngest retires: it may be a substitute. On an engine, where fewer workers than wanted may be
    there, none is surplus then.
    """
    staying = [worker for worker in farm.workers.values() if not worker.retiring]
    staying.sort(key=lambda worker: (worker.ready, len(worker.leases), -worker.worker))
    surplus = staying[: max(0, len(staying) - farm.n_workers - farm.n_substitutes)]
    for worker in surplus:
        worker.retiring = True
    set_workers(farm, step, tuple(worker.worker for worker in surplus if not worker.leases))
    farm.refusals.check_later(farm.refusals.rejected)


def retire_late_surplus(farm: Farm, step: Step) -> None:
    """Retire workers that the supervisor had started before it learned that fewer are wanted.

    Their starts are reported after that. Not at once: a report of deaths may follow that of their replacements. Without
    room, deaths are not reported; and an engine has its own number of places.
    """
    n_staying = sum(not worker.retiring for worker in farm.workers.values())
    is_settled = farm.engine is None and farm.no_room is None and not farm.stop_asked
    if is_settled and n_staying > farm.n_workers + farm.n_substitutes:
        retire_surplus(farm, step)


def set_workers(farm: Farm, step: Step, retire: tuple[int, ...] = ()) -> None:
    """Send the supervisor the number of workers wanted, and the ones that shall end."""
    step.to_supervisor(SetWorkers(farm.n_workers, retire, farm.n_substitutes))


def retire_if_done(farm: Farm, step: Step, worker: Worker) -> None:
    """Let a retiring worker end once it holds no lease."""
    if worker.retiring and not worker.leases:
        set_workers(farm, step, (worker.worker,))


def _end_attempt(
    farm: Farm, endings: Endings, worker: Worker, task: Task, outcome: Outcome, value: Payload, seconds: float, now: Now
) -> None:
    cause = farm.stop_cause(task)
    if cause is not None:
        end_stopped(endings, task, cause, seconds)
    elif outcome is Outcome.OK:
        endings.succeed((task,), (value,), (seconds,))
    elif outcome is Outcome.ERROR or outcome is Outcome.FINAL_ERROR:
        endings.fail(task, Reason.ERROR, value, seconds, retryable=outcome is Outcome.ERROR)
    elif outcome is Outcome.INTERRUPTED:
        _end_interrupted(endings, task, seconds)
    else:
        refusals.on_refused(farm, endings, worker, task, outcome, value, now)


def _end_interrupted(endings: Endings, task: Task, seconds: float) -> None:
    """Handle the end of an attempt by an interrupt of an earlier controller.

    Aborts are in the store, so it was the interrupt of a timeout.
    """
    if task.spec.timeout is not None:
        end_stopped(endings, task, Cause.TIMEOUT, seconds)
    elif task.spec.on_lost is OnLost.FAIL:
        message = f"{task.title}, which may run only once, was interrupted"
        endings.fail(task, Reason.LOST, encode_failure(Failure(Reason.LOST, message)), seconds)
    else:
        endings.requeue(task, Why.RETURNED)


def end_stopped(endings: Endings, task: Task, cause: Cause, seconds: float = 0.0) -> None:
    """End an attempt that was being stopped, however it ended: a late result is dropped."""
    if cause is Cause.ABORT:
        endings.abort(task, seconds)
    else:
        endings.fail(task, Reason.TIMEOUT, timeout_failure(task), seconds, retryable=task.spec.retry_timeouts)


def _give_back(farm: Farm, endings: Endings, task: Task) -> None:
    """Requeue an attempt that never started, free of charge, or end it if it was being stopped."""
    cause = farm.stop_cause(task)
    if cause is not None:
        end_stopped(endings, task, cause)
    else:
        endings.requeue(task, Why.RETURNED)


def _measure(farm: Farm, worker: Worker, message: Finished) -> None:
    """Measure the run time of the code in a report; only the last one if the report has several codes."""
    if message.leases:
        taskid = worker.leases.get(message.leases[-1])
        if taskid is not None:
            note_seconds(farm, farm.tasks[taskid].spec.code, sum(message.seconds), len(message.seconds))
