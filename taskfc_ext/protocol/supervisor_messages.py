"""What the supervisor and the controller say to each other over the socket pair between them."""

from __future__ import annotations

from enum import StrEnum

from taskfc_ext.protocol.message import Message

# supervisor -> controller


class WorkerUp(Message, frozen=True):
    """A worker process was started."""

    worker: int
    pid: int


class WorkerDown(Message, frozen=True, kw_only=True):
    """A worker process has ended, and what its page says of its last moments.

    `started` is the last lease that it started (0: none), `running` says whether that one had not ended.
    `UNKNOWN_LEASE` for the former: its page is destroyed. `note` tells how it died, with the last lines of its stderr;
    `planned`: we ended it on purpose, or the supervisor before this one died, so no attempt is to blame, except with
    `to_blame`: that supervisor was killed amidst the attempt, which may have done it.
    """

    worker: int
    pid: int
    started: int
    running: bool
    note: str
    planned: bool = False
    to_blame: bool = False


class Farm(Message, frozen=True, kw_only=True):
    """The first message to every controller: the workers there are, and those whose end it may not know yet."""

    supervisor_pid: int
    n_workers: int
    alive: tuple[WorkerUp, ...]
    dead: tuple[WorkerDown, ...]


FromSupervisor = WorkerUp | WorkerDown | Farm

# controller -> supervisor


class Step(StrEnum):
    """The ladder of stopping an attempt."""

    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    KILL = "kill"


class StopAttempt(Message, frozen=True):
    """Stop the attempt that runs under `lease` on `worker`; has no effect on any other attempt."""

    worker: int
    lease: int
    step: Step


class Serving(Message, frozen=True):
    """The controller is bound and answers. Sent once."""


class Noted(Message, frozen=True):
    """The end of these workers is in the store; need not be told again."""

    workers: tuple[int, ...]


class SetWorkers(Message, frozen=True):
    """Keep `n` workers; end `retire` (idle ones), and start what is missing.

    `substitutes`: so many more, for those whose tasks wait for other tasks. They are not kept for a restart.
    """

    n: int
    retire: tuple[int, ...] = ()
    substitutes: int = 0


class Shutdown(Message, frozen=True):
    """End all workers and report each with `WorkerDown`; then, when the controller exits, clean up and end."""


ToSupervisor = StopAttempt | Serving | Noted | SetWorkers | Shutdown
