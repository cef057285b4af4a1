"""Returns: tasks that wait behind a long one of their worker go back to the queue.

The worker's helper thread gives them back by itself when a task runs long. It is asked for them earlier (`Return`) when
another worker is idle, or when the task waits for other tasks. But no thread of the worker runs while a task holds
Python's global lock, or while its process is not scheduled. So the supervisor revokes what is not given back within
`REVOKE_AFTER` (`Revoke`), in memory that it shares with the worker: that needs neither the worker's lock nor its
connection. The memory of workers on an engine is elsewhere; they hold 50 ms of work at most.
"""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.supervisor_messages import Revoke
from taskfc_ext.protocol.worker_messages import Return

REVOKE_AFTER = 0.1
"""Seconds in which a worker that still answers returns what it was asked for: its helper thread needs 20 to 40 ms."""


def ask_back(farm: Farm, step: Step, now: Now, *, has_idle: bool) -> None:
    """Ask workers for the tasks behind their first one, if another worker is idle or that task waits for others."""
    lending = farm.waits.lending if farm.waits is not None else ()
    if not has_idle and not lending:
        return
    for worker in farm.workers.values():
        is_due = len(worker.leases) > 1 and (has_idle or worker.worker in lending)
        if is_due and _ask(step, worker) and not worker.may_be_stuck and farm.engine is None:
            worker.may_be_stuck = True
            _check_later(farm, worker.worker, now)


def on_timer(farm: Farm, step: Step, worker_id: int, first: int, now: Now) -> None:
    """Revoke what a worker was asked for, if its first lease is still `first`; otherwise check again later."""
    worker = farm.workers.get(worker_id)
    if worker is None:
        return
    leases = iter(worker.leases)
    lease, behind = next(leases, 0), next(leases, 0)
    is_waiting = 0 < behind <= worker.asked_back
    worker.may_be_stuck = is_waiting and lease != first
    if worker.may_be_stuck:
        _check_later(farm, worker_id, now)
    elif is_waiting:
        worker.busy = True
        _ask(step, worker)  # also for what was sent since, so that it is not asked and revoked for this once more
        step.to_supervisor(Revoke(worker_id, next(reversed(worker.leases))))


def _ask(step: Step, worker: Worker) -> bool:
    """Ask a worker for all that it has not started; return whether there is any that it was not asked for."""
    last = next(reversed(worker.leases))
    if last <= worker.asked_back:
        return False
    worker.asked_back = last
    if worker.ready:  # else it is asked on its new connection
        step.to_worker(worker.worker, Return(last))
    return True


def _check_later(farm: Farm, worker_id: int, now: Now) -> None:
    first = next(iter(farm.workers[worker_id].leases))
    farm.set_timer(now.mono + REVOKE_AFTER, TimerKind.REVOKE, worker_id, first)
