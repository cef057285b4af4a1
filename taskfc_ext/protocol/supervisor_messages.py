"""Messages between supervisor and controller, over a socket pair."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from taskfc_ext.protocol.message import Message

# supervisor -> controller


class WorkerUp(Message, frozen=True):
    """A worker process was started.

    Attributes:
        place: the name of its host; "": this machine.
    """

    worker: int
    pid: int
    place: str = ""


class WorkerDown(Message, frozen=True, kw_only=True):
    """A worker process has ended. Its page shows its last attempt.

    Attributes:
        started: the last lease that it started; 0: none; `UNKNOWN_LEASE`: its page is destroyed.
        running: that attempt had not ended.
        note: how the process ended, with the last lines of its stderr.
        planned: the farm ended it, or its supervisor died: the death does not count against the attempt.
        to_blame: its supervisor was killed during the attempt, which may have done that: the death counts.
        place_lost: its place on the engine is gone, and the page with it: a node was killed, preempted or cut off.
            Only the starts that the worker reported are known; `started` and `running` say nothing.
        over_memory: bytes that the attempt used, which was ended for it; 0: it was not.
    """

    worker: int
    pid: int
    started: int
    running: bool
    note: str
    planned: bool = False
    to_blame: bool = False
    place_lost: bool = False
    over_memory: int = 0


class EngineState(Message, frozen=True, kw_only=True):
    """The state of the engine that has the workers. Sent on each change.

    Attributes:
        kind: `EngineOptions.kind`.
        url: its address, as lists show it.
        text: the reason, such as "connection refused"; "" if there is none.
        n_places: number of hosts that have workers of the farm.
    """

    kind: str
    url: str
    state: Literal["connecting", "connected", "lost"]
    text: str = ""
    n_places: int = 0


class RequestFailed(Message, frozen=True):
    """A controller failed while it handled this request of a client. Sent by it, and to each controller after it.

    Attributes:
        session: the client's.
        seq: the number of the request.
        error: the type and the text of the exception.
    """

    session: str
    seq: int
    error: str


class Farm(Message, frozen=True, kw_only=True):
    """The first message to each controller: the present workers, and the ends of workers that may not be recorded."""

    supervisor_pid: int
    n_workers: int
    alive: tuple[WorkerUp, ...]
    dead: tuple[WorkerDown, ...]
    engine: EngineState | None = None


class Revoked(Message, frozen=True):
    """The answer to a `Revoke`: no lease of `worker` up to `until` that is above `started` starts any more.

    Attributes:
        started: the last lease that the worker had started, running or ended. It sends its report.
        leases: attempts before that one which have succeeded, as far as the worker's page has their results. The worker
            may have sent these already, and sends them again when it can.
        values: their pickled values.
        seconds: their run times.
    """

    worker: int
    until: int
    started: int
    leases: tuple[int, ...] = ()
    values: tuple[bytes, ...] = ()
    seconds: tuple[float, ...] = ()


FromSupervisor = WorkerUp | WorkerDown | EngineState | RequestFailed | Farm | Revoked

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


class Revoke(Message, frozen=True):
    """Let `worker` start none of its leases up to `until` that it has not started yet.

    Answered by `Revoked`, unless the worker has ended or its page is destroyed.
    """

    worker: int
    until: int


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
    """Keep `n` workers, with an engine at most `n`: end the idle ones in `retire`, and start the missing ones.

    `substitutes`: additional workers, for those whose tasks wait for other tasks. They do not survive a restart.
    """

    n: int
    retire: tuple[int, ...] = ()
    substitutes: int = 0


class Demand(Message, frozen=True):
    """`n` tasks can run now, at most as many as there may be workers. Sent when it changes, with an engine only."""

    n: int


class StoreRefused(Message, frozen=True):
    """The controller cannot serve its store, and no other one could: the farm is stopped with this reason."""

    error: str
    hint: str


class Shutdown(Message, frozen=True):
    """End all workers and report each with `WorkerDown`. After the controller's exit, clean up and end.

    `idle`: nobody asked for it: the farm was not used.
    """

    idle: bool = False


ToSupervisor = (
    StopAttempt | Revoke | LimitMemory | Serving | Noted | SetWorkers | Demand | StoreRefused | RequestFailed | Shutdown
)
