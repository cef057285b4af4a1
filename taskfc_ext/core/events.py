"""What can happen to the scheduler, and when."""

from __future__ import annotations

from typing import NamedTuple

from taskfc_ext.protocol.client_messages import ClientMessage, Retry
from taskfc_ext.protocol.ids import Session, WorkerId
from taskfc_ext.protocol.records import Submitted
from taskfc_ext.protocol.supervisor_messages import FromSupervisor
from taskfc_ext.protocol.worker_messages import WorkerMessage


class Now(NamedTuple):
    """The time of an event, in seconds: `mono` for deadlines, `wall` for people."""

    mono: float
    wall: float


class FromClient(NamedTuple):
    """A client said something."""

    session: Session
    message: ClientMessage


class FromWorker(NamedTuple):
    """A worker said something."""

    worker: WorkerId
    message: WorkerMessage


class FromParent(NamedTuple):
    """The supervisor said something."""

    message: FromSupervisor


class PeerLost(NamedTuple):
    """Nothing can be sent to this client any more, until it says hello again."""

    session: Session


class Recalled(NamedTuple):
    """What a `Recall` found in the store: submissions, oldest first, each with those of its tasks that run again."""

    session: Session
    request: Retry
    batches: tuple[tuple[Submitted, tuple[int, ...]], ...]


class Tick(NamedTuple):
    """Time has passed: at the latest when `Effects.wake_at` said."""


Event = FromClient | FromWorker | FromParent | PeerLost | Recalled | Tick
