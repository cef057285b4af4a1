"""Handlers of the messages of the supervisor: workers that start, and workers that die with leases."""

from __future__ import annotations

from msgspec import structs

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers import broadcasts, engines, refusals
from taskfc_ext.core.handlers.attempts import end_stopped, retire_surplus, set_n_workers
from taskfc_ext.core.handlers.stopping import memory_failure, stop_attempt
from taskfc_ext.core.journal.endings import Endings
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.task import Cause, Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.ids import UNKNOWN_LEASE
from taskfc_ext.protocol.options import MAX_PLACE_LOSSES
from taskfc_ext.protocol.payloads import Failure, Reason, encode_failure
from taskfc_ext.protocol.records import Why
from taskfc_ext.protocol.spec import OnLost
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import Farm as FarmMessage
from taskfc_ext.protocol.supervisor_messages import Noted, WorkerDown, WorkerUp

_NO_PAGE = 2**62
"""The last lease that a worker started, if it is unknown: each of its leases may have started."""


def on_farm(farm: Farm, step: Step, message: FarmMessage, now: Now) -> None:
    """Handle the first message of the supervisor: which workers of the store are alive, have died, or have vanished."""
    farm.supervisor_pid = message.supervisor_pid
    if message.engine is not None:
        engines.on_engine_state(farm, message.engine, now)
    set_n_workers(farm, step, message.n_workers)
    for up in message.alive:
        on_worker_up(farm, up)
    for down in message.dead:
        on_worker_down(farm, step, down, now)
    known = {up.worker for up in message.alive}
    for worker in [worker for worker in farm.workers if worker not in known]:
        on_worker_vanished(farm, step, worker, now)
    if len(farm.workers) > farm.n_workers:
        retire_surplus(farm, step)  # an earlier controller was asked to scale, and ended before they were idle
    for lease, task in list(farm.leases.items()):
        if task.aborting:  # an earlier controller accepted the abort
            stop_attempt(farm, step, lease, Cause.ABORT, now)


def on_worker_vanished(farm: Farm, step: Step, worker: int, now: Now) -> None:
    """Handle the end of a worker of which nothing is left: each of its attempts may have started."""
    note = "the farm went down with it"
    down = WorkerDown(worker=worker, pid=0, started=_NO_PAGE, running=False, note=note, planned=True)
    on_worker_down(farm, step, down, now)


def on_worker_up(farm: Farm, message: WorkerUp) -> None:
    """Note a started worker process; it gets tasks after its `Ready`."""
    worker = farm.workers.setdefault(message.worker, Worker(message.worker))
    worker.pid, worker.place = message.pid, message.place


def on_worker_down(farm: Farm, step: Step, message: WorkerDown, now: Now) -> None:
    """Handle the end of a worker process. Its page names the attempt to blame, and the ones that had not started."""
    worker = farm.workers.get(message.worker)
    if worker is not None:
        worker.ready = False
        endings = Endings(farm, step, now)
        if message.place_lost:
            _lose_place(farm, endings, worker, message)
        else:
            blame = _blame(message, worker)
            for lease, taskid in worker.leases.items():
                _lose_attempt(farm, endings, farm.tasks[taskid], lease, blame)
        endings.settle()
        del farm.workers[message.worker]
        broadcasts.on_worker_down(farm, step, worker, message)
        if not farm.live_workers():
            refusals.redeliver_to_all(farm)  # the next worker has refused nothing
        farm.refusals.check_later(farm.refusals.rejected)
    step.to_supervisor(Noted((message.worker,)))


def _blame(message: WorkerDown, worker: Worker) -> WorkerDown:
    """Return `message` as it applies to the attempts that `worker` held."""
    if message.to_blame:
        message = structs.replace(message, planned=False)
    if message.started == UNKNOWN_LEASE:  # leases run in order, and a task that may run only once is held alone
        message = structs.replace(message, started=min(worker.leases, default=0), running=True)
    return message


def _lose_attempt(farm: Farm, endings: Endings, task: Task, lease: int, message: WorkerDown) -> None:
    endings.keep_live_output(task)
    cause = farm.stop_cause(task)
    if cause is not None:
        end_stopped(endings, task, cause, endings.run_time(task))
    elif message.over_memory and lease == message.started:
        failure = memory_failure(task, message.over_memory)
        endings.fail(task, Reason.MEMORY, failure, endings.run_time(task), retryable=task.spec.retry_memory)
    elif lease > message.started:
        endings.requeue(task, Why.RETURNED)
    elif task.spec.on_lost is OnLost.FAIL:
        text = f"worker {message.worker} died with {task.title}, which may run only once"
        _fail_lost(endings, task, Reason.LOST, text, message.note)
    elif message.planned or lease != message.started:
        endings.requeue(task, Why.RETURNED)  # another attempt killed the worker
    elif task.past().deaths + 1 >= farm.max_deaths:
        did = "was running" if message.running else "had just run"
        text = f"{task.title} {did} when the last of {farm.max_deaths} workers died"
        _fail_lost(endings, task, Reason.POISONED, text, message.note)
    else:
        # Also if it had ended: a task can break its worker so that its result never leaves, and would run again for
        # ever if that cost nothing. A task charged wrongly runs alone from then on, so it is not charged again.
        endings.requeue(task, Why.DEATH)


def _lose_place(farm: Farm, endings: Endings, worker: Worker, message: WorkerDown) -> None:
    """Requeue the attempts of a worker whose place is lost, free of charge; the one that may have run is counted.

    No page is left to read. Leases run in order: the one whose start was reported ran last, else the first one may have
    run. A task that may run only once is held alone, and may have started.
    """
    tasks = [farm.tasks[taskid] for taskid in worker.leases.values()]
    ran = next((task for task in reversed(tasks) if task.state is State.RUNNING), tasks[0] if tasks else None)
    for task in tasks:
        endings.keep_live_output(task)
        cause = farm.stop_cause(task)
        if cause is not None:
            end_stopped(endings, task, cause, endings.run_time(task))
        elif task.spec.on_lost is OnLost.FAIL:
            text = f"the place of worker {message.worker} was lost with {task.title}, which may run only once"
            _fail_lost(endings, task, Reason.LOST, text, message.note)
        elif task is not ran or message.planned:
            endings.requeue(task, Why.RETURNED)
        elif task.past().place_losses + 1 >= MAX_PLACE_LOSSES:
            text = f"{task.title} was on the last {MAX_PLACE_LOSSES} places that were lost, and may have ended them"
            _fail_lost(endings, task, Reason.POISONED, text, message.note)
        else:
            endings.requeue(task, Why.PLACE_LOST)


def _fail_lost(endings: Endings, task: Task, reason: Reason, text: str, note: str) -> None:
    endings.fail(task, reason, encode_failure(Failure(reason, text, note=note)), endings.run_time(task))
