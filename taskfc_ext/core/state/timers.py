"""Timers of a farm."""

from __future__ import annotations

from enum import StrEnum


class TimerKind(StrEnum):
    """The kind of a timer, whose key is a task id, a lease, a worker, or 0."""

    BACKOFF = "backoff"  # a task may be dispatched again
    REDELIVER = "redeliver"  # a task may be offered to a worker again (key, worker)
    UNREACHABLE = "unreachable"  # every live worker may have rejected a task for too long
    DEADLINE = "deadline"  # an attempt has run for its timeout
    ESCALATION = "escalation"  # an attempt that is being stopped takes the next step
    REVOKE = "revoke"  # a worker may not give back what it was asked for (worker, its first lease)
    SUBSCRIBERS = "subscribers"  # changes may be sent to subscribers again
    SUBSTITUTES = "substitutes"  # some substitutes may be unneeded
    IDLE = "idle"  # workers on an engine may have been idle for long


Timer = tuple[float, int, TimerKind, int, int]
"""(monotonic time, order, kind, key, extra)."""
