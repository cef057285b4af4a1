"""Bodies of code in messages: a pickle, the source lines of its cells, and large buffers behind it.

A body without large buffers is the pickle itself. A body with large buffers begins with `_MARK` and a table of their
positions. A worker maps it once and gives each attempt a private view, in which only written pages are copied.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
from collections.abc import Callable
from typing import Any

MIN_BUFFER = 64 * 1024
"""Smallest buffer in bytes that is kept out of the pickle: to copy a smaller one costs less than to map it."""

_MARK = b"B"  # a pickle begins with b"\x80"
_COUNT = struct.Struct("<I")
_ROW = struct.Struct("<QQ")
_ALIGNMENT = 64
"""Bytes: the alignment that vector instructions need and arrays have."""


class Buffers:
    """The large buffers of one pickle; `take` is a pickler's `buffer_callback`."""

    def __init__(self) -> None:
        self._found: list[memoryview] = []

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Take `buffer` and return false; return true if it stays in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < MIN_BUFFER:
            return True
        self._found.append(raw)
        return False

    def clear(self) -> None:
        """Remove all buffers: the pickle is made again."""
        self._found.clear()

    def body(self, pickled: bytes) -> bytes:
        """Return the body of `pickled` and these buffers."""
        if not self._found:
            return pickled
        head = len(_MARK) + _COUNT.size + _ROW.size * (len(self._found) + 1)
        rows, at = [_ROW.pack(head, len(pickled))], head + len(pickled)
        for raw in self._found:
            at += -at % _ALIGNMENT
            rows.append(_ROW.pack(at, raw.nbytes))
            at += raw.nbytes
        file = io.BytesIO()
        file.write(b"".join([_MARK, _COUNT.pack(len(rows)), *rows, pickled]))
        for raw in self._found:
            file.write(bytes(-file.tell() % _ALIGNMENT))
            file.write(raw)
        return file.getvalue()


def has_buffers(body: bytes) -> bool:
    """Return whether `body` has large buffers."""
    return body[:1] == _MARK


def size_without_buffers(body: bytes) -> int:
    """Return the size in bytes of the pickle in `body`."""
    if not has_buffers(body):
        return len(body)
    size: int = _ROW.unpack_from(body, len(_MARK) + _COUNT.size)[1]
    return size


def split_body(body: Any) -> tuple[io.BytesIO, list[memoryview]]:
    """Return (pickle, buffers) of a body or of a mapping of one. The buffers are views of it."""
    view = memoryview(body)
    if view[:1] != _MARK:
        return io.BytesIO(view), []
    (count,) = _COUNT.unpack_from(view, len(_MARK))
    first = len(_MARK) + _COUNT.size
    rows = [_ROW.unpack_from(view, first + i * _ROW.size) for i in range(count)]
    (at, size), *buffers = rows
    return io.BytesIO(view[at : at + size]), [view[at : at + size] for at, size in buffers]


class Mapped:
    """A body in memory that each attempt maps privately: no attempt sees what another one writes.

    Args:
        body: the body.

    Raises:
        OSError: not enough memory.
    """

    def __init__(self, body: bytes) -> None:
        self._size = len(body)
        self._fd = _memory_file()
        try:
            with open(self._fd, "wb", closefd=False) as file:
                file.write(body)
        except BaseException:
            os.close(self._fd)
            raise

    def __len__(self) -> int:
        return self._size

    def view(self) -> mmap.mmap:
        """Return a new private mapping; it lasts as long as the arrays in it."""
        return mmap.mmap(self._fd, self._size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        try:
            close(self._fd)
        except (AttributeError, OSError):  # never opened, or closed by a task
            pass


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("taskfc-code", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
