"""What a finished task is worth: bytes from the wire become a value or an exception, in the thread that asks."""

from __future__ import annotations

from typing import Any, NamedTuple

from taskfc_ext import serialize
from taskfc_ext.errors import ProtocolError, UnpicklableResult
from taskfc_ext.protocol.payloads import Payload, decode_failure
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.serialize import SourceResult


class Facts(NamedTuple):
    """What is known of a finished task without opening its result. Times are wall-clock seconds."""

    reason: str
    worker: int
    attempts: int
    submitted: float
    seconds: float
    completed: float
    output: Printed
    displays: tuple[bytes, ...] = ()


FactsRow = tuple[str, int, int, float, float, float, Printed, tuple[bytes, ...]]
"""`Facts` as a plain tuple: a third of the cost, and most are never looked at."""


class Raised:
    """An exception as an outcome, told apart from an exception that a task has returned.

    Attributes:
        is_held: it is a string task's own, which its `TaskResult` holds.
    """

    __slots__ = ("error", "is_held")

    def __init__(self, error: BaseException, *, is_held: bool = False) -> None:
        self.error = error
        self.is_held = is_held


def load(payload: Payload, reason: str, taskid: int) -> object:
    """Return the value in `payload`, or `Raised` when the task failed or its value cannot be rebuilt here."""
    if not isinstance(payload, bytes):
        return Raised(ProtocolError(f"the result of task {taskid} stands in a file, which this version cannot open"))
    if reason:
        return Raised(serialize.load_failure(payload, taskid), is_held=decode_failure(payload).of_string)
    try:
        return serialize.load_value(payload)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling runs the user's code
        failure = UnpicklableResult(f"the result of task {taskid} cannot be rebuilt here: {error!r}", taskid=taskid)
        failure.__cause__ = error
        return Raised(failure)


def names_of(loaded: object) -> dict[str, Any]:
    """Return the names that a cell or a `StringTask` brought back; a function brings none."""
    return dict(loaded.ns) if isinstance(loaded, SourceResult) else {}
