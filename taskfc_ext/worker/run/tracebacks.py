"""Tracebacks for users: with the frames of their code, without ours."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from itertools import takewhile
from types import TracebackType

import cloudpickle

from taskfc_ext.location import FOLDER
from taskfc_ext.serialize.blame import describe_error
from taskfc_ext.worker.output.stdin import NoStdin

_BETWEEN = ("asyncio", "concurrent.futures", "IPython")
"""Packages whose frames may stand between ours and the user's."""

_STDIN = NoStdin.readline.__code__.co_filename
"""The file that refuses `input()` and breakpoints: the error is shown where the user's code asked."""


def user_traceback(error: BaseException) -> str:
    """Return the traceback of `error` as text, from the first frame of the user's on."""
    try:
        shown = traceback.TracebackException(type(error), error, from_users_frame(error.__traceback__), compact=True)
        _start_causes_at_users_frames(shown)
        _end_chain_before_stdin(shown)
        return "".join(shown.format())
    except Exception:  # noqa: BLE001  the user's __str__, or no memory left
        return f"{describe_error(error)}\n"


def from_users_frame(tb: TracebackType | None) -> TracebackType | None:
    """Return the part of `tb` that begins with the first frame of the user's; `None` where it has none."""
    while tb is not None and _is_machinery(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def _start_causes_at_users_frames(shown: traceback.TracebackException) -> None:
    """Remove our frames from the start of the causes of `shown`, for example between a value and its `__reduce__`."""
    for came_of in _causes(shown):
        n_ours = sum(1 for _ in takewhile(lambda frame: _pickles(frame.filename), came_of.stack))
        del came_of.stack[:n_ours]


def _end_chain_before_stdin(shown: traceback.TracebackException) -> None:
    """Remove the frames of our stdin from the ends of `shown` and of its causes."""
    for each in (shown, *_causes(shown)):
        while each.stack and each.stack[-1].filename == _STDIN:
            each.stack.pop()


def _causes(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    came_of = shown.__cause__ or shown.__context__
    while came_of is not None:
        yield came_of
        came_of = came_of.__cause__ or came_of.__context__


def _pickles(filename: str) -> bool:
    return filename.startswith((FOLDER + os.sep, os.path.dirname(cloudpickle.__file__) + os.sep))


def _is_machinery(filename: str) -> bool:
    """Tell whether the code is between our loop and the user's code: this package, an event loop, IPython."""
    if filename.startswith("<frozen "):
        return True
    others = [sys.modules[name].__path__[0] for name in _BETWEEN if name in sys.modules]
    return any(filename.startswith(place + os.sep) for place in (FOLDER, *others))
