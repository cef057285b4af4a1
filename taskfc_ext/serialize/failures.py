"""Failures of tasks: an exception as text, and pickled if it can be rebuilt."""

from __future__ import annotations

import io
import sys
from typing import Any

from taskfc_ext.errors import (
    DependencyFailed,
    MemoryLimitExceeded,
    RemoteError,
    RemoteTraceback,
    TaskAborted,
    TaskError,
    TaskTimeout,
    TaskUnreachable,
    WorkerLost,
    attach_traceback,
)
from taskfc_ext.protocol.payloads import Failure, Reason, decode_failure
from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.blame import describe_failure, shorten, text_of, type_name_of
from taskfc_ext.serialize.exceptions import WithChains, is_same_text
from taskfc_ext.serialize.limited import LimitedFile, LimitReached
from taskfc_ext.serialize.piecewise import Piecewise
from taskfc_ext.serialize.trial import try_to_pickle
from taskfc_ext.serialize.values import load_value
from taskfc_ext.text import encodable

MAX_TEXT = 20_000
"""Longest text of an exception in characters: some texts hold a whole table."""

MAX_TRACEBACK = 200_000
"""Longest traceback in characters; of a longer one, half of this is kept from each end."""

MAX_EXCEPTION = 64 * 2**20
"""Largest pickled exception in bytes; of a larger one, large attributes are left out."""

_MAX_QUOTED = 300
_NOT_RAISED_HERE = (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration)


def dump_exception(error: BaseException, *, traceback: str, of_string: bool = False) -> Failure:
    """Return `error` as a `Failure`: its text, and its pickle if it can be rebuilt."""
    text = shorten(text_of(error), MAX_TEXT)
    body, note = _pickle_exception(error, text)
    return Failure(
        reason=Reason.ERROR,
        message=text,
        type_name=type_name_of(type(error)),
        traceback=shorten(encodable(traceback), MAX_TRACEBACK),
        note=note,
        pickled=body,
        of_string=of_string,
    )


def _pickle_exception(error: BaseException, text: str) -> tuple[bytes | None, str]:
    """Return the exception pickled, or `None` and the reason.

    It is pickled whole, or else without the parts that cannot be pickled. It is rebuilt here on trial; its text must be
    the same.
    """
    if _is_control_flow(error):
        return None, ""
    whole, problem = _pickle_on_trial(error, text, WithChains())
    if not problem:
        return whole, ""
    body, remains = _pickle_on_trial(error, text, Piecewise())
    return (None, problem) if remains else (body, "")


def _pickle_on_trial(error: BaseException, text: str, exceptions: WithChains) -> tuple[bytes, str]:
    """Return the exception pickled, and the problem with it, if any."""
    file = io.BytesIO()
    try:
        try_to_pickle(error, LimitedFile(MAX_EXCEPTION, body=file), exceptions)
    except LimitReached as problem:
        return b"", f"the exception stayed on the worker: {problem}"
    except Exception as problem:  # noqa: BLE001  its own __reduce__ may raise anything
        return b"", describe_failure("the exception", error, problem)
    body = file.getvalue()
    return body, "" if _is_trivial(error) else _load(body, text)[1]


def _is_control_flow(error: BaseException) -> bool:
    """Return whether raising `error` would also affect the interpreter, a generator or an event loop."""
    asyncio: Any = sys.modules.get("asyncio.exceptions")  # importing it takes a worker 20 ms
    return isinstance(error, _NOT_RAISED_HERE) or (asyncio is not None and isinstance(error, asyncio.CancelledError))


def _is_trivial(error: BaseException) -> bool:
    """Return whether `error` can certainly be rebuilt, which is the usual case."""
    if type(error).__module__ != "builtins" or vars(error) or error.__cause__ or error.__context__:
        return False
    return all(type(each) in ATOMS for each in error.args)


def _load(body: bytes, text: str) -> tuple[BaseException | None, str]:
    """Return the exception in `body`, or `None` and the problem. Its text must be `text`."""
    try:
        error = load_value(body)
    except (Exception, SystemExit) as reason:  # noqa: BLE001  the user's __setstate__ and __init__ run here
        return None, f"it cannot be rebuilt here: {type(reason).__name__}: {text_of(reason)}"
    if not isinstance(error, BaseException):
        return None, f"it cannot be rebuilt here: it becomes a {type_name_of(type(error))}"
    now = shorten(text_of(error), MAX_TEXT)
    if not is_same_text(now, text):
        return None, f"it cannot be rebuilt here: its text would be {shorten(repr(now), _MAX_QUOTED)}"
    return error, ""


def load_failure(payload: bytes, taskid: int | None) -> BaseException:
    """Return the exception of a task's failure. A problem with the exception itself does not raise.

    A task's own exception keeps its type and gets a `RemoteTraceback` at the end of its causes. It becomes a
    `RemoteError` if it cannot be rebuilt, if its text would differ here, or if raising it would end the waiting program
    (SystemExit, KeyboardInterrupt) or be lost in an event loop (CancelledError).
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
        case Reason.MEMORY:
            return MemoryLimitExceeded(message, taskid=taskid)
        case Reason.ABORTED:
            return TaskAborted(message, taskid=taskid, remote_traceback=traceback)


def _own_exception(failure: Failure, taskid: int | None) -> BaseException:
    error: BaseException | None = None
    problem = failure.note
    if failure.pickled is not None:
        error, problem = _load(failure.pickled, failure.message)
    if error is None or _is_control_flow(error):
        text = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
        error = RemoteError(
            text, type_name=failure.type_name, taskid=taskid, remote_traceback=failure.traceback, hint=problem
        )
    elif isinstance(error, TaskError):
        error.taskid = taskid if error.taskid is None else error.taskid
        error.remote_traceback = error.remote_traceback or failure.traceback
    if failure.traceback:
        attach_traceback(error, RemoteTraceback(failure.traceback, taskid))
    return error
