"""Bodies in messages: a pickle, and large buffers behind it, which are not copied into the pickle.

A body without large buffers is the pickle itself. A body with large buffers begins with `_MARK` and a table of their
positions. It is written to a file from its `Pieces`, and its reader maps that file: arrays are views of the mapping,
in which only written pages are copied.
"""

from __future__ import annotations

import mmap
import pickle
import struct
from collections.abc import Sequence

MIN_BUFFER = 64 * 1024
"""Smallest buffer in bytes that is kept out of the pickle: to copy a smaller one costs less than to map it."""

Received = bytes | bytearray | mmap.mmap
"""A body at its receiver: one that stood in a file can be written to."""

_MARK = b"B"  # a pickle begins with b"\x80"
_COUNT = struct.Struct("<I")
_ROW = struct.Struct("<QQ")
_ALIGNMENT = 64
"""Bytes: the alignment that vector instructions need and arrays have."""


class Pieces:
    """A large body whose pieces are not joined yet, as that would copy them.

    Args:
        parts: the pieces, in order; some are views of the user's objects.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: list[bytes | memoryview]) -> None:
        self._parts = parts

    @property
    def parts(self) -> list[bytes | memoryview]:
        """The pieces, in order."""
        return self._parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))


Body = bytes | Pieces
"""A body at its sender."""


class Buffers:
    """The large buffers of one pickle; `take` is a pickler's `buffer_callback`.

    Attributes:
        n_bytes: the size of the buffers that were taken.
    """

    def __init__(self) -> None:
        self._found: list[memoryview] = []
        self.n_bytes = 0

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Take `buffer` and return false; return true if it stays in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < MIN_BUFFER:
            return True
        self._found.append(raw)
        self.n_bytes += raw.nbytes
        return False

    def clear(self) -> None:
        """Remove all buffers: the pickle is made again."""
        self._found.clear()
        self.n_bytes = 0

    def body(self, pickled: bytes) -> Body:
        """Return the body of `pickled` and these buffers: in pieces if there are some."""
        if not self._found:
            return pickled
        head = len(_MARK) + _COUNT.size + _ROW.size * (len(self._found) + 1)
        at = head + len(pickled)
        rows, parts = [_ROW.pack(head, len(pickled))], list[bytes | memoryview]()
        for raw in self._found:
            gap = -at % _ALIGNMENT
            at += gap
            rows.append(_ROW.pack(at, raw.nbytes))
            parts += (bytes(gap), raw)
            at += raw.nbytes
        return Pieces([b"".join([_MARK, _COUNT.pack(len(rows)), *rows]), pickled, *parts])


def join(body: Body) -> bytes:
    """Return `body` as one object."""
    return body if isinstance(body, bytes) else b"".join(body.parts)


def parts_of(body: Body) -> Sequence[bytes | memoryview]:
    """Return the pieces of `body`, in order."""
    return body.parts if isinstance(body, Pieces) else (body,)


def has_buffers(body: Received) -> bool:
    """Return whether `body` has large buffers."""
    return body[:1] == _MARK


def size_without_buffers(body: Body) -> int:
    """Return the size in bytes of the pickle in `body`."""
    return len(body) if isinstance(body, bytes) else len(body.parts[1])


def split_body(body: Received) -> tuple[memoryview, list[memoryview]]:
    """Return (pickle, buffers) of a body; all are views of it, or of a copy where it is read-only."""
    if not has_buffers(body):
        return memoryview(body), []
    view = memoryview(bytearray(body) if isinstance(body, bytes) else body)  # what was sent can be written to
    (count,) = _COUNT.unpack_from(view, len(_MARK))
    first = len(_MARK) + _COUNT.size
    rows = [_ROW.unpack_from(view, first + i * _ROW.size) for i in range(count)]
    pickled, *buffers = [view[at : at + size] for at, size in rows]
    return pickled, buffers
