"""Messages between a client and the controller.

A frame is a msgpack list of these messages. The class name is the tag on the wire: renaming one breaks it.
Every `Request` has a `seq`, which counts up from 1 in its session; a repeated request gets the first answer. `acked`:
the client has received the answers to all requests below this number, so the controller may forget them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from taskfc_ext.protocol.context import OsText
from taskfc_ext.protocol.ids import Count, Digest, IdField, Label, Name, Priority, SessionField, Workers
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_ID, MAX_IDS, MAX_PACKS, MAX_SOURCE, MAX_STATES, MAX_VARIABLES
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload, Upload
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.snapshots import QueueDelta, QueueSnapshot
from taskfc_ext.protocol.spec import NO_CELL, Kind, Origin, Spec

TaskRef = int | tuple[int, int]
"""A task by id or, while its id is unknown, by its `Submit` in this session: (seq, index)."""

Ids = Annotated[tuple[IdField, ...], Meta(max_length=MAX_IDS)]
Refs = Annotated[tuple[TaskRef, ...], Meta(max_length=MAX_IDS)]


# client -> controller


class Hello(Message, frozen=True, forbid_unknown_fields=False):
    """Opens every connection, also a new one of an old session.

    Fields of later versions are ignored, so that the controller can answer with its own version.

    Attributes:
        protocol: version of the protocol.
        version: of taskfc_ext.
        python: version of the client's Python, `3.11`.
        session: the client's session.
        label: the client's name in lists.
        owner: a notebook's path or a script's name. "This notebook's tasks" are those of one owner, across kernels.
        executable: the client's interpreter.
        prefix: the environment of that interpreter.
        viewer: this client sends no code, so its Python does not matter.
        worker: the worker of this farm that the client runs on, in a task or in a program that a task started: the
            task there waits while the client waits. -1: none.
        environ: the variables with which the client's process began, by name. Its tasks begin with them. They may have
            secrets, so no record holds them: the controller has them for as long as it knows the session.
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
    worker: Annotated[int, Meta(ge=-1, le=MAX_ID)] = -1
    environ: Annotated[tuple[tuple[OsText, OsText], ...], Meta(max_length=MAX_VARIABLES)] = ()


class Define(Message, frozen=True):
    """Code, modules or a context, under its digest.

    Sent on each connection before the first `Submit` that names the digest, and again after a `Released`. Not
    answered. `Broadcast` and `Retry` carry theirs in fields.
    """

    digest: Digest
    body: Payload


class Released(Message, frozen=True):
    """Answers `Release`: this client defines these digests again before it names them. Not answered."""

    digests: Annotated[tuple[Digest, ...], Meta(max_length=MAX_IDS)]


class Confirmed(Message, frozen=True):
    """Answers `Confirm`: this client has read all up to it. Not answered."""

    number: Count


class Request(Message, frozen=True):
    """Base of the messages that the controller answers."""

    seq: Annotated[int, Meta(ge=1)]
    acked: Count = 0


