"""Messages between supervisor and controller, over a socket pair."""

from __future__ import annotations

from enum import StrEnum

from taskfc_ext.protocol.message import Message

# supervisor -> controller


class WorkerUp(Message, frozen=True):
    """A worker process was started."""

    worker: int
    pid: int


class WorkerDown(Message, frozen=True, kw_only=True):
    """A worker process has ended. Its page shows its last attempt.

    Attributes:
        started: the last lease that it started; 0: none; `UNKNOWN_LEASE`: its page is destroyed.
        running: that attempt had not ended.
        note: how the process ended, with the last lines of its stderr.
        planned: the farm ended it, or its supervisor died: the death does not count against the attempt.
        to_blame: its supervisor was killed during the attempt, which may have done that: the death counts.
        over_memory: bytes that the attempt used, which was ended for it; 0: it was not.
    """

    worker: int
    pid: int
    started: int
    running: bool
    note: str
    planned: bool = False
    to_blame: bool = False
    over_memory: int = 0


class Farm(Message, frozen=True, kw_only=True):
    """The first message to each controller: the present workers, and the ends of workers that may not be recorded."""

    supervisor_pid: int
    n_workers: int
    alive: tuple[WorkerUp, ...]
    dead: tuple[WorkerDown, ...]


FromSupervisor = WorkerUp | WorkerDown | Farm

# controller -> supervisor


class Step(StrEnum):
    """The steps of stopping an attempt, from the mildest."""

    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    KILL = "kill"


class StopAttempt(Message, frozen=True):
    """Stop the attempt that runs under `lease` on `worker`. It has no effect on other attempts."""

    worker: int
    lease: int
    step: Step


class LimitMemory(Message, frozen=True):
    """End `worker` if the attempt that runs under `lease` uses more than `limit` bytes. Sent before the attempt."""

    worker: int
    lease: int
    limit: int


class Serving(Message, frozen=True):
    """The controller answers its sockets. Sent once."""


class Noted(Message, frozen=True):
    """The ends of these workers are in the store and need not be reported again."""

    workers: tuple[int, ...]


class SetWorkers(Message, frozen=True):
    """Keep `n` workers: end the idle ones in `retire`, and start the missing ones.

    `substitutes`: additional workers, for those whose tasks wait for other tasks. They do not survive a restart.
    """

    n: int
    retire: tuple[int, ...] = ()
    substitutes: int = 0


class Shutdown(Message, frozen=True):
    """End all workers and report each with `WorkerDown`. After the controller's exit, clean up and end."""


ToSupervisor = StopAttempt | LimitMemory | Serving | Noted | SetWorkers | Shutdown
