"""Tasks, workers and broadcasts, as plain data in the answers to a client's questions."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.protocol.payloads import Failure, Payload
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.spec import Spec


class TaskProgress(Struct, frozen=True):
    """The progress of a running task, as its code reports it. `total` is `None` if it is not known."""

    done: float
    total: float | None = None
    description: str = ""


class TaskInfo(Struct, frozen=True, kw_only=True):
    """One task, as lists show it.

    Attributes:
        priority: the present one; for a finished task, the submitted one.
        elapsed: run time of the running attempt, or of the last one, in seconds.
        progress: that of the running attempt, if it has reported any.
        cell: the cell of a notebook that it comes from; empty if it comes from none.
        retry_of: the finished task that this one retries.
        not_before: wall-clock time before which a failed task has no next attempt.
        waits_for: unfinished tasks that it waits for while it runs, at most 100; a substitute has its worker's place.
    """

    taskid: int
    name: str | None
    label: str
    state: str
    reason: str = ""
    stopping: bool = False
    held: bool = False
    worker: int = -1
    attempts: int = 0
    deaths: int = 0
    priority: int = 0
    submitted: float = 0.0
    completed: float | None = None
    elapsed: float | None = None
    owner: str = ""
    cell: str = ""
    message: str = ""
    progress: TaskProgress | None = None
    retry_of: int | None = None
    not_before: float | None = None
    waits_for: tuple[int, ...] = ()


class Details(Struct, frozen=True, kw_only=True):
    """One task with its log, its outputs and its failure: the answer to `GetDetails`.

    Attributes:
        task: as lists show it.
        printed: the log, or the end of it.
        n_cut: characters of the log before that.
        version: of the outputs.
        outputs: each the JSON of an output in a notebook's file; `None`: the client has this version.
        failure: of a task that did not succeed, without the pickled exception.
        source: the begin of its source; empty if it was not asked for, and for functions, whose code is pickled.
        n_source_cut: characters of its source after that.
        size: bytes of its pickled result; `None`: it has none.
    """

    task: TaskInfo
    printed: Printed = ()
    n_cut: int = 0
    version: str = ""
    outputs: tuple[bytes, ...] | None = None
    failure: Failure | None = None
    source: str = ""
    n_source_cut: int = 0
    size: int | None = None


class SubmittedTask(Struct, frozen=True, kw_only=True):
    """A task as it was submitted.

    Attributes:
        code: the code with the digest `spec.code`.
        inputs: the results that the task takes.
    """

    taskid: int
    name: str | None
    spec: Spec
    code: Payload
    body: Payload
    inputs: tuple[Payload, ...] = ()


class BroadcastReport(Struct, frozen=True):
    """The outcome of a broadcast on the present workers.

    Attributes:
        ran: the number of workers on which it succeeded.
        failed: worker id -> the error.
        skipped: why it is not run any more, as when workers died of it; else empty.
    """

    ran: int
    failed: dict[int, str] = {}
    skipped: str = ""


class BarrierCounts(Struct, frozen=True):
    """The state of an open barrier.

    Attributes:
        total: the number of tasks that were unfinished when it was opened.
        left: the number of those that are unfinished now.
        failed: the number of those that have failed or were aborted since then.
    """

    total: int
    left: int
    failed: int = 0


class WorkerInfo(Struct, frozen=True, kw_only=True):
    """One worker, as lists show it.

    Attributes:
        state: starting, setting up, idle, busy, waiting (its task waits for other tasks), or retiring.
        running: a task id.
        held: the number of tasks that it holds.
        problem: the last broadcast that failed on it, with the error.
        waits_for: the first tasks that its task waits for.
        is_substitute: it has the place of a waiting worker, and ends when it is not needed any more.
        place: the name of its host; "": this machine.
    """

    worker: int
    pid: int
    state: str
    running: int | None = None
    held: int = 0
    problem: str = ""
    waits_for: tuple[int, ...] = ()
    is_substitute: bool = False
    place: str = ""

    @property
    def described(self) -> str:
        """The state in words: `waiting for task 12, 13`, `busy (substitute)`."""
        text = self.state
        if self.waits_for:
            text += f" for task {', '.join(map(str, self.waits_for))}"
        return f"{text} (substitute)" if self.is_substitute else text


class NoRoom(Struct, frozen=True, kw_only=True):
    """Why the store takes nothing new at present: its disk is full, over quota, or cannot be written.

    Attributes:
        message: a sentence without its full stop: the fact, with the path.
        hint: what to do.
        path: the store's folder.
        free: bytes that are free there for this user.
        is_stuck: not even small records can be committed, so nothing can be changed; else only new tasks are refused.
    """

    message: str
    hint: str
    path: str
    free: int
    is_stuck: bool = False

    @property
    def text(self) -> str:
        """Both sentences, for people."""
        return f"{self.message[:1].upper()}{self.message[1:]}. {self.hint[:1].upper()}{self.hint[1:]}."


class EngineInfo(Struct, frozen=True, kw_only=True):
    """The engine in whose slots the workers of a farm run.

    Attributes:
        kind: "dask" or "ray".
        url: its address; "ray": the cluster that the farm's machine is a node of.
        state: connecting, connected, or lost: it cannot be reached, and the farm tries again.
        since: wall-clock time since which it is in that state.
        text: the reason, such as "connection refused"; "" if there is none.
        n_places: number of its hosts that have workers.
        limit: largest number of workers.
    """

    kind: str
    url: str
    state: str
    since: float
    text: str = ""
    n_places: int = 0
    limit: int = 0