class Submit(Request, frozen=True, kw_only=True):
    """Submit tasks that differ in their bodies only. Answered by `Accepted` once they are in the store.

    Attributes:
        after: tasks that have to succeed first.
        after_any: the tasks in `after` only have to end.
        inputs: tasks whose results the bodies refer to by position; these are dependencies too.
        origin: the cell that submits them.
    """

    spec: Spec
    bodies: Annotated[tuple[Payload, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    name: Name | None = None
    after: Refs = ()
    after_any: bool = False
    inputs: Refs = ()
    origin: Origin = NO_CELL


class Abort(Request, frozen=True, kw_only=True):
    """Abort a task. Answered by `Reply(True)` when the abort is in the store.

    With `queued_only`, a task that a worker already holds goes on, and the answer is `Reply(False)`.
    """

    taskid: IdField
    queued_only: bool = False


class AbortTasks(Request, frozen=True, kw_only=True):
    """Abort all of these tasks that have not ended, in one step.

    Answered, when the aborts are in the store, by the ids that nothing changed for: the task had ended, never existed,
    or was being aborted.
    """

    taskids: Annotated[tuple[IdField, ...], Meta(max_length=MAX_BATCH)]


class Hold(Request, frozen=True, kw_only=True):
    """Keep unfinished tasks from being dispatched, or release them (`held=False`); they keep their place in the queue.

    Answered by the ids that nothing changed for, since a worker already had the task.
    """

    taskids: Ids
    held: bool = True


class Move(Request, frozen=True, kw_only=True):
    """Give unfinished tasks another priority. For a task that a worker has, it counts when the task is queued again."""

    taskids: Ids
    priority: Priority


class Retry(Request, frozen=True, kw_only=True):
    """Run a finished task again as a new one, together with the tasks that failed because of it.

    Answered by a list of (old id, new id) when the new tasks are in the store; the pair of `taskid` comes first. Tasks
    of the requesting client's owner run in this `context` with these `modules`, as a new submission would, so that
    edited modules count. Tasks of others, and all tasks if there is no `context`, run as they were submitted.
    """

    taskid: IdField
    context: Define | None = None
    modules: Annotated[tuple[Define, ...], Meta(max_length=MAX_PACKS)] = ()


class GetResults(Request, frozen=True, kw_only=True):
    """Get the results of tasks. Answered by `Reply([unfinished ids])`.

    The results come before it as `Ended`. With `watch`, those of the unfinished tasks come later.
    """

    taskids: Ids
    watch: bool = False


class Barrier(Request, frozen=True, kw_only=True):
    """Wait for tasks. Answered by `Reply(None)` when all of them (`None`: all now unfinished) have ended in any state.

    Meanwhile the worker that the client runs on lends its place to a substitute. A task that waits for itself is
    refused; with `None`, a task waits neither for itself nor for tasks that wait for it.
    """

    taskids: Ids | None = None


class GetBarrier(Request, frozen=True, kw_only=True):
    """Get the `BarrierCounts` of this client's open `Barrier` with the seq `barrier`; `None` if there is none."""

    barrier: Count


class Unwait(Request, frozen=True, kw_only=True):
    """Forget the open `Barrier` with the seq `barrier`."""

    barrier: Count


class Spin(Request, frozen=True):
    """Dispatch again; workers that refused a task are offered it again."""


class QueueStatus(Request, frozen=True, kw_only=True):
    """Get the counts of tasks by state, as a dict; with `verbose`, lists of ids instead of counts."""

    verbose: bool = False


class Clear(Request, frozen=True, kw_only=True):
    """Forget finished tasks (`None`: all). Answered by their number."""

    taskids: Ids | None = None


class ListTasks(Request, frozen=True, kw_only=True):
    """Get at most `limit` `TaskInfo`s, newest last, of the tasks that match every given filter.

    `owner` is an owner, or what it is called: see `owners.is_called`. `not_retried` leaves out tasks that were retried.
    `origin` is a cell or a key, see `spec.is_from`.
    """

    taskids: Ids | None = None
    states: Annotated[tuple[Label, ...], Meta(max_length=MAX_STATES)] | None = None
    name: Label | None = None
    owner: Annotated[str, Meta(max_length=1000)] | None = None
    origin: Origin = NO_CELL
    not_retried: bool = False
    limit: Annotated[int, Meta(ge=1, le=MAX_IDS)] = 1000


class GetLog(Request, frozen=True, kw_only=True):
    """Get the output of a task so far, as a `Printed`."""

    taskid: IdField


class GetSubmission(Request, frozen=True, kw_only=True):
    """Get the `SubmittedTask`; refused if the results that the task takes are not there."""

    taskid: IdField


class GetOutputs(Request, frozen=True, kw_only=True):
    """Get the displays of a task, as `{"version": ..., "outputs": [JSON, ...]}`.

    `known`: the version that the client has; if it is the current one, `outputs` is `None`.
    """

    taskid: IdField
    known: Annotated[str, Meta(max_length=100)] = ""


class GetDetails(Request, frozen=True, kw_only=True):
    """Answered by the `Details` of a task: all that a view of one task shows, in one answer.

    `known`: the version of the outputs that the client has. `tail`: at most so many characters of the log, its end.
    `source`: at most so many characters of its source, its begin.
    """

    taskid: IdField
    known: Annotated[str, Meta(max_length=100)] = ""
    tail: Count | None = None
    source: Annotated[int, Meta(ge=0, le=MAX_SOURCE)] = 0


class GetClientName(Request, frozen=True):
    """Get the controller's name for this client."""


class GetWorkers(Request, frozen=True):
    """Get a `WorkerInfo` of each worker."""


class GetEngine(Request, frozen=True):
    """Get the `EngineInfo` of the engine that has the workers; `None`: they are processes of this machine."""


class Watch(Request, frozen=True):
    """Subscribe this connection to the queue: a `Watching`, then a `Changed` after each change, at most 5 a second.

    A client that misses a delta sends this again.
    """


class Unwatch(Request, frozen=True):
    """End the subscription."""


class Broadcast(Request, frozen=True, kw_only=True):
    """Run this on every worker, including workers that join later. Answered by its number once it is in the store.

    `code` and `body` are those of a task of this `code_kind`. It runs in `context`, with `modules`, as a task would.
    The controller reads their files, since every new worker is sent both.
    """

    code_kind: Kind
    label: Label
    code: bytes | Upload
    body: bytes | Upload
    context: Define | None = None
    modules: Annotated[tuple[Define, ...], Meta(max_length=MAX_PACKS)] = ()


class AwaitBroadcast(Request, frozen=True, kw_only=True):
    """Wait for a broadcast. Answered by a `BroadcastReport` when all present workers have run it.

    `Unwait` forgets it, like a `Barrier`.
    """

    number: Count


class ClearBroadcasts(Request, frozen=True):
    """Forget all broadcasts: workers that join later run none of them. Answered by their number."""


class Scale(Request, frozen=True, kw_only=True):
    """Set the number of workers. Answered by the previous number."""

    n: Workers


class Stop(Request, frozen=True):
    """Stop the farm; unfinished tasks stay in the store. Answered before the farm stops."""


class Ping(Request, frozen=True):
    """Keep the session. Answered by the number of contradictions that the controller has repaired since its start."""


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
    | GetBarrier
    | Unwait
    | Spin
    | QueueStatus
    | Clear
    | ListTasks
    | GetLog
    | GetSubmission
    | GetOutputs
    | GetDetails
    | GetClientName
    | GetWorkers
    | GetEngine
    | Watch
    | Unwatch
    | Broadcast
    | AwaitBroadcast
    | ClearBroadcasts
    | Scale
    | Stop
    | Ping
)

FromClient = ClientMessage | Confirmed
"""All that a client sends. A `Confirmed` is for the connection alone: it decides nothing."""

# controller -> client


class Welcome(Message, frozen=True):
    """Answers `Hello`. `incarnation` counts the starts of the controller on this store.

    `store_began`: the wall-clock seconds of the first of them, which tell this store from a fresh one; 0: not known.
    `no_room`: as in `QueueSnapshot`.
    """

    protocol: int
    version: str
    name: str
    incarnation: int
    pid: int
    supervisor_pid: int
    client_name: str
    n_workers: int
    store_began: float = 0.0
    no_room: str = ""


class Accepted(Message, frozen=True):
    """Answers `Submit`: the batch has the ids `first`, `first + 1`, ... and is in the store."""

    seq: int
    first: int


class Reply(Message, frozen=True):
    """Answers any other request, with plain data."""

    seq: int
    value: Any = None


class ErrorKind(StrEnum):
    """The error that a refusal stands for."""

    TYPE = "type"
    UNKNOWN_TASK = "unknown-task"
    UNKNOWN_TASKS = "unknown-tasks"
    RESULT_EXPIRED = "result-expired"
    VERSION = "version"
    PROTOCOL = "protocol"
    NOT_ALLOWED = "not-allowed"
    TOO_MUCH = "too-much"
    SAY_HELLO = "say-hello"
    RESOURCES = "resources"
    STORE = "store"
    STORAGE_FULL = "storage-full"
    FAILED = "failed"


class Refused(Message, frozen=True):
    """Refuses a request, or a frame (`seq` 0). Nothing has changed except what `value` says."""

    seq: int
    error: ErrorKind
    message: str
    hint: str = ""
    value: Any = None


class Ended(Message, frozen=True, kw_only=True):
    """Tasks that have ended: both the record in the store and the message to clients. Columns of equal length.

    Attributes:
        reasons: a `Reason` each; "" for a success.
        values: the pickled value of a success, else a `Failure`.
        workers: the last worker; -1: the task never ran.
        submitted: wall-clock seconds.
        completed: wall-clock seconds.
        seconds: run time of the last attempt.
        outputs: the output of each task that printed.
        displays: the displays of each task that has some, each as the JSON of an output in a notebook's file.
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
    """Asks the client to release code that no task needs any more. Answered by `Released`; then the code is dropped.

    So no `Submit` on its way names code that is dropped already.
    """

    digests: tuple[bytes, ...]


class Confirm(Message, frozen=True):
    """Asks the client to confirm that it has read all up to here. Answered by `Confirmed`.

    A client that has much unconfirmed is sent nothing more, so that what it does not read takes no memory.
    """

    number: int


class Watching(Message, frozen=True):
    """Answers `Watch`."""

    seq: int
    snapshot: QueueSnapshot


class Changed(Message, frozen=True):
    """The changes of the queue, for a subscriber."""

    delta: QueueDelta


class Resync(Message, frozen=True):
    """Messages to this client were dropped, since it was too slow: it has to ask again for all unfinished tasks."""


class Scaled(Message, frozen=True):
    """The intended number of workers is another one than in `Welcome`, or than before."""

    n_workers: int


class Stopping(Message, frozen=True):
    """The farm stops: open waits end with `ControllerStopped`."""


ControllerMessage = (
    Welcome | Accepted | Reply | Refused | Ended | Release | Confirm | Watching | Changed | Resync | Scaled | Stopping
)
