"""Output written to the process's descriptors 1 and 2 past Python: by C code and by subprocesses.

Both go to files, not to pipes. A full pipe blocks its writer, and a C call that holds the GIL would block forever,
as the reading thread could not run.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taskfc_ext.drivers.files import path_of_descriptor

LARGEST_FILE = 64 * 2**20
"""Size in bytes at which a file that was read is emptied. Output written at that moment is lost, but only from the
middle of a flood, of which only the two ends are kept."""

_CHUNK = 2**20

_decoder = codecs.getincrementaldecoder("utf-8")


class Tap:
    """Reader of a file that others append to.

    Args:
        fd: the file; it stays open.
        is_ours: whether the file may be emptied after it was read.

    Attributes:
        fd: the file. There is new text when its end is not at `position`; the hot path checks that itself.
        position: number of bytes that were read or skipped.
    """

    def __init__(self, fd: int, *, is_ours: bool) -> None:
        self.fd = fd
        self.position = os.lseek(fd, 0, os.SEEK_END)
        self._is_ours = is_ours
        self._decode = _decoder("backslashreplace")

    def read(self) -> Iterator[str]:
        """Yield the new text in parts. Bytes that are not UTF-8 are shown escaped."""
        end = os.lseek(self.fd, 0, os.SEEK_END)
        if end < self.position:  # a program has truncated it: `echo > /dev/stdout`
            self.position = 0
        if end - self.position > LARGEST_FILE:  # only the two ends are kept; a sparse file may claim any size
            yield from self._until(self.position + LARGEST_FILE // 2)
            self.position = end - LARGEST_FILE // 2
        yield from self._until(end)
        if self._is_ours and self.position >= LARGEST_FILE:
            os.ftruncate(self.fd, 0)
            self.position = 0

    def _until(self, end: int) -> Iterator[str]:
        while self.position < end:
            data = os.pread(self.fd, min(_CHUNK, end - self.position), self.position)
            if not data:
                break
            self.position += len(data)
            yield self._decode.decode(data)

    def skip(self) -> None:
        """Skip all text so far."""
        self.position = os.lseek(self.fd, 0, os.SEEK_END)

    def rest(self) -> str:
        """Return the bytes of an incomplete character at the end, escaped."""
        return self._decode.decode(b"", final=True)


def restore_descriptor(tap: Tap, fd: int, source: int) -> None:
    """Restore `fd` if a task has closed or redirected it.

    Args:
        tap: the reader of the file that `fd` belongs to.
        fd: the descriptor.
        source: a writable descriptor of the same file.
    """
    try:
        if os.path.samestat(os.fstat(fd), os.fstat(tap.fd)):
            return
    except OSError:
        pass  # closed
    os.dup2(source, fd)


def divert_stdout() -> Tap:
    """Redirect descriptor 1 to a temporary file; return the reader of the file."""
    with tempfile.TemporaryFile() as file:
        fd = os.dup(file.fileno())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    os.dup2(fd, 1)
    return Tap(fd, is_ours=True)


def tap_stderr(log: Path) -> Tap | None:
    """Return a reader of the log, if descriptor 2 writes to it, else `None`.

    Descriptor 2 is not redirected: the last lines of a process that dies must be in its log.
    """
    is_nameless = log == path_of_descriptor(2)  # as on an engine: the path is a link to the open file itself
    try:
        fd = os.open(log, os.O_RDONLY | os.O_CLOEXEC | (0 if is_nameless else os.O_NOFOLLOW))
    except OSError:
        return None
    if not os.path.samestat(os.fstat(fd), os.fstat(2)):
        os.close(fd)
        return None
    return Tap(fd, is_ours=False)


def set_line_buffering() -> Callable[[], object]:
    """Make C's and Python's own stdout line-buffered, as on a terminal; return a function that flushes C's."""
    own: Any = sys.__stdout__
    if own is not None:
        own.reconfigure(line_buffering=True)
    if sys.platform != "linux":
        return _nothing
    import ctypes

    libc = ctypes.CDLL(None)
    stdout = ctypes.c_void_p.in_dll(libc, "stdout")
    line_buffered = 1
    libc.setvbuf(stdout, None, line_buffered, 0)
    return lambda: libc.fflush(stdout)


def _nothing() -> None:
    pass
