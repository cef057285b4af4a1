"""Messages between the controller and a worker, in frames like a client's.

A worker runs its attempts one at a time, in the order of their leases. It keeps each `Finished` until it is
`Committed`, and sends it again to a restarted controller.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskfc_ext.protocol.context import Edits
from taskfc_ext.protocol.ids import Count, Digest, Label, Seconds
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_BROADCASTS
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.outputs import MAX_DISPLAYS
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.spec import Kind, Spec

MAX_AMOUNT = 1e18
"""The largest amount in a progress report; some tasks count bytes."""

MAX_DESCRIPTION = 200
"""Characters of the description of a task's progress."""

MAX_PROBLEM = 2_000
"""Characters of the error of a broadcast on a worker."""

Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
Problem = Annotated[str, Meta(max_length=MAX_PROBLEM)]
Leases = Annotated[tuple[Count, ...], Meta(max_length=MAX_BATCH)]

PrintedField = Annotated[tuple[Annotated[str, Meta(max_length=4 * 2**20)], ...], Meta(max_length=4 * 2**20)]
"""A `Printed`. Workers keep it far below these bounds."""

Displays = Annotated[tuple[Annotated[bytes, Meta(max_length=8 * 2**20)], ...], Meta(max_length=MAX_DISPLAYS)]
"""The displays of an attempt, in order, each the JSON of an output in a notebook's file. Only clients decode it."""

# worker -> controller


class Ready(Message, frozen=True, kw_only=True):
    """Opens every connection.

    Attributes:
        leases: leases that this worker holds, or has finished without a `Committed`.
        broadcasts: number -> the error of each broadcast that it received; "": it succeeded; `None`: it has not run.
        codes: digests of the code that it has.
        connection: the number of this connection of the worker: what is left of an older one may come later.
    """

    protocol: int
    worker: Count
    pid: Count
    python: Label
    leases: Annotated[tuple[Count, ...], Meta(max_length=1_000_000)] = ()
    broadcasts: Annotated[dict[Count, Problem | None], Meta(max_length=100 * MAX_BROADCASTS)] = {}
    codes: Annotated[tuple[Digest, ...], Meta(max_length=1_000_000)] = ()
    connection: Count = 0


class Started(Message, frozen=True):
    """This lease is running. Sent at once if the spec has a timeout, else after 20 ms.

    Sent again, with the seconds it has run, to a restarted controller.
    """

    lease: Count
    elapsed: Seconds = 0.0


class Finished(Message, frozen=True, kw_only=True):
    """Attempts that have ended, as columns.

    Attributes:
        seq: counts this worker's `Finished` messages from 1.
        values: a pickled value (`OK`), a `Failure` (`ERROR`, `FINAL_ERROR`, `INTERRUPTED`) or a text (`REFUSED`,
            `NOT_NOW`) each.
        outputs: the output of each lease that printed.
        displays: the displays of each lease that has some.
    """

    seq: Count
    leases: Leases
    outcomes: Annotated[tuple[Annotated[int, Meta(ge=0, le=5)], ...], Meta(max_length=MAX_BATCH)]
    values: Annotated[tuple[Payload, ...], Meta(max_length=MAX_BATCH)]
    seconds: Annotated[tuple[Seconds, ...], Meta(max_length=MAX_BATCH)]
    outputs: dict[Count, PrintedField] = {}
    displays: dict[Count, Displays] = {}


class Returned(Message, frozen=True):
    """Leases that the worker gives back without having started them.

    Its present attempt takes long, the controller has sent a `Return`, or the supervisor has revoked them: then the
    controller may know already.

    `is_busy`: an attempt runs, whose `Finished` follows.
    """

    leases: Leases
    is_busy: bool = True


class Output(Message, frozen=True):
    """The output of the running lease since its last `Output`."""

    lease: Count
    printed: PrintedField


class Displayed(Message, frozen=True):
    """The displays of the running lease: the first `kept` of the previous ones, then the new ones in `then`.

    `revision` grows with each change. Displays are not recorded: a restarted controller receives all of them again.
    """

    lease: Count
    revision: Count
    kept: Count
    then: Displays


class Progress(Message, frozen=True):
    """The progress of the running lease, as its code reports it, at most four times a second. `total` may be unknown.

    Not answered and not recorded: a restarted controller receives it again.
    """

    lease: Count
    done: Amount
    total: Amount | None = None
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] = ""

    def __post_init__(self) -> None:
        if self.done != self.done or self.total != self.total:  # NaN passes any bound
            raise ValueError("progress is not a number")


class PropertiesChanged(Message, frozen=True):
    """The properties for `depend` have changed on this worker: tasks that it refused may be offered again."""


class SetUp(Message, frozen=True):
    """The broadcast of this number has run here. `problem`: the exception's type and text; empty: it succeeded."""

    number: Count
    problem: Problem = ""


WorkerMessage = Ready | Started | Finished | Returned | Output | Displayed | Progress | PropertiesChanged | SetUp

# controller -> worker


class Code(Message, frozen=True):
    """Code under its digest. Sent before the first `Run` that names it, and again after a `ForgetCode`."""

    digest: Digest
    body: Payload


class ForgetCode(Message, frozen=True):
    """Forget this code: no attempt that this worker holds needs it."""

    digests: tuple[Digest, ...]


class Run(Message, frozen=True, kw_only=True):
    """Run these attempts in order: lease `first_lease + i` runs `bodies[i]` for task `ids[i]`.

    Attributes:
        inputs: the results that the bodies refer to by position.
        gpus: the devices of the attempt, which is alone then.
        environ: the variables that the submitting session began with and the farm did not; `None`: it had none.
    """

    spec: Spec
    first_lease: int
    ids: tuple[int, ...]
    bodies: tuple[Payload, ...]
    inputs: tuple[Payload, ...] = ()
    gpus: tuple[str, ...] = ()
    environ: Edits = ()


class Prepare(Message, frozen=True, kw_only=True):
    """Run the broadcast of this number once, after the attempts that were sent before. Answered by `SetUp`."""

    number: int
    kind: Kind
    code: bytes
    body: bytes
    context: Digest | None = None
    modules: tuple[Digest, ...] = ()


class Return(Message, frozen=True):
    """Give back the leases up to this one that have not started, if the present attempt takes long. See `Returned`.

    Another worker is idle, or the present attempt waits for tasks.
    """

    until: int


class Committed(Message, frozen=True):
    """All `Finished` up to this `seq` are in the store: the worker may forget them."""

    seq: int


ToWorker = Code | ForgetCode | Run | Return | Prepare | Committed
