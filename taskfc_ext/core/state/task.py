"""States of a task, and the record of one that has not ended.

`TRANSITIONS` permits and does not decide: handlers decide, and only `Farm.transition` (`farm.py`) changes a state.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from taskfc_ext.protocol.payloads import Payload, Reason
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.spec import NO_CELL, Origin, Spec
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import Step as StopStep

TRANSITIONS: dict[State, dict[State, str]] = {
    State.WAITING: {
        State.SCHEDULED: "all its dependencies have ended",
        State.FAILED: "a dependency failed",
        State.ABORTED: "a user aborts it",
    },
    State.SCHEDULED: {
        State.RUNNING: "its worker reports the start",
        State.SUCCEEDED: "it ended before its worker reported the start",
        State.FAILED: "all workers refuse it, or workers die of it",
        State.ABORTED: "a user aborts it",
    },
    State.RUNNING: {
        State.SCHEDULED: "a retry, its recovery task, or a worker that died",
        State.SUCCEEDED: "it returned a value",
        State.FAILED: "it failed, and no retry is left",
        State.ABORTED: "a user aborts it",
    },
    State.SUCCEEDED: {},
    State.FAILED: {},
    State.ABORTED: {},
}
"""The states that may follow each state, each with its usual cause. `docs/states.svg` is drawn from this table."""


class IllegalTransition(Exception):
    """A change of state that `TRANSITIONS` does not permit; nothing was changed."""


def end_state(reason: str) -> State:
    """Return the state of a task that ended for `reason` ("" for a success)."""
    if not reason:
        return State.SUCCEEDED
    return State.ABORTED if reason == Reason.ABORTED else State.FAILED


class Cause(StrEnum):
    """Why a running attempt is being stopped."""

    ABORT = "abort"
    TIMEOUT = "timeout"


class Stopping(Struct):
    """An attempt that is being stopped; `step` is the last one taken."""

    cause: Cause
    worker: int
    step: StopStep


class Batch(Struct, frozen=True):
    """The data that the `n` tasks of one submission share; their ids count up from `first`.

    Attributes:
        after: the tasks that they come after; those of `inputs` are not among them.
        retry_of: the finished tasks that they are again, one each; empty where they are no retries.
        recovery_share: the bytes of the recovery task's arguments, divided by `n`: what each counts for in memory.
    """

    first: int
    n: int
    session: str
    owner: str
    submitted: float
    spec: Spec
    name: str | None = None
    after: tuple[int, ...] = ()
    after_any: bool = False
    inputs: tuple[int, ...] = ()
    retry_of: tuple[int, ...] = ()
    origin: Origin = NO_CELL
    recovery_share: int = 0


class History(Struct):
    """Past attempts and waits of a task; most tasks have none.

    Attributes:
        unmet: dependencies that have not ended; the tasks of a batch share one set.
        retries: number of retries spent in the present stage.
        deaths: number of workers that died in this stage.
        place_losses: number of places that were lost in this stage while it may have run.
        recovering: the present stage is its recovery task.
        avoid: the worker of the last failed attempt; another idle one is preferred.
        not_before: monotonic time before which it is not dispatched (back-off).
        aborting: an abort was accepted.
        output: live output of the running attempt.
        displays: live displays of the running attempt.
        displays_version: changes with every change of `displays`; empty before the first.
    """

    unmet: set[int] = set()
    retries: int = 0
    deaths: int = 0
    place_losses: int = 0
    recovering: bool = False
    avoid: int = -1
    not_before: float | None = None
    aborting: bool = False
    output: Printed = ()
    displays: tuple[bytes, ...] = ()
    displays_version: str = ""


class Task(Struct, gc=False):
    """A task that has not ended. Holds ids and no owners, so the garbage collector need not track it.

    Attributes:
        lease: the valid one, or 0: only its holder's report counts.
        worker: the one that holds it; -1: none.
        started: wall-clock time of the attempt's start, 0.0 before its worker reported it.
    """

    taskid: int
    batch: Batch
    body: Payload
    state: State = State.SCHEDULED
    lease: int = 0
    worker: int = -1
    attempts: int = 0
    started: float = 0.0
    history: History | None = None

    @property
    def title(self) -> str:
        """Name of the task in messages."""
        return f"task {self.taskid} ({self.batch.name or self.batch.spec.label})"

    @property
    def retry_of(self) -> int | None:
        """The finished task that this one retries."""
        return self.batch.retry_of[self.taskid - self.batch.first] if self.batch.retry_of else None

    @property
    def aborting(self) -> bool:
        """Whether an abort was accepted."""
        return self.history is not None and self.history.aborting

    @property
    def spec(self) -> Spec:
        """Spec of the present stage: of the task itself, or of its recovery."""
        spec = self.batch.spec
        if self.history is not None and self.history.recovering and spec.recovery is not None:
            return spec.recovery.spec
        return spec

    @property
    def current_body(self) -> Payload:
        """The body that goes with `spec`."""
        if self.history is None or not self.history.recovering:
            return self.body
        recovery = self.batch.spec.recovery
        return self.body if recovery is None else recovery.body

    def past(self) -> History:
        """Return the history, made on first use."""
        if self.history is None:
            self.history = History()
        return self.history
