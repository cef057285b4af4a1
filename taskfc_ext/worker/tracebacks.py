"""Tracebacks as the user wants to see them: their frames, with their lines, and none of ours."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

from taskfc_ext.serialize.blame import text_of, type_name_of

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def user_traceback(error: BaseException) -> str:
    """Return the traceback of `error` as text, from the first frame of the user's on."""
    try:
        shown = traceback.TracebackException(type(error), error, _from_users_frame(error.__traceback__), compact=True)
        return "".join(shown.format())
    except Exception:  # noqa: BLE001  the user's __str__, or no memory left: better a short text than none
        return f"{type_name_of(type(error))}: {text_of(error)}\n"


def _from_users_frame(tb: TracebackType | None) -> TracebackType | None:
    while tb is not None and _is_machinery(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def _is_machinery(filename: str) -> bool:
    """Whether the code stands between our loop and the user's: this package, an event loop, or IPython."""
    if filename.startswith("<frozen "):
        return True
    others = [sys.modules[name].__path__[0] for name in ("asyncio", "IPython") if name in sys.modules]
    return any(filename.startswith(place + os.sep) for place in (_OURS, *others))
