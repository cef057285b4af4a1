"""Outcomes of finished tasks: bytes from the wire become a value or an exception, in the thread that asks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from taskfc_ext import serialize
from taskfc_ext.client.future.missing import note_of_missing
from taskfc_ext.errors import ResultExpired, UnpicklableResult, attach_note
from taskfc_ext.protocol.payloads import decode_failure
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.serialize import Received, SourceResult
from taskfc_ext.tasks import Namespace


class Facts(NamedTuple):
    """Facts of a finished task, known without opening its result. Times are wall-clock seconds."""

    reason: str
    worker: int
    attempts: int
    submitted: float
    seconds: float
    completed: float
    output: Printed
    displays: tuple[bytes, ...] = ()


FactsRow = tuple[str, int, int, float, float, float, Printed, tuple[bytes, ...]]
"""`Facts` as a plain tuple: a third of the cost, and most are never read."""


class Raised:
    """An exception that a task raised; a task may also return one.

    Attributes:
        is_held: it is a string task's own, which its `TaskResult` holds.
    """

    __slots__ = ("error", "is_held")

    def __init__(self, error: BaseException, *, is_held: bool = False) -> None:
        self.error = error
        self.is_held = is_held


def load(payload: Received, reason: str, taskid: int, sent: Sequence[str] | None = None) -> object:
    """Return the value in `payload`, or `Raised` when the task failed or its value cannot be rebuilt here.

    Args:
        sent: the names that a cell was sent with, where they are known; the note to a failure depends on them.
    """
    if not payload:
        return Raised(ResultExpired(f"the result of task {taskid} is gone from the store", taskid=taskid))
    if reason:
        failed = bytes(payload)
        failure, error = decode_failure(failed), serialize.load_failure(failed, taskid)
        if note := note_of_missing(failure, vars(sys.modules["__main__"]), sent):
            attach_note(error, note)
        return Raised(error, is_held=failure.of_string)
    try:
        return serialize.load_value(payload)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling runs the user's code
        if (rest := serialize.salvage_result(payload)) is not None:
            return rest
        problem = UnpicklableResult(f"the result of task {taskid} cannot be rebuilt here: {error!r}", taskid=taskid)
        problem.__cause__ = error
        return Raised(problem)


def names_of(loaded: object) -> dict[str, Any]:
    """Return the names that a cell or a `StringTask` brought back; a function brings none."""
    return dict(loaded.ns) if isinstance(loaded, SourceResult) else {}


def lost_of(loaded: object) -> dict[str, str]:
    """Return the requested names that could not be sent, with the reasons."""
    return dict(getattr(loaded, "lost", {})) if isinstance(loaded, SourceResult) else {}  # not in older stores


def namespace_of(loaded: object) -> Namespace:
    """Return the namespace of an outcome."""
    if isinstance(loaded, Raised):
        return Namespace({}, loaded.error)
    return Namespace(names_of(loaded), lost=lost_of(loaded))
