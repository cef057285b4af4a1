"""Stops of running attempts: interrupt, terminate, kill, until the worker reports the end or dies."""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.task import Cause, Stopping, Task
from taskfc_ext.protocol.payloads import Failure, Reason, encode_failure
from taskfc_ext.protocol.resources import format_size
from taskfc_ext.protocol.supervisor_messages import Step as StopStep
from taskfc_ext.protocol.supervisor_messages import StopAttempt

GRACE = {StopStep.INTERRUPT: 2.0, StopStep.TERMINATE: 1.0, StopStep.KILL: 1.0}
"""Seconds from each step to the next one; a kill is repeated."""

_NEXT = {StopStep.INTERRUPT: StopStep.TERMINATE, StopStep.TERMINATE: StopStep.KILL, StopStep.KILL: StopStep.KILL}


def stop_attempt(farm: Farm, step: Step, lease: int, cause: Cause, now: Now) -> None:
    """Begin to stop the attempt under `lease`, or interrupt it again if that has begun."""
    task = farm.leases[lease]
    farm.mark((task,))
    known = farm.stopping_leases.get(lease)
    if known is None:
        farm.stopping_leases[lease] = Stopping(cause, task.worker, StopStep.INTERRUPT)
        farm.set_timer(now.mono + GRACE[StopStep.INTERRUPT], TimerKind.ESCALATION, lease)
    elif cause is Cause.ABORT:
        known.cause = cause  # an abort rules out the retry of a timeout
    step.to_supervisor(StopAttempt(task.worker, lease, StopStep.INTERRUPT))


def on_deadline(farm: Farm, step: Step, lease: int, now: Now) -> None:
    """Begin to stop the attempt under `lease`, which has reached its timeout."""
    if lease in farm.leases and lease not in farm.stopping_leases:
        stop_attempt(farm, step, lease, Cause.TIMEOUT, now)


def on_escalation(farm: Farm, step: Step, lease: int, now: Now) -> None:
    """Take the next step, since the attempt under `lease` has not ended after the last one."""
    stopping = farm.stopping_leases.get(lease)
    if stopping is None:
        return  # it has ended
    stopping.step = _NEXT[stopping.step]
    step.to_supervisor(StopAttempt(stopping.worker, lease, stopping.step))
    farm.set_timer(now.mono + GRACE[stopping.step], TimerKind.ESCALATION, lease)


def timeout_failure(task: Task) -> bytes:
    """Return the failure of a task whose attempt ran too long."""
    message = f"{task.title} ran longer than its timeout of {task.spec.timeout:g} s"
    return encode_failure(Failure(Reason.TIMEOUT, message))


def memory_failure(task: Task, used: int) -> bytes:
    """Return the failure of a task whose attempt used `used` bytes, more than its limit."""
    limit = task.spec.needs.memory if task.spec.needs is not None else 0
    message = f"{task.title} used {format_size(used)}, over its limit of {format_size(limit)}, and was ended"
    return encode_failure(Failure(Reason.MEMORY, message))
