"""The states of a task, as words and as numbers. `core/state/task.py` says which may follow which."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class State(StrEnum):
    """A task's state, in the order in which a task passes through them."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


class StateCode(IntEnum):
    """A task's state as a number, for columns."""

    WAITING = 1
    SCHEDULED = 2
    RUNNING = 3
    SUCCEEDED = 4
    FAILED = 5
    ABORTED = 6


UNFINISHED = (State.WAITING, State.SCHEDULED, State.RUNNING)
FINISHED = (State.SUCCEEDED, State.FAILED, State.ABORTED)
UNSUCCESSFUL = (State.FAILED, State.ABORTED)

FINISHED_CODES = frozenset(StateCode[state.name] for state in FINISHED)
