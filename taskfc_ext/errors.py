"""Exceptions of the package in one tree, by cause: the task, the farm, the peer, the caller's arguments.

    TaskFCError
    ├── TaskError                  the user's task ended without a value
    │   ├── TaskTimeout            it ran longer than its `timeout` (also a TimeoutError)
    │   │   └── TaskUnreachable    no worker accepted it
    │   ├── MemoryLimitExceeded    it used more than its `memory` (also a MemoryError)
    │   ├── WorkerLost             its worker died, once or too often
    │   ├── DependencyFailed       a task that it depends on did not succeed
    │   ├── TaskAborted            it was aborted (also a concurrent.futures.CancelledError)
    │   ├── TasksFailed            some of the tasks of one wait did not succeed
    │   ├── LoadingFailed          its code or arguments could not be loaded on the worker
    │   ├── UnpicklableResult      it ran, but its result cannot be pickled
    │   └── RemoteError            its own exception, which cannot be rebuilt here
    ├── FarmError                  the environment
    │   ├── ControllerUnavailable  no farm answers
    │   │   ├── ControllerLost     it has answered before
    │   │   └── ControllerStopped  it was stopped on purpose
    │   ├── BroadcastFailed        a worker could not run a broadcast
    │   ├── StartFailed            a farm could not be started
    │   └── StoreError             the store cannot be used
    │       └── StorageFull        it has no room for anything new
    ├── ProtocolError              the peer broke the protocol
    │   ├── VersionMismatch        the peer has another protocol version
    │   └── RequestRefused         the controller refused a request
    └── caller's arguments         each is also the usual builtin exception
        ├── UnpicklableArgument    (TypeError)
        ├── NotEnoughResources     (ValueError)
        ├── UnknownTask            (IndexError)
        │   └── ResultExpired
        └── UnknownTasks           (KeyError)

Outside the tree: `TaskRejectError`, which a *task* raises to be offered to other workers; `RepeatedStreamWarning`;
`RemoteTraceback`, the last cause of each exception that a task raised.

Facts are attributes (`error.taskid`, `error.hint`), so that no program has to parse a message.
"""

from __future__ import annotations

import concurrent.futures


class TaskFCError(Exception):
    """The base class of this package's errors.

    Attributes:
        hint: advice to the user; empty where there is none.
    """

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[TaskFCError], args: tuple[object, ...], state: dict[str, object]) -> TaskFCError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# the user's task


