"""Effects of an event, for the controller to carry out: one value, whose order is the durability contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from taskfc_ext.protocol.client_messages import ControllerMessage, GetDetails, Retry
from taskfc_ext.protocol.ids import Session, WorkerId
from taskfc_ext.protocol.infos import Details, TaskInfo
from taskfc_ext.protocol.records import Record
from taskfc_ext.protocol.snapshots import QueueDelta, QueueSnapshot
from taskfc_ext.protocol.spec import NO_CELL, Origin
from taskfc_ext.protocol.supervisor_messages import ToSupervisor
from taskfc_ext.protocol.worker_messages import Run, ToWorker

# Messages that the controller completes after the commit: their values are in the store only.


class SendEnded(NamedTuple):
    """The `Ended` of these finished tasks."""

    ids: tuple[int, ...]


class SendUnfinished(NamedTuple):
    """The answer to a `GetResults` for these unfinished tasks and for finished ones, whose `Ended` went before.

    A refusal if one of `finished` was cleared in the same turn: its end is not in the store any more.
    """

    seq: int
    unfinished: tuple[int, ...]
    finished: tuple[int, ...]


class SendList(NamedTuple):
    """The answer to a `ListTasks`: the live tasks, and the finished ones that pass the filters.

    `live` are the newest, which the first part of the search has found. `more` goes on with it, from new to old: it
    yields `None` when others should have their turn, and at last the ids of requested tasks that have ended meanwhile.
    """

    seq: int
    live: tuple[TaskInfo, ...]
    taskids: tuple[int, ...] | None
    states: tuple[str, ...] | None
    name: str | None
    owner: str | None
    limit: int
    left_out: frozenset[int] = frozenset()
    origin: Origin = NO_CELL
    more: Iterable[TaskInfo | int | None] = ()


class SendLog(NamedTuple):
    """The answer to a `GetLog` for a finished task."""

    seq: int
    taskid: int


class SendSubmission(NamedTuple):
    """The answer to a `GetSubmission`."""

    seq: int
    taskid: int


class SendOutputs(NamedTuple):
    """The answer to a `GetOutputs` for a finished task."""

    seq: int
    taskid: int
    known: str


class SendDetails(NamedTuple):
    """The answer to a `GetDetails` for a finished task, or for one whose source was asked for.

    `live`: the answer for a task that has not ended, without the source.
    """

    asked: GetDetails
    live: Details | None = None

    @property
    def seq(self) -> int:
        """The number of the request."""
        return self.asked.seq


class SendSnapshot(NamedTuple):
    """The answer to a `Watch`: these live tasks and the newest finished ones, then `more`."""

    seq: int
    snapshot: QueueSnapshot
    more: tuple[QueueDelta, ...] = ()


class SendCode(NamedTuple):
    """The `Code` under this digest."""

    digest: bytes


class SendRun(NamedTuple):
    """`run`, with the results of these tasks as its inputs."""

    run: Run
    inputs: tuple[int, ...]


ToComplete = SendEnded | SendUnfinished | SendList | SendLog | SendOutputs | SendDetails | SendSnapshot | SendSubmission

ToClient = ControllerMessage | ToComplete


class ClientSend(NamedTuple):
    """Send to a client. Dropped when it is not connected, since it repeats its request."""

    session: Session
    message: ToClient


class WorkerSend(NamedTuple):
    """Send to a worker."""

    worker: WorkerId
    message: ToWorker | SendCode | SendRun


class SupervisorSend(NamedTuple):
    """Send to the supervisor."""

    message: ToSupervisor


class Recall(NamedTuple):
    """Read from the store the task that `request` names, and the ones of `dependants` that failed because of `roots`.

    The result comes back as a `Recalled`, after the commit of this turn and before the events of the next one. The
    events of this turn come first: a request that came together with it may not count the new tasks.
    """

    session: Session
    request: Retry
    roots: tuple[int, ...]
    dependants: tuple[int, ...]


Send = ClientSend | WorkerSend | SupervisorSend | Recall


class Effects(Struct, frozen=True):
    """Effects of one event, carried out in this order.

    Attributes:
        records: 1. commit these, in one transaction.
        sends: 2. only then send these, in order.
        wake_at: 3. handle a `Tick` at this monotonic time at the latest.
        exit: 4. the farm was stopped and its last worker has ended: end the process.
        repairs: what an audit has found wrong and repaired, for the log; empty unless there is a bug.
        is_free: while earlier records wait for room in the store, the sends need not wait with them: they promise
            nothing.
    """

    records: tuple[Record, ...] = ()
    sends: tuple[Send, ...] = ()
    wake_at: float | None = None
    exit: bool = False
    repairs: tuple[str, ...] = ()
    is_free: bool = False


class Step:
    """Collects the effects of one event."""

    __slots__ = ("is_free", "records", "repairs", "sends")

    def __init__(self) -> None:
        self.is_free = False
        self.records: list[Record] = []
        self.repairs: list[str] = []
        self.sends: list[Send] = []

    def to_client(self, session: str, message: ToClient, place: int | None = None) -> None:
        """Add a message to a client: behind all others, or at `place` among them."""
        self.sends.insert(len(self.sends) if place is None else place, ClientSend(Session(session), message))

    def to_worker(self, worker: int, message: ToWorker | SendCode | SendRun) -> None:
        """Add a message to a worker."""
        self.sends.append(WorkerSend(WorkerId(worker), message))

    def to_supervisor(self, message: ToSupervisor) -> None:
        """Add a message to the supervisor."""
        self.sends.append(SupervisorSend(message))
