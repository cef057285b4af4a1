"""What a client and the controller say to each other.

A frame is a msgpack list of these messages. The class name is the tag on the wire: renaming one breaks it.
Every `Request` has a `seq`, counting up from 1 in its session; a repeat gets the first answer. `acked` says that the
answers to all requests below it have arrived, so the controller may forget them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from taskfc_ext.protocol.context import OsText
from taskfc_ext.protocol.ids import (
    MAX_BATCH,
    MAX_IDS,
    Count,
    Digest,
    IdField,
    Label,
    Name,
    Priority,
    SessionField,
)
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.snapshots import QueueDelta, QueueSnapshot
from taskfc_ext.protocol.spec import MAX_PACKS, Kind, Spec

TaskRef = int | tuple[int, int]
"""A task by id, or, while its id is not known yet, by the (seq, index) it was submitted under in this session."""

Ids = Annotated[tuple[IdField, ...], Meta(max_length=MAX_IDS)]
Refs = Annotated[tuple[TaskRef, ...], Meta(max_length=MAX_IDS)]


class Message(Struct, frozen=True, tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all messages."""


# client -> controller


class Hello(Message, frozen=True, forbid_unknown_fields=False):
    """Opens every connection, also a new one of an old session.

    `owner` says whose tasks these are (a notebook's path, a script's name): "this notebook's tasks" means
    the tasks of the same owner, across kernels. `label` is how the client is called in lists. `executable` is the
    client's interpreter, `prefix` the environment that this belongs to. A `viewer` looks and steers and sends no code,
    so its Python does not matter. A client in a task, or in a program that a task has started, names the `worker` of
    this farm that it is on: what it waits for, the task there waits for. Fields of later versions are read over: a
    controller that does not know them has to say which version it speaks.
    """

    protocol: int
    version: Label
    python: Label
    session: SessionField
    label: Label = ""
    owner: Annotated[str, Meta(max_length=1000)] = ""
    executable: OsText = b""
    prefix: OsText = b""
    viewer: bool = False
    worker: Annotated[int, Meta(ge=-1, le=2**53)] = -1


class Define(Message, frozen=True):
    """Code, modules or a context, under its digest.

    Sent before the first `Submit` on a connection that names it, and after a `Released` again. Has no answer.
    `Broadcast` and `Retry` have theirs as fields.
    """

    digest: Digest
    body: Payload


class Released(Message, frozen=True):
    """Answers `Release`: this client defines these again before it names them. Has no answer."""

    digests: Annotated[tuple[Digest, ...], Meta(max_length=MAX_IDS)]


class Request(Message, frozen=True):
    """Base of the messages that are answered."""

    seq: Annotated[int, Meta(ge=1)]
    acked: Count = 0


