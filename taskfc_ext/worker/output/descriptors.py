"""What is written to the process's own stdout and stderr past Python: by C code, and by the programs that it starts.

Both go to files and not to pipes: a pipe that is full holds up whoever writes to it, and a C call that holds the GIL
would then wait for ever for the thread that reads.
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

LARGEST_FILE = 64 * 2**20
"""Bytes at which a file that has been read begins anew. What is written in that very moment is lost; that is out of
the middle of a flood, of which only the two ends are kept."""

_CHUNK = 2**20

_decoder = codecs.getincrementaldecoder("utf-8")


class Tap:
    """Reads what is new in a file that others append to.

    Args:
        fd: the file; it stays open.
        is_ours: nobody else needs what has been read.

    Attributes:
        fd: to be looked at on the hot path: there is news when its end is not at `seen`.
        seen: bytes that were read or skipped.
    """

    def __init__(self, fd: int, *, is_ours: bool) -> None:
        self.fd = fd
        self.position = os.lseek(fd, 0, os.SEEK_END)
        self._is_ours = is_ours
        self._decode = _decoder("backslashreplace")

    def read(self) -> Iterator[str]:
        """Yield what is new, in parts, as text of UTF-8; what is not is shown escaped."""
        end = os.lseek(self.fd, 0, os.SEEK_END)
        if end < self.position:  # somebody has opened it by its name and so emptied it: `echo > /dev/stdout`
            self.position = 0
        if end - self.position > LARGEST_FILE:  # of so much only the two ends are kept: a file may be told to be vast
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
        """Take everything up to now for read."""
        self.position = os.lseek(self.fd, 0, os.SEEK_END)

    def rest(self) -> str:
        """Return what is left of a character whose end never came; the next one that writes begins anew."""
        return self._decode.decode(b"", final=True)


def restore_descriptor(tap: Tap, fd: int, source: int) -> None:
    """Let `fd` write to where it did, if a task has closed it or let it write elsewhere.

    Args:
        tap: what reads it.
        source: a descriptor of the same file that can be written to.
    """
    try:
        if os.path.samestat(os.fstat(fd), os.fstat(tap.fd)):
            return
    except OSError:
        pass  # closed
    os.dup2(source, fd)


def divert_stdout() -> Tap:
    """Let descriptor 1 write to a file of ours; return what reads it."""
    with tempfile.TemporaryFile() as file:
        fd = os.dup(file.fileno())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    os.dup2(fd, 1)
    return Tap(fd, is_ours=True)


def tap_stderr(log: Path) -> Tap | None:
    """Return what reads the log that descriptor 2 writes to; `None` when that is not so.

    It goes on to write there: the last words of a process that dies have to be where others find them.
    """
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if not os.path.samestat(os.fstat(fd), os.fstat(2)):
        os.close(fd)
        return None
    return Tap(fd, is_ours=False)


def set_line_buffering() -> Callable[[], object]:
    """Let C's and Python's own stdout write every line at once, as on a terminal; return what flushes the first."""
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
