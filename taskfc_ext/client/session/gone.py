"""Errors about tasks that are not in the store: cleared, expired, or never there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn

from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.session.replies import error_of
from taskfc_ext.errors import ResultExpired, StoreError, UnknownTask
from taskfc_ext.protocol.client_messages import ErrorKind, GetLog, Refused


def error_without_result(refused: Refused, taskid: int) -> Exception:
    """Return the error of a future whose result the controller has refused to send."""
    match refused.error:
        case ErrorKind.RESULT_EXPIRED:
            return ResultExpired(refused.message, taskid=taskid, hint=refused.hint)
        case ErrorKind.UNKNOWN_TASK | ErrorKind.UNKNOWN_TASKS:
            return UnknownTask(f"task {taskid} was cleared", taskid=taskid)
        case _:
            return error_of(refused)


def error_of_damage(taskid: int, error: OSError) -> StoreError:
    """Return the error of a future whose result stands in a file that cannot be read whole."""
    text = f"the result of task {taskid} is damaged: {error.strerror} ({error.filename})"
    return StoreError(text, hint="run the task again; `taskfc doctor` examines all others")


def require_accepted(futures: Iterable[TaskFuture]) -> None:
    """Raise `UnknownTask` if the task of one of these was never accepted."""
    for future in futures:
        if future.taskid is None:
            raise UnknownTask(f"{future!r} was never accepted", hint="submit it again")


async def raise_gone(ask: Callable[..., Awaitable[Any]], taskid: int) -> NoReturn:
    """Raise the error about a task that lists do not have.

    Raises:
        ResultExpired: it has expired.
        UnknownTask: there is no such task.
    """
    try:
        await ask(GetLog, ahead=True, taskid=taskid)
    except ResultExpired:
        raise
    except UnknownTask:
        pass  # it was cleared, or never existed
    raise UnknownTask(f"there is no task {taskid}", taskid=taskid)
