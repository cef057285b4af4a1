"""Ends of attempts that have no exception to describe: interrupted ones, and errors that cannot be described."""

from __future__ import annotations

from taskfc_ext.protocol.payloads import Failure, Outcome, Reason, encode_failure
from taskfc_ext.serialize.blame import type_name_of


def end_interrupted(traceback: str = "") -> tuple[int, bytes]:
    """Return the outcome and the payload of an interrupted attempt."""
    failure = Failure(reason=Reason.ABORTED, message="interrupted", type_name="KeyboardInterrupt", traceback=traceback)
    return int(Outcome.INTERRUPTED), encode_failure(failure)


def end_indescribable(error: BaseException, problem: BaseException) -> tuple[int, bytes]:
    """Return the end of an attempt that failed with `error`, whose own description raised `problem`."""
    failure = Failure(reason=Reason.ERROR, message=describe_briefly(problem), type_name=type_name_of(type(error)))
    return int(Outcome.ERROR), encode_failure(failure)


def describe_briefly(problem: BaseException) -> str:
    """Return the message for an error whose own description raised `problem`."""
    return f"it failed, and describing the failure failed too ({type(problem).__name__})"
