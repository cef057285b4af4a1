"""The decision after a failed attempt: retry, recover, or end."""

from __future__ import annotations

from enum import StrEnum

from taskfc_ext.core.state.task import History, Task
from taskfc_ext.protocol.payloads import Reason
from taskfc_ext.protocol.spec import Spec

LONGEST_BACKOFF = 3600.0
"""Seconds: the limit of the doubling."""

_NOT_RECOVERED = frozenset({Reason.DEPENDENCY, Reason.UNREACHABLE, Reason.ABORTED})

_RETRIED = frozenset({Reason.ERROR, Reason.TIMEOUT, Reason.MEMORY})


class Verdict(StrEnum):
    """The decision for a task whose attempt did not succeed."""

    RETRY = "retry"
    RECOVER = "recover"
    END = "end"


def after_failure(task: Task, reason: Reason, *, retryable: bool) -> Verdict:
    """Decide after an attempt that failed for `reason`.

    Retries come first, then the recovery task, once through. `handlers/workers.py` counts
    deaths of workers: here `lost` and `poisoned` are final for the stage.

    Args:
        retryable: whether `retry_on` covers this failure.
    """
    past = task.history or History()
    spec = task.spec
    if reason in _RETRIED and retryable and past.retries < spec.retries:
        return Verdict.RETRY
    if task.batch.spec.recovery is not None and not past.recovering and reason not in _NOT_RECOVERED:
        return Verdict.RECOVER
    return Verdict.END


def backoff_before(spec: Spec, retries_spent: int) -> float:
    """Return the seconds to wait before retry number `retries_spent`; they double each time."""
    if not spec.backoff:
        return 0.0
    return min(LONGEST_BACKOFF, spec.backoff * 2.0 ** min(retries_spent - 1, 60))
