"""What questions about a farm are answered with: tasks, workers, broadcasts as lists show them."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.protocol.payloads import Failure, Payload
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.spec import Spec


class TaskProgress(Struct, frozen=True):
    """How far a running task is, as its code says. `total` is `None` where that is not known."""

    done: float
    total: float | None = None
    description: str = ""


class TaskInfo(Struct, frozen=True, kw_only=True):
    """One task as lists show it. `elapsed` is the run time of the attempt that runs, or of the last one, in seconds.

    `priority` is that of an unfinished task now; of a finished one, that under which it was submitted.
    `progress`: of an attempt that runs and has reported it. `retry_of`: the task that this one was a retry of.
    `not_before`: wall-clock time until which a failed task waits for its next attempt. `waits_for`: unfinished tasks
    that it waits for while it runs, at most 100; its worker has lent its place to another one meanwhile.
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
    """

    task: TaskInfo
    printed: Printed = ()
    n_cut: int = 0
    version: str = ""
    outputs: tuple[bytes, ...] | None = None
    failure: Failure | None = None


class SubmittedTask(Struct, frozen=True, kw_only=True):
    """What a task was submitted as. `code`: what `spec.code` is the digest of. `inputs`: the results that it takes."""

    taskid: int
    name: str | None
    spec: Spec
    code: Payload
    body: Payload
    inputs: tuple[Payload, ...] = ()


class BroadcastReport(Struct, frozen=True):
    """How a broadcast went on the workers there are: `ran` on so many, `failed` on these: worker -> why.

    `skipped`: workers died of it, so that it is run no more; the text says so.
    """

    ran: int
    failed: dict[int, str] = {}
    skipped: str = ""


class WorkerInfo(Struct, frozen=True, kw_only=True):
    """One worker as lists show it. `running` is a task id. `problem`: the broadcast that failed last on it, and why.

    `state`: starting, setting up, idle, busy, waiting (its task waits for other tasks, and it has lent its place), or
    retiring. `waits_for`: the first of the tasks that its task waits for. `is_substitute`: it is there because others
    wait, and ends when it is not needed any more.
    """

    worker: int
    pid: int
    state: str
    running: int | None = None
    held: int = 0
    problem: str = ""
    waits_for: tuple[int, ...] = ()
    is_substitute: bool = False

    @property
    def described(self) -> str:
        """Its state, with what else is to be said of it: `waiting for task 12, 13`, `busy (substitute)`."""
        text = self.state
        if self.waits_for:
            text += f" for task {', '.join(map(str, self.waits_for))}"
        return f"{text} (substitute)" if self.is_substitute else text
