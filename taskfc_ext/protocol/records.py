"""The records in the controller's store. Replayed in order, they rebuild its state.

`Ended` and `Define` are also messages: the value that was committed is the value that is sent. Records hold durations
and wall-clock times, never monotonic times, which mean nothing to another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec.msgpack import Decoder, Encoder

from taskfc_ext.protocol.client_messages import Accepted, Define, Ended, Refused, Reply
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.spec import NO_CELL, Kind, Origin, Spec


class Began(Message, frozen=True):
    """A controller began to serve this store."""

    incarnation: int
    wall: float


class Submitted(Message, frozen=True, kw_only=True):
    """A batch was accepted: task `first + i` has body `bodies[i]`. `after` and `inputs` are task ids.

    `retry_of`: task `first + i` retries task `retry_of[i]`. A `Retried` follows in the same transaction.
    """

    first: int
    session: str
    seq: int
    owner: str
    wall: float
    spec: Spec
    bodies: tuple[Payload, ...]
    name: str | None = None
    after: tuple[int, ...] = ()
    after_any: bool = False
    inputs: tuple[int, ...] = ()
    retry_of: tuple[int, ...] = ()
    origin: Origin = NO_CELL


class Leased(Message, frozen=True):
    """Lease `first_lease + i` dispatches task `ids[i]` to `worker`. Committed before the task is sent.

    `gpus`: the devices that the attempt holds, if its task needs some; such a task is leased alone.
    """

    first_lease: int
    ids: tuple[int, ...]
    worker: int
    gpus: tuple[str, ...] = ()


class Why(StrEnum):
    """The reason why a task is queued again."""

    RETURNED = "returned"  # it had not started: costs nothing
    REFUSED = "refused"  # not on this worker, or not now: costs nothing
    RETRY = "retry"  # the attempt failed: costs a retry
    DEATH = "death"  # its worker died in it: costs a death
    PLACE_LOST = "place lost"  # its worker's place on the engine was lost: counted, and costs nothing
    RECOVERY = "recovery"  # no retry is left: its recovery task runs next


class Requeued(Message, frozen=True):
    """The leases of these tasks are over, and the tasks are queued again."""

    ids: tuple[int, ...]
    why: Why


class AbortAsked(Message, frozen=True):
    """An abort was accepted. A task that a worker holds ends when the worker's attempt has ended."""

    taskid: int
    session: str
    seq: int


class AbortsAsked(Message, frozen=True):
    """An `AbortTasks` was accepted for `ids`, not for `left`. Tasks without a lease end in the same transaction."""

    ids: tuple[int, ...]
    left: tuple[int, ...]
    session: str
    seq: int


class Cleared(Message, frozen=True):
    """These finished tasks are cleared. `ids` holds all requested ids, also unknown ones."""

    ids: tuple[int, ...]
    session: str
    seq: int


class Expired(Message, frozen=True):
    """These finished tasks left the store, since its limits demanded it; ids from `first` to `last` of each span.

    `for_room`: the store had reached its bytes; else the tasks had reached their age.
    """

    spans: tuple[tuple[int, int], ...]
    for_room: bool = False

    def ids(self) -> Iterator[int]:
        """Yield the ids of the tasks, ascending."""
        for first, last in self.spans:
            yield from range(first, last + 1)


class Held(Message, frozen=True):
    """These tasks are held back, or released. `ids` holds all requested ids, also those that nothing changed for."""

    ids: tuple[int, ...]
    held: bool
    session: str
    seq: int


class Moved(Message, frozen=True):
    """These tasks have another priority. `ids` holds all requested ids, also those of tasks that have ended."""

    ids: tuple[int, ...]
    priority: int
    session: str
    seq: int


class Retried(Message, frozen=True):
    """One request retried these tasks: (old id, new id)."""

    pairs: tuple[tuple[int, int], ...]
    session: str
    seq: int


class Broadcasted(Message, frozen=True, kw_only=True):
    """A broadcast was accepted: every worker runs it, including workers that join later. Numbers count up from 1."""

    number: int
    session: str
    seq: int
    kind: Kind
    label: str
    code: bytes
    body: bytes
    context: bytes | None = None
    modules: tuple[bytes, ...] = ()


class BroadcastDeath(Message, frozen=True):
    """A worker died in this broadcast."""

    number: int


class BroadcastsCleared(Message, frozen=True):
    """All broadcasts are forgotten."""

    session: str
    seq: int


class Dropped(Message, frozen=True):
    """This code left the store: no task or broadcast needs it, and a client defines it before naming it again."""

    digests: tuple[bytes, ...]


class CodeSpan(Message, frozen=True):
    """`n` tasks from `first` to `last` are not cleared, and need this code."""

    first: int
    last: int
    n: int
    digests: tuple[bytes, ...]


class KnownSession(Message, frozen=True):
    """A client's session, with the answers that the client may not have: to requests from `done_below` on."""

    session: str
    done_below: int
    answers: tuple[Accepted | Reply | Refused, ...]


class Baseline(Message, frozen=True, kw_only=True):
    """The sum of all records before this one, at a moment at which no task was unfinished.

    A replay begins here. Of the records before it, those with results and submissions remain.

    Attributes:
        ended: one byte for the reason of each task's end, compressed.
        codes: the size of each code body in the store.
        deaths: workers that died in each of the `broadcasts`.
        began: the time of the first `Began`; 0: not known.
    """

    incarnation: int
    stop_asked: bool
    ended: bytes
    next_lease: int
    next_broadcast: int
    names: dict[str, int]
    retried: dict[int, int]
    codes: dict[bytes, int]
    spans: tuple[CodeSpan, ...]
    broadcasts: tuple[Broadcasted, ...]
    deaths: tuple[int, ...]
    sessions: tuple[KnownSession, ...]
    began: float = 0.0


class StopAsked(Message, frozen=True):
    """The farm was stopped on purpose."""

    wall: float


Record = (
    Began
    | Submitted
    | Leased
    | Requeued
    | Ended
    | AbortAsked
    | AbortsAsked
    | Cleared
    | Expired
    | Held
    | Moved
    | Retried
    | Broadcasted
    | BroadcastDeath
    | BroadcastsCleared
    | StopAsked
    | Define
    | Dropped
    | Baseline
)

_encoder = Encoder()
_decoder: Decoder[Record] = Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Return `record` as bytes for the store."""
    return _encoder.encode(record)


def decode_record(body: bytes) -> Record:
    """Return the record in `body`.

    Raises:
        msgspec.MsgspecError: it is damaged or another version's.
    """
    return _decoder.decode(body)
