"""Meaning of the controller's answers: a value, or an error of this package."""

from __future__ import annotations

from typing import Any

from taskfc_ext.errors import (
    NotEnoughResources,
    ProtocolError,
    RequestRefused,
    ResultExpired,
    StorageFull,
    StoreError,
    TaskFCError,
    UnknownTask,
    UnknownTasks,
    VersionMismatch,
)
from taskfc_ext.protocol.client_messages import Accepted, ErrorKind, Refused, Reply

Answer = Accepted | Reply | Refused


_SEE_IDS = "queue_status(verbose=True) lists the known ids"


def value_of(answer: Answer, *, for_python: bool = True) -> Any:
    """Return the plain data of an answer: the first id of an accepted batch, or a reply's value.

    Args:
        answer: the controller's.
        for_python: see `error_of`.

    Raises:
        TaskFCError: the request was refused; the type says why.
    """
    match answer:
        case Accepted():
            return answer.first
        case Reply():
            return answer.value
        case Refused():
            raise error_of(answer, for_python=for_python)


def error_of(refused: Refused, *, for_python: bool = True) -> Exception:
    """Return the error that a refusal means.

    Args:
        refused: the controller's answer.
        for_python: whether a hint may name a method of the client; views of a queue have none.
    """
    message, hint = refused.message, refused.hint
    value = refused.value if isinstance(refused.value, dict) else {}
    match refused.error:
        case ErrorKind.TYPE:
            return TypeError(message)
        case ErrorKind.UNKNOWN_TASK | ErrorKind.RESULT_EXPIRED:
            kind = UnknownTask if refused.error is ErrorKind.UNKNOWN_TASK else ResultExpired
            if hint and kind is UnknownTask and for_python:
                hint = f"{hint}; {_SEE_IDS}"
            return kind(message, taskid=next(iter(value.get("taskids", ())), None), hint=hint)
        case ErrorKind.UNKNOWN_TASKS:
            taskids = tuple(value.get("taskids", ()))
            return UnknownTasks(message, taskids=taskids, n_cleared=value.get("n_cleared", 0), hint=hint)
        case ErrorKind.STORAGE_FULL:
            return StorageFull(message, path=value.get("path", ""), free=value.get("free", 0), hint=hint)
        case _:
            return _OTHERS.get(refused.error, RequestRefused)(message, hint=hint)


_OTHERS: dict[ErrorKind, type[TaskFCError]] = {
    ErrorKind.VERSION: VersionMismatch,
    ErrorKind.PROTOCOL: ProtocolError,
    ErrorKind.RESOURCES: NotEnoughResources,
    ErrorKind.STORE: StoreError,
}
