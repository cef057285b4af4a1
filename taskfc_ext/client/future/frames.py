"""Tracebacks of blocking calls: the caller's own frames first, then at most the call."""

from __future__ import annotations

from types import TracebackType

from taskfc_ext.errors import RemoteTraceback, TaskFCError


def shorten(error: BaseException) -> None:
    """Drop this package's frames below the calling one from the traceback of `error`, down to the code of others.

    Called where `error` is caught. An unexpected error of this package itself keeps them.
    """
    here = error.__traceback__
    assert here is not None
    below = here.tb_next
    while below is not None and _is_ours(below):
        below = below.tb_next
    if below is not None or isinstance(error, TaskFCError) or _is_of_task(error):
        here.tb_next = below


def _is_ours(traceback: TracebackType) -> bool:
    return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "taskfc_ext"


def _is_of_task(error: BaseException) -> bool:
    """Return whether a task raised `error`: the last of its causes is the traceback there."""
    cause = error.__cause__
    seen = {id(error)}
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, RemoteTraceback):
            return True
        seen.add(id(cause))
        cause = cause.__cause__
    return False
