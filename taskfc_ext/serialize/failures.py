"""Exceptions: as text that anybody can read, and as themselves where their own code allows it."""

from __future__ import annotations

from taskfc_ext.errors import (
    DependencyFailed,
    RemoteError,
    TaskAborted,
    TaskError,
    TaskTimeout,
    TaskUnreachable,
    WorkerLost,
)
from taskfc_ext.protocol.payloads import Failure, Reason, decode_failure
from taskfc_ext.serialize.blame import complaint, shortened, text_of, type_name_of
from taskfc_ext.serialize.values import load_value, pickled
from taskfc_ext.text import encodable

MAX_TEXT = 20_000
"""Characters of an exception's own text that are kept: some carry a whole table in it."""

MAX_TRACEBACK = 200_000
"""Characters of a traceback that are kept, half from either end."""

MAX_EXCEPTION = 64 * 2**20
"""Bytes of a pickled exception; a larger one travels as text only."""


class RemoteTraceback(Exception):
    """The cause of a task's exception: shows where it was raised, on the worker.

    Attributes:
        text: the traceback.
        taskid: the task.
    """

    def __init__(self, text: str, taskid: int | None = None) -> None:
        super().__init__(text, taskid)
        self.text = text
        self.taskid = taskid

    def __str__(self) -> str:
        task = "" if self.taskid is None else f"in task {self.taskid}:\n"
        return f"\n{task}{self.text.rstrip()}"


def dump_exception(error: BaseException, *, traceback: str, of_string: bool = False) -> Failure:
    """Return `error` as a `Failure` that can be read as text, and rebuilt where its own code allows it."""
    body, note = _pickled_exception(error)
    return Failure(
        reason=Reason.ERROR,
        message=shortened(text_of(error), MAX_TEXT),
        type_name=type_name_of(type(error)),
        traceback=shortened(encodable(traceback), MAX_TRACEBACK),
        note=note,
        pickled=body,
        of_string=of_string,
    )


def _pickled_exception(error: BaseException) -> tuple[bytes | None, str]:
    try:
        body = pickled(error)
    except Exception as problem:  # noqa: BLE001  its own __reduce__ may raise anything
        return None, complaint("the exception", error, problem)
    if len(body) > MAX_EXCEPTION:
        return None, f"the exception is {len(body):,} bytes pickled, over the limit of {MAX_EXCEPTION:,}"
    return body, ""


def load_failure(payload: bytes, taskid: int | None) -> BaseException:
    """Return the exception that stands for a task's failure; never raises for what is wrong with the exception.

    A task's own exception comes back in its own type with a `RemoteTraceback` as its cause. It comes as a
    `RemoteError` where that is impossible, or where raising it would not end the wait but the waiting program
    (SystemExit, KeyboardInterrupt) or its event loop's patience (StopIteration).
    """
    failure = decode_failure(payload)
    message, traceback = failure.message, failure.traceback
    match failure.reason:
        case Reason.ERROR:
            return _own_exception(failure, taskid)
        case Reason.TIMEOUT:
            return TaskTimeout(message, taskid=taskid, remote_traceback=traceback)
        case Reason.UNREACHABLE:
            return TaskUnreachable(message, taskid=taskid, remote_traceback=traceback)
        case Reason.LOST | Reason.POISONED:
            return WorkerLost(message, taskid=taskid, note=failure.note)
        case Reason.DEPENDENCY:
            return DependencyFailed(message, taskid=taskid, parent=failure.parent)
        case Reason.ABORTED:
            return TaskAborted(message, taskid=taskid, remote_traceback=traceback)


def _own_exception(failure: Failure, taskid: int | None) -> BaseException:
    error: object = None
    problem = failure.note
    if failure.pickled is not None:
        try:
            error = load_value(failure.pickled)
        except (Exception, SystemExit) as reason:  # noqa: BLE001  the user's __setstate__ and __init__ run here
            problem = f"it cannot be rebuilt here: {type(reason).__name__}: {text_of(reason)}"
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        text = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
        error = RemoteError(
            text, type_name=failure.type_name, taskid=taskid, remote_traceback=failure.traceback, hint=problem
        )
    elif isinstance(error, TaskError):
        error.taskid = taskid if error.taskid is None else error.taskid
        error.remote_traceback = error.remote_traceback or failure.traceback
    error.__cause__ = RemoteTraceback(failure.traceback, taskid) if failure.traceback else error.__cause__
    return error
