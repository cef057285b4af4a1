"""A file that takes so many bytes, for so long."""

from __future__ import annotations

import io
import pickle
import time
from typing import Any


class LimitReached(Exception):
    """Pickling was given up: it is not known whether the value can be pickled."""


class LimitedFile(io.RawIOBase):
    """Takes so many bytes, for so long.

    Args:
        limit: in bytes; infinity for none.
        deadline: on the clock of `time.perf_counter`.
        body: what they are kept in; nothing where only their number is wanted.

    Attributes:
        size: how many bytes came.
    """

    def __init__(self, limit: float, deadline: float = float("inf"), body: io.BytesIO | None = None) -> None:
        self.size = 0
        self._limit = limit
        self._deadline = deadline
        self._body = body

    def write(self, data: Any) -> int:
        n = memoryview(data).nbytes
        self.size += n
        self.check()
        if self._body is not None:
            self._body.write(data)
        return n

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a large buffer past the pickle, where it would be copied; return true where it is to stay in that."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        self.write(raw)
        return False

    def check(self) -> None:
        """Raise if there is no more room or time."""
        if self.size > self._limit:
            raise LimitReached(f"it is larger than {self._limit:,} bytes when pickled")
        if time.perf_counter() > self._deadline:
            raise LimitReached("it takes long to pickle")

    def clear(self) -> None:
        """Forget all bytes: the pickle is made again."""
        self.size = 0
        if self._body is not None:
            self._body.seek(0)
            self._body.truncate()
