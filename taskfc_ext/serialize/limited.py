"""Files with limits of size, and of time, for pickling."""

from __future__ import annotations

import io
import pickle
import time
from typing import Any

from taskfc_ext.serialize.bodies import Buffers


class LimitReached(Exception):
    """Pickling was stopped at a limit: it is not known whether the value can be pickled."""


class LimitedFile(io.RawIOBase):
    """File with limits of size and time.

    Args:
        limit: the largest size in bytes; infinity for none.
        deadline: the end of the time, on the clock of `time.perf_counter`.
        body: holds the content; `None` if only the size is needed.

    Attributes:
        size: the number of bytes written.
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
        """Take a large buffer without a copy and return false; return true if it stays in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        self.write(raw)
        return False

    def check(self) -> None:
        """Raise `LimitReached` if a limit is exceeded."""
        _check_size(self.size, self._limit)
        if time.perf_counter() > self._deadline:
            raise LimitReached("it takes too long to pickle")

    def clear(self) -> None:
        """Remove the content: the pickle is made again."""
        self.size = 0
        if self._body is not None:
            self._body.seek(0)
            self._body.truncate()


class LimitedBuffer(io.BytesIO):
    """File in memory that takes no more than `limit` bytes; the limit may change between two writes."""

    limit = float("inf")

    def write(self, data: Any) -> int:
        _check_size(self.tell() + memoryview(data).nbytes, self.limit)
        return super().write(data)


class LimitedBuffers(Buffers):
    """Buffers that count against the limit of the file with their pickle."""

    def __init__(self, file: LimitedBuffer) -> None:
        super().__init__()
        self._file = file

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        n_before = self.n_bytes
        stays = super().take(buffer)
        self._file.limit -= self.n_bytes - n_before
        _check_size(self._file.tell(), self._file.limit)
        return stays


def _check_size(size: int, limit: float) -> None:
    if size > limit:
        raise LimitReached(f"it is larger than {limit:,} bytes when pickled")
