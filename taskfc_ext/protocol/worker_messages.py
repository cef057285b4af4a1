"""What the controller and a worker say to each other, in frames like a client's.

A worker runs what it was given in the order of its leases, one attempt at a time. It keeps a `Finished` until it is
`Committed`, and sends it again to a controller that came back.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskfc_ext.protocol.ids import Count, Digest, Label, Seconds
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_BROADCASTS
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.outputs import MAX_DISPLAYS
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.spec import Kind, Spec

MAX_AMOUNT = 1e18
"""The most that a task may say it has done or has to do; bytes are counted too."""

MAX_DESCRIPTION = 200
"""Characters of what a task calls its progress."""

MAX_PROBLEM = 2_000
"""Characters of the text that says why a broadcast failed on a worker."""

Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
Problem = Annotated[str, Meta(max_length=MAX_PROBLEM)]
Leases = Annotated[tuple[Count, ...], Meta(max_length=MAX_BATCH)]

PrintedField = Annotated[tuple[Annotated[str, Meta(max_length=4 * 2**20)], ...], Meta(max_length=4 * 2**20)]
"""A `Printed`. Its worker keeps it far below these bounds."""

Displays = Annotated[tuple[Annotated[bytes, Meta(max_length=8 * 2**20)], ...], Meta(max_length=MAX_DISPLAYS)]
"""What an attempt shows, in order: each the JSON of an output in a notebook's file. Only clients look inside."""

# worker -> controller


class Ready(Message, frozen=True, kw_only=True):
    """Opens every connection. `leases`: all that this worker holds or has finished but not seen committed.

    `broadcasts`: those that it was sent, by number, with what went wrong (""); `None` where it has not run it yet.
    `codes`: digests of the code that it has.
    """

    protocol: int
    worker: Count
    pid: Count
    python: Label
    leases: Annotated[tuple[Count, ...], Meta(max_length=1_000_000)] = ()
    broadcasts: Annotated[dict[Count, Problem | None], Meta(max_length=100 * MAX_BROADCASTS)] = {}
    codes: Annotated[tuple[Digest, ...], Meta(max_length=1_000_000)] = ()


class Started(Message, frozen=True):
    """This lease is running: sent at once where the spec has a timeout, else when it has run for 20 ms.

    Sent again, with the seconds it has run, to a controller that came back.
    """

    lease: Count
    elapsed: Seconds = 0.0


class Finished(Message, frozen=True, kw_only=True):
    """Attempts that ended, as columns. `seq` counts this worker's `Finished` messages from 1.

    `values[i]` is a pickled value (`OK`), a `Failure` (`ERROR`, `FINAL_ERROR`, `INTERRUPTED`) or a text (`REFUSED`,
    `NOT_NOW`). `outputs`: lease -> what it printed, only for those that did; `displays`: what it showed.
    """

    seq: Count
    leases: Leases
    outcomes: Annotated[tuple[Annotated[int, Meta(ge=0, le=5)], ...], Meta(max_length=MAX_BATCH)]
    values: Annotated[tuple[Payload, ...], Meta(max_length=MAX_BATCH)]
    seconds: Annotated[tuple[Seconds, ...], Meta(max_length=MAX_BATCH)]
    outputs: dict[Count, PrintedField] = {}
    displays: dict[Count, Displays] = {}


class Returned(Message, frozen=True):
    """Leases that were not started and never will be: the worker has something long to do."""

    leases: Leases


class Output(Message, frozen=True):
    """What the running lease has printed since the last `Output` of it."""

    lease: Count
    printed: PrintedField


class Displayed(Message, frozen=True):
    """What the running lease shows by now: the first `kept` of what it showed before, and `then` after them.

    `revision` grows with every change. It is in no record: a controller that came back hears of everything anew.
    """

    lease: Count
    revision: Count
    kept: Count
    then: Displays


class Progress(Message, frozen=True):
    """How far the running lease is, as its code says: `total` `None` where it does not know. At most four a second.

    It has no answer and is in no record: a controller that came back hears it anew.
    """

    lease: Count
    done: Amount
    total: Amount | None = None
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] = ""

    def __post_init__(self) -> None:
        if self.done != self.done or self.total != self.total:  # NaN passes any bound
            raise ValueError("progress is a number")


class PropertiesChanged(Message, frozen=True):
    """What `depend` looks at has changed on this worker: what it refused may be offered again."""


class SetUp(Message, frozen=True):
    """The broadcast of this number has run here; `problem` is empty, or the exception's type and text."""

    number: Count
    problem: Problem = ""


WorkerMessage = Ready | Started | Finished | Returned | Output | Displayed | Progress | PropertiesChanged | SetUp

# controller -> worker


class Code(Message, frozen=True):
    """Code under its digest, sent to a worker before the first `Run` that names it, and again after a `ForgetCode`."""

    digest: Digest
    body: bytes


class ForgetCode(Message, frozen=True):
    """Let go of this code: no attempt that this worker holds needs it."""

    digests: tuple[Digest, ...]


class Run(Message, frozen=True, kw_only=True):
    """Attempts to make, in this order: lease `first_lease + i` runs `bodies[i]` for task `ids[i]`.

    `inputs`: the results that the bodies refer to by position.
    """

    spec: Spec
    first_lease: int
    ids: tuple[int, ...]
    bodies: tuple[Payload, ...]
    inputs: tuple[bytes, ...] = ()


class Prepare(Message, frozen=True, kw_only=True):
    """Run the broadcast of this number, once, behind the attempts that came before it. Answered by `SetUp`."""

    number: int
    kind: Kind
    code: bytes
    body: bytes
    context: Digest | None = None
    modules: tuple[Digest, ...] = ()


class Committed(Message, frozen=True):
    """All `Finished` up to this `seq` are in the store; the worker may forget them."""

    seq: int


ToWorker = Code | ForgetCode | Run | Prepare | Committed
