"""Pickling on trial: whether a value can be pickled, without keeping what comes of it, within a limit."""

from __future__ import annotations

import io
import time
from typing import Any

from taskfc_ext.serialize.code_names import NotingPickler
from taskfc_ext.serialize.exceptions import Exceptions

_PROTOCOL = 5


class LimitReached(Exception):
    """The trial was given up: it is not known whether the value can be pickled."""


class LimitedFile(io.RawIOBase):
    """Counts the bytes that are written, and refuses more than so many, or when it has got too late.

    Args:
        limit: in bytes.
        deadline: on the clock of `time.perf_counter`.
        body: what they are kept in; nothing for a trial.
    """

    def __init__(self, limit: int, deadline: float = float("inf"), body: io.BytesIO | None = None) -> None:
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

    def check(self) -> None:
        """Raise if there is no more room or time."""
        if self.size > self._limit:
            raise LimitReached(f"it is larger than {self._limit:,} bytes when pickled")
        if time.perf_counter() > self._deadline:
            raise LimitReached("it takes long to pickle")


class _TrialPickler(NotingPickler):
    def __init__(self, file: LimitedFile) -> None:
        super().__init__(file, _PROTOCOL)
        self._file = file

    def reducer_override(self, obj: object) -> object:
        self._file.check()
        return super().reducer_override(obj)


def try_to_pickle(value: object, file: LimitedFile, exceptions: Exceptions) -> None:
    """Pickle `value` into `file`.

    Raises:
        LimitReached: it is too large for the file, or takes too long.
        Exception: it cannot be pickled.
    """
    pickler = _TrialPickler(file)
    pickler.exceptions = exceptions
    pickler.dump(value)
