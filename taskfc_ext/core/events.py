"""Events of the scheduler, and the time of an event."""

from __future__ import annotations

from typing import NamedTuple

from taskfc_ext.protocol.client_messages import ClientMessage, Retry
from taskfc_ext.protocol.ids import Session, WorkerId
from taskfc_ext.protocol.infos import NoRoom
from taskfc_ext.protocol.records import Submitted
from taskfc_ext.protocol.supervisor_messages import FromSupervisor
from taskfc_ext.protocol.worker_messages import WorkerMessage


class Now(NamedTuple):
    """The time of an event, in seconds: `mono` for deadlines, `wall` for people."""

    mono: float
    wall: float


class FromClient(NamedTuple):
    """A message of a client."""

    session: Session
    message: ClientMessage


class FromWorker(NamedTuple):
    """A message of a worker."""

    worker: WorkerId
    message: WorkerMessage


class FromParent(NamedTuple):
    """A message of the supervisor."""

    message: FromSupervisor


class PeerLost(NamedTuple):
    """The connection of a client is lost: nothing can be sent to it before its next `Hello`."""

    session: Session


class Recalled(NamedTuple):
    """The result of a `Recall`: submissions in the store, oldest first, each with the tasks of it that run again."""

    session: Session
    request: Retry
    batches: tuple[tuple[Submitted, tuple[int, ...]], ...]


class RoomChanged(NamedTuple):
    """The store has no room for anything new, and why; `None`: it has room again."""

    no_room: NoRoom | None


class OldTask(NamedTuple):
    """A finished task in the store.

    Attributes:
        completed: wall-clock time of its end.
        n_bytes: bytes that its result and the files of its arguments take.
    """

    taskid: int
    completed: float
    n_bytes: int


class StoreRead(NamedTuple):
    """The bytes that the store takes, and the first finished tasks in it, those that ended first before the others."""

    n_bytes: int
    oldest: tuple[OldTask, ...]


class Tick(NamedTuple):
    """Time has passed. It comes at `Effects.wake_at` at the latest."""


class Audit(NamedTuple):
    """The farm is to be checked, and repaired where something is wrong. It comes every few seconds."""


Event = FromClient | FromWorker | FromParent | PeerLost | Recalled | StoreRead | RoomChanged | Tick | Audit