class Submit(Request, frozen=True, kw_only=True):
    """Tasks that differ in their bodies only. Answered by `Accepted` once they are in the store.

    `after`: they start when all of these have succeeded (`after_any`: ended). `inputs`: tasks
    whose results the bodies refer to by position; these are dependencies too.
    """

    spec: Spec
    bodies: Annotated[tuple[Payload, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    name: Name | None = None
    after: Refs = ()
    after_any: bool = False
    inputs: Refs = ()


class Abort(Request, frozen=True, kw_only=True):
    """Answered by `Reply(True)` when it is in the store.

    With `queued_only` a task that a worker already holds is left alone, and the answer is `Reply(False)`.
    """

    taskid: IdField
    queued_only: bool = False


class AbortTasks(Request, frozen=True, kw_only=True):
    """Abort all of these that have not ended, in one step, however many.

    Answered, when it is in the store, by a list of the ids for which nothing changed: they had ended, never were, or
    were being aborted.
    """

    taskids: Annotated[tuple[IdField, ...], Meta(max_length=MAX_BATCH)]


class Hold(Request, frozen=True, kw_only=True):
    """Keep unfinished tasks from being given to workers, or (`held=False`) no longer; they keep their place.

    Answered by a list of the ids that a worker had already, for which nothing changed.
    """

    taskids: Ids
    held: bool = True


class Move(Request, frozen=True, kw_only=True):
    """Give unfinished tasks another priority; one that a worker has is given out under it if it comes back."""

    taskids: Ids
    priority: Priority


class Retry(Request, frozen=True, kw_only=True):
    """Run a finished task again as a new one, and with it those that failed because of it.

    Answered by a list of (old id, new id) when the new ones are in the store, that of `taskid` first. What the asking
    client's owner had submitted runs in this `context`, with these `modules`, as a new submission would: a module that
    was mended is the mended one. What others had submitted runs as it was, and so does all of it without a `context`.
    """

    taskid: IdField
    context: Define | None = None
    modules: Annotated[tuple[Define, ...], Meta(max_length=MAX_PACKS)] = ()


class GetResults(Request, frozen=True, kw_only=True):
    """Answered by `Reply([unfinished ids])`; results come as `Ended` before it, and, with `watch`, later."""

    taskids: Ids
    watch: bool = False


class Barrier(Request, frozen=True, kw_only=True):
    """Answered by `Reply(None)` when all of them (`None`: all unfinished now) have ended, whatever they ended in.

    While it is open, the worker that a client is on lends its place to another one. A task that waits for itself is
    refused; with `None` a task does not wait for itself, nor for those that wait for it.
    """

    taskids: Ids | None = None


class Unwait(Request, frozen=True, kw_only=True):
    """Forget the open `Barrier` that was sent under `barrier`."""

    barrier: Count


class Spin(Request, frozen=True):
    """Look again at what can run now; workers that refused a task are asked again."""


class QueueStatus(Request, frozen=True, kw_only=True):
    """Answered by a dict of counts by state, or, with `verbose`, of lists of ids."""

    verbose: bool = False


class Clear(Request, frozen=True, kw_only=True):
    """Forget finished tasks (`None`: all). Answered by their number."""

    taskids: Ids | None = None


class ListTasks(Request, frozen=True, kw_only=True):
    """Answered by a list of `TaskInfo`, newest last, at most `limit`: those that pass every filter that is given.

    `not_retried` leaves out those that were submitted again.
    """

    taskids: Ids | None = None
    states: tuple[Label, ...] | None = None
    name: Label | None = None
    owner: Annotated[str, Meta(max_length=1000)] | None = None
    not_retried: bool = False
    limit: Annotated[int, Meta(ge=1, le=MAX_IDS)] = 1000


class GetLog(Request, frozen=True, kw_only=True):
    """Answered by what the task has printed so far, as a `Printed`."""

    taskid: IdField


class GetFailure(Request, frozen=True, kw_only=True):
    """Answered by the `Failure` of a task that has not succeeded, without what is pickled in it; else by `None`."""

    taskid: IdField


class GetSubmission(Request, frozen=True, kw_only=True):
    """Answered by the `SubmittedTask`, if the inputs of the task are there."""

    taskid: IdField


class GetOutputs(Request, frozen=True, kw_only=True):
    """Answered by what the task shows, as `{"version": ..., "outputs": [JSON, ...]}`.

    `known`: the version that the client has; while that is still so, `outputs` is `None`.
    """

    taskid: IdField
    known: Annotated[str, Meta(max_length=100)] = ""


class GetDetails(Request, frozen=True, kw_only=True):
    """Answered by the `Details` of a task: all that a view of one task shows, in one answer.

    `known`: the version of the outputs that the client has. `tail`: at most so many characters of the log, its end.
    """

    taskid: IdField
    known: Annotated[str, Meta(max_length=100)] = ""
    tail: Count | None = None


class GetClientName(Request, frozen=True):
    """Answered by the name under which the controller knows this client."""


class GetWorkers(Request, frozen=True):
    """Answered by a list of `WorkerInfo`."""


class Watch(Request, frozen=True):
    """Answered by a `Watching`, and from then on by a `Changed` whenever something is different, at most 5 a second.

    It holds for the connection. Whoever misses a delta sends it again.
    """


class Unwatch(Request, frozen=True):
    """Send no more `Changed`."""


class Broadcast(Request, frozen=True, kw_only=True):
    """Run this on every worker, those that join later included. Answered by its number once it is in the store.

    `code` and `body` are what a task of this `code_kind` has: a pickled callable and its arguments, or source text and
    the names that go in. It runs in `context`, with `modules`, as a task would.
    """

    code_kind: Kind
    label: Label
    code: Payload
    body: Payload
    context: Define | None = None
    modules: Annotated[tuple[Define, ...], Meta(max_length=MAX_PACKS)] = ()


class AwaitBroadcast(Request, frozen=True, kw_only=True):
    """Answered by a `BroadcastReport` when no worker that is there has the broadcast of this number before it.

    `Unwait` forgets it, like a `Barrier`.
    """

    number: Count


class ClearBroadcasts(Request, frozen=True):
    """Forget all broadcasts: workers that join later run none of them. Answered by how many there were."""


class Scale(Request, frozen=True, kw_only=True):
    """Set the number of workers. Answered by the number before."""

    n: Annotated[int, Meta(ge=0, le=10_000)]


class Stop(Request, frozen=True):
    """Stop the farm; unfinished work stays in the store. Answered before it begins."""


class Ping(Request, frozen=True):
    """Answered by `Reply(None)`; keeps the session known."""


ClientMessage = (
    Hello
    | Define
    | Released
    | Submit
    | Abort
    | AbortTasks
    | Hold
    | Move
    | Retry
    | GetResults
    | Barrier
    | Unwait
    | Spin
    | QueueStatus
    | Clear
    | ListTasks
    | GetLog
    | GetFailure
    | GetSubmission
    | GetOutputs
    | GetDetails
    | GetClientName
    | GetWorkers
    | Watch
    | Unwatch
    | Broadcast
    | AwaitBroadcast
    | ClearBroadcasts
    | Scale
    | Stop
    | Ping
)

# controller -> client


class Welcome(Message, frozen=True):
    """Answers `Hello`. `incarnation` counts the starts of the controller on this store."""

    protocol: int
    version: str
    name: str
    incarnation: int
    pid: int
    supervisor_pid: int
    client_name: str
    n_workers: int


class Accepted(Message, frozen=True):
    """Answers `Submit`: the batch has the ids `first`, `first + 1`, ... and is in the store."""

    seq: int
    first: int


class Reply(Message, frozen=True):
    """Answers any other request with plain data."""

    seq: int
    value: Any = None


class ErrorKind(StrEnum):
    """Which error a refusal stands for."""

    TYPE = "type"
    UNKNOWN_TASK = "unknown-task"
    UNKNOWN_TASKS = "unknown-tasks"
    RESULT_EXPIRED = "result-expired"
    VERSION = "version"
    PROTOCOL = "protocol"
    NOT_ALLOWED = "not-allowed"
    TOO_MUCH = "too-much"
    SAY_HELLO = "say-hello"


class Refused(Message, frozen=True):
    """Answers a request that cannot be met (`seq` 0: a frame that is no request).

    Nothing was changed but what `value` says.
    """

    seq: int
    error: ErrorKind
    message: str
    hint: str = ""
    value: Any = None


class Ended(Message, frozen=True, kw_only=True):
    """Tasks that have ended: the record in the store and the message to clients are this same value.

    Columns of equal length. `reasons[i]` is "" for a success, and then `values[i]` is the pickled
    value; else `values[i]` is a `Failure`. `workers` -1: it never ran. Times are wall-clock seconds,
    `seconds` the run time of the last attempt. `outputs`: what tasks printed, only for those that did; `displays`: what
    they showed, each the JSON of an output in a notebook's file.
    """

    ids: tuple[int, ...]
    reasons: tuple[str, ...]
    values: tuple[Payload, ...]
    workers: tuple[int, ...]
    attempts: tuple[int, ...]
    submitted: tuple[float, ...]
    completed: float
    seconds: tuple[float, ...]
    outputs: dict[int, Printed] = {}
    displays: dict[int, tuple[bytes, ...]] = {}


class Release(Message, frozen=True):
    """No task needs this code any more. Answered by `Released`; it is dropped then, so no task that names it fails."""

    digests: tuple[bytes, ...]


class Watching(Message, frozen=True):
    """Answers `Watch`."""

    seq: int
    snapshot: QueueSnapshot


class Changed(Message, frozen=True):
    """What has changed, for those that watch."""

    delta: QueueDelta


class Resync(Message, frozen=True):
    """This client was too slow and messages to it were dropped: ask again for everything that is unfinished."""


class Stopping(Message, frozen=True):
    """The farm was told to stop: open waits end with `ControllerStopped`."""


ControllerMessage = Welcome | Accepted | Reply | Refused | Ended | Release | Watching | Changed | Resync | Stopping
