"""What the controller writes to its store. Replayed in order, these records rebuild everything that was promised.

`Ended` and `Define` are records and messages at once: the value that was committed is the value that is sent.
Records hold durations and wall-clock times, never monotonic instants, which mean nothing to another process.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec.msgpack import Decoder, Encoder

from taskfc_ext.protocol.client_messages import Accepted, Define, Ended, Refused, Reply
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.spec import Kind, Spec


class Began(Message, frozen=True):
    """A controller has begun to serve this store."""

    incarnation: int
    wall: float


class Submitted(Message, frozen=True, kw_only=True):
    """A batch was accepted: task `first + i` has body `bodies[i]`. `after` and `inputs` are task ids by now.

    `retry_of`: task `first + i` is `retry_of[i]` again; a `Retried` follows in the same transaction.
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


class Leased(Message, frozen=True):
    """Before it is sent: lease `first_lease + i` gives task `ids[i]` to `worker`."""

    first_lease: int
    ids: tuple[int, ...]
    worker: int


class Why(StrEnum):
    """Why a task goes back to the queue."""

    RETURNED = "returned"  # it had not started: free of charge
    REFUSED = "refused"  # not on this worker, or not now: free of charge
    RETRY = "retry"  # the attempt failed: costs a retry
    DEATH = "death"  # its worker died in it: costs a death
    RECOVERY = "recovery"  # for good; now its recovery task runs


class Requeued(Message, frozen=True):
    """These tasks' leases are over, and they will be given out again."""

    ids: tuple[int, ...]
    why: Why


class AbortAsked(Message, frozen=True):
    """An abort was accepted. A task that a worker holds ends when the worker has let go of it."""

    taskid: int
    session: str
    seq: int


class Cleared(Message, frozen=True):
    """These finished tasks are forgotten. `ids` holds all that were asked for, also those that there were not."""

    ids: tuple[int, ...]
    session: str
    seq: int


class Held(Message, frozen=True):
    """These tasks are kept back, or no longer. `ids` holds all that were asked for, also those that cannot be."""

    ids: tuple[int, ...]
    held: bool
    session: str
    seq: int


class Moved(Message, frozen=True):
    """These tasks have another priority. `ids` holds all that were asked for, also those that have ended."""

    ids: tuple[int, ...]
    priority: int
    session: str
    seq: int


class Retried(Message, frozen=True):
    """These tasks, (old id, new id), were submitted again by one request."""

    pairs: tuple[tuple[int, int], ...]
    session: str
    seq: int


class Broadcasted(Message, frozen=True, kw_only=True):
    """A broadcast was accepted: every worker runs it, those that join later included. Numbers count up from 1."""

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
    """This code is in the store no more: no task or broadcast needs it, and no client names it without a `Define`."""

    digests: tuple[bytes, ...]


class CodeSpan(Message, frozen=True):
    """`n` tasks among those from `first` to `last` are not cleared, and need this code."""

    first: int
    last: int
    n: int
    digests: tuple[bytes, ...]


class KnownSession(Message, frozen=True):
    """A client's session: its latest answers, for repeats. It has those to all requests below `done_below`."""

    session: str
    done_below: int
    answers: tuple[Accepted | Reply | Refused, ...]


class Baseline(Message, frozen=True, kw_only=True):
    """All that the records before this one amount to, at a moment at which no task was unfinished.

    A replay begins here; what was before stays only as far as results and submissions are read from it.

    Attributes:
        ended: the reason of each task's end as one byte, compressed.
        codes: the size of each code body in the store.
        deaths: workers that have died in each of the `broadcasts`.
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
    | Cleared
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
    """Return `record` as the store keeps it."""
    return _encoder.encode(record)


def decode_record(body: bytes) -> Record:
    """Return the record in `body`.

    Raises:
        msgspec.MsgspecError: it is damaged or another version's.
    """
    return _decoder.decode(body)
