"""Meaning of the controller's answers: a value, or an error of this package."""

from __future__ import annotations

from typing import Any

from taskfc_ext.errors import (
    ProtocolError,
    RequestRefused,
    ResultExpired,
    TaskFCError,
    UnknownTask,
    UnknownTasks,
    VersionMismatch,
)
from taskfc_ext.protocol.client_messages import Accepted, ErrorKind, Refused, Reply

Answer = Accepted | Reply | Refused


def value_of(answer: Answer) -> Any:
    """Return the plain data of an answer: the first id of an accepted batch, or a reply's value.

    Raises:
        TaskFCError: the request was refused; the type says why.
    """
    match answer:
        case Accepted():
            return answer.first
        case Reply():
            return answer.value
        case Refused():
            raise error_of(answer)


def error_of(refused: Refused) -> Exception:
    """Return the error that a refusal means."""
    message, hint = refused.message, refused.hint
    value = refused.value if isinstance(refused.value, dict) else {}
    match refused.error:
        case ErrorKind.TYPE:
            return TypeError(message)
        case ErrorKind.UNKNOWN_TASK | ErrorKind.RESULT_EXPIRED:
            kind = UnknownTask if refused.error is ErrorKind.UNKNOWN_TASK else ResultExpired
            return kind(message, taskid=next(iter(value.get("taskids", ())), None), hint=hint)
        case ErrorKind.UNKNOWN_TASKS:
            taskids = tuple(value.get("taskids", ()))
            return UnknownTasks(message, taskids=taskids, n_cleared=value.get("n_cleared", 0), hint=hint)
        case _:
            return _OTHERS.get(refused.error, RequestRefused)(message, hint=hint)


_OTHERS: dict[ErrorKind, type[TaskFCError]] = {
    ErrorKind.VERSION: VersionMismatch,
    ErrorKind.PROTOCOL: ProtocolError,
}