class TaskError(TaskFCError):
    """A task ended without a value.

    Attributes:
        taskid: the task's id; `None` where it is not known.
        remote_traceback: the traceback on the worker, as text; empty where there was none.
    """

    def __init__(
        self,
        message: str = "",
        *,
        taskid: int | None = None,
        remote_traceback: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.taskid = taskid
        self.remote_traceback = remote_traceback


class TaskTimeout(TaskError, TimeoutError):
    """An attempt ran longer than the task's `timeout` and was stopped."""


class TaskUnreachable(TaskTimeout):
    """Every live worker rejected the task for as long as the controller's `unreachable_after`."""


class MemoryLimitExceeded(TaskError, MemoryError):
    """An attempt used more than the task's `memory`, and was ended with its worker."""


class WorkerLost(TaskError):
    """The task's worker died: once with `on_lost="fail"`, or as often as `max_deaths` permits (*poisoned*).

    On an engine, the loss of a worker's place counts apart: once with `on_lost="fail"`, or ten times (*poisoned*).

    Attributes:
        note: how the last worker died: signal or exit code, last lines of its stderr.
    """

    def __init__(self, message: str = "", *, taskid: int | None = None, note: str = "", hint: str = "") -> None:
        super().__init__(message, taskid=taskid, hint=hint)
        self.note = note


class DependencyFailed(TaskError):
    """A task that this one depends on did not succeed.

    Attributes:
        parent: the id of that task.
    """

    def __init__(
        self, message: str = "", *, taskid: int | None = None, parent: int | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, taskid=taskid, hint=hint)
        self.parent = parent


class TaskAborted(TaskError, concurrent.futures.CancelledError):
    """The task was aborted."""


class TasksFailed(TaskError):
    """Some of the tasks of one wait did not succeed; the message names them.

    Attributes:
        taskids: the ids of those tasks.
    """

    def __init__(self, message: str = "", *, taskids: tuple[int, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.taskids = taskids


class LoadingFailed(TaskError):
    """The task's code or its arguments could not be loaded on the worker. No code of it ran, and no retry helps.

    Its cause is the exception that loading raised.
    """


class UnpicklableResult(TaskError, TypeError):
    """The task ran, but its result cannot be pickled; the message names the object at fault."""


class RemoteError(TaskError):
    """Stand-in for a task's own exception that cannot be rebuilt in this process.

    Attributes:
        type_name: the exception's type on the worker.
    """

    def __init__(
        self,
        message: str = "",
        *,
        type_name: str = "",
        taskid: int | None = None,
        remote_traceback: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, taskid=taskid, remote_traceback=remote_traceback, hint=hint)
        self.type_name = type_name


class RemoteTraceback(Exception):
    """The last cause of a task's exception: the traceback on the worker.

    Attributes:
        text: the traceback.
        taskid: the task's id.
    """

    def __init__(self, text: str, taskid: int | None = None) -> None:
        super().__init__(text, taskid)
        self.text = text
        self.taskid = taskid

    def __str__(self) -> str:
        task = "" if self.taskid is None else f"in task {self.taskid}:\n"
        return f"\n{task}{self.text.rstrip()}"


def remote_traceback_of(error: BaseException) -> RemoteTraceback | None:
    """Return the worker's traceback, the last cause of a task's exception; `None` where there is none."""
    last = _causes(error)[-1]
    return last if isinstance(last, RemoteTraceback) else None


def attach_traceback(error: BaseException, traceback: RemoteTraceback) -> None:
    """Make `traceback` the last cause of `error`, after the causes that the task itself set."""
    causes = [error, *(each for each in _causes(error)[1:] if not isinstance(each, RemoteTraceback))]
    # by descriptor: a class may reject attributes, as frozen dataclasses do
    vars(BaseException)["__cause__"].__set__(causes[-1], traceback)


def attach_note(error: BaseException, note: str) -> None:
    """Add `note` to `error` as `add_note` does, also where a class rejects attributes; once, if it is raised again."""
    notes: list[str] = vars(error).setdefault("__notes__", [])
    if note not in notes:
        notes.append(note)


def _causes(error: BaseException) -> list[BaseException]:
    """Return `error`, its cause, the cause's cause and so on, each once."""
    found = [error]
    while (cause := found[-1].__cause__) is not None and all(cause is not each for each in found):
        found.append(cause)
    return found


class TaskRejectError(Exception):
    """Raised by a task that cannot run on this worker now: it is offered to other workers, and later to this one again.

    No retry is used up. (`IPython.kernel.error.TaskRejectError` of the older system.)
    """


# the environment


class FarmError(TaskFCError):
    """The farm or its environment does not work."""


class ControllerUnavailable(FarmError):
    """No farm of that name answers."""


class ControllerLost(ControllerUnavailable):
    """The farm has answered before, but does not answer now; accepted tasks are in its store.

    Unless that was in memory only, or is a fresh one meanwhile: then they are gone, and the message says so.
    """


class ControllerStopped(ControllerUnavailable):
    """The farm was stopped on purpose; a start or a new submission continues its queue, if that is on the disk."""


class BroadcastFailed(FarmError):
    """A broadcast did not run well on every worker; the message names worker and exception.

    Attributes:
        number: the broadcast's.
        workers: those on which it failed, with the exception's type and text.
    """

    def __init__(
        self, message: str = "", *, number: int = 0, workers: dict[int, str] | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.number = number
        self.workers = workers or {}


class EngineWarning(UserWarning):
    """Something that a user should know of the engine that a farm was started on."""


class StartFailed(FarmError):
    """A farm could not be started; the message has the supervisor's error."""


class BadEngine(StartFailed, ValueError):
    """`on=` names no engine, or one of its options is not possible."""


class StoreError(FarmError):
    """The store cannot be used: it has another version's schema, is damaged, or belongs to another user."""


class StorageFull(StoreError):
    """The store has no room for anything new: its disk is full, over quota, or cannot be written at present.

    Nothing accepted is lost. The farm goes on by itself when there is room.

    Attributes:
        path: a folder on that disk.
        free: bytes that are free there.
    """

    def __init__(self, message: str = "", *, path: str = "", free: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.free = free


# the peer


class ProtocolError(TaskFCError):
    """A peer broke the protocol."""


class VersionMismatch(ProtocolError):
    """The peer has another protocol version or another Python version; the message names both."""


class RequestRefused(ProtocolError):
    """The controller refused a request; the message has the reason."""


# the caller's arguments


class UnpicklableArgument(TaskFCError, TypeError):
    """A function or an argument cannot be pickled; the message has the object and the reason."""


class NotEnoughResources(TaskFCError, ValueError):
    """The task needs more of a resource than the farm has, so it could never start."""


class UnknownTask(TaskFCError, IndexError):
    """The task does not exist, or it was cleared.

    Attributes:
        taskid: the requested id.
    """

    def __init__(self, message: str = "", *, taskid: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.taskid = taskid


class ResultExpired(UnknownTask):
    """The task has expired: the store had reached its limit of age or bytes. Or what it takes was cleared."""


class UnknownTasks(TaskFCError, KeyError):
    """Some of the ids given to `clear`, `hold`, `release` or `move` are unknown. The action was done for the others.

    Attributes:
        taskids: the unknown ids.
        n_cleared: the number of finished tasks that were cleared.
    """

    def __init__(self, message: str = "", *, taskids: tuple[int, ...] = (), n_cleared: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.taskids = taskids
        self.n_cleared = n_cleared

    __str__ = TaskFCError.__str__  # a KeyError would show the repr of its message


class RepeatedStreamWarning(UserWarning):
    """Two tasks start with the same random generator in the same state, so they draw the same numbers."""
