"""Pickling on trial: whether a value can be pickled, without keeping what comes of it, within a limit."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from typing import Any

from taskfc_ext.serialize.exceptions import Exceptions
from taskfc_ext.serialize.pickler import Pickler

_CHECK_EVERY = 64


class LimitReached(Exception):
    """The trial was given up: it is not known whether the value can be pickled."""


class LimitedFile(io.RawIOBase):
    """Takes so many bytes, for so long.

    Args:
        limit: in bytes.
        deadline: on the clock of `time.perf_counter`.
        body: what they are kept in; nothing for a trial.
    """

    def __init__(self, limit: int, deadline: float = float("inf"), body: io.BytesIO | None = None) -> None:
        self._size = 0
        self._limit = limit
        self._deadline = deadline
        self._body = body

    def write(self, data: Any) -> int:
        n = memoryview(data).nbytes
        self._size += n
        self.check()
        if self._body is not None:
            self._body.write(data)
        return n

    def check(self) -> None:
        """Raise if there is no more room or time."""
        if self._size > self._limit:
            raise LimitReached(f"it is larger than {self._limit:,} bytes when pickled")
        if time.perf_counter() > self._deadline:
            raise LimitReached("it takes long to pickle")


class _TrialPickler(Pickler):
    """Remembers which object it asked last how it is pickled."""

    last: object = None
    _n_asked = 0

    def __init__(self, file: LimitedFile, buffer_callback: Callable[[Any], Any] | None = None) -> None:
        super().__init__(file, buffer_callback)
        self._limits = file

    def reducer_override(self, obj: object) -> object:
        self.last = obj
        self._n_asked += 1
        if self._n_asked % _CHECK_EVERY == 0:
            self._limits.check()
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


def trial(value: object, seconds: float) -> tuple[object, Exception | None]:
    """Pickle `value` into nowhere; return the object that was asked last how it is pickled, and what went wrong."""
    pickler = _TrialPickler(LimitedFile(2**62, time.perf_counter() + seconds), buffer_callback=_leave_alone)
    pickler.exceptions = Exceptions()
    try:
        pickler.dump(value)
    except Exception as error:  # noqa: BLE001  the user's `__reduce__`
        return pickler.last, error
    return pickler.last, None


def _leave_alone(buffer: pickle.PickleBuffer) -> bool:
    """Touch no byte of large arrays."""
    return False
