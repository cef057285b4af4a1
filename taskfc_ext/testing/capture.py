"""Capture of one thread's output, beside threads that print as before."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any, TextIO

from taskfc_ext.protocol.printed import Printed, join_printed

_lock = threading.RLock()  # a `__del__` may print at any moment
_printed: dict[int, Printed] = {}
"""The output of each captured thread so far, by the thread's identifier."""


def begin_capture() -> None:
    """Keep what the calling thread writes to stdout and stderr from now on."""
    with _lock:
        _printed[threading.get_ident()] = ()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not isinstance(stream, _Stream):  # a stream of a test framework, which comes and goes
                setattr(sys, name, _Stream(stream, is_stderr=name == "stderr"))


def take_output(thread: int) -> Printed:
    """Return the output of a captured thread so far."""
    with _lock:
        printed = _printed[thread]
        _printed[thread] = ()
        return printed


def end_capture() -> Printed:
    """Return the calling thread's output that was not taken; with the last captured thread, restore the streams."""
    with _lock:
        printed = _printed.pop(threading.get_ident(), ())
        if not _printed:
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if isinstance(stream, _Stream):
                    setattr(sys, name, stream.before)
        return printed


class _Stream(io.TextIOBase):
    """Stands in for a standard stream: keeps what captured threads write, and passes everything else on."""

    def __init__(self, before: TextIO, *, is_stderr: bool) -> None:
        self.before = before
        self._is_stderr = is_stderr

    def write(self, text: str) -> int:
        thread = threading.get_ident()
        with _lock:
            if thread in _printed:
                more = ("", text) if self._is_stderr else (text,)
                _printed[thread] = join_printed(_printed[thread], more)
                return len(text)
        return self.before.write(text)

    def flush(self) -> None:
        self.before.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.before, name)
