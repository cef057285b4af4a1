"""Trial pickling: a check whether a value can be pickled, within limits of size and time."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from typing import Any

from taskfc_ext.serialize.exceptions import Exceptions
from taskfc_ext.serialize.limited import LimitedFile
from taskfc_ext.serialize.pickler import Pickler, dump_by

_CHECK_EVERY = 64


class _TrialPickler(Pickler):
    """Pickler that remembers the object that it reduced last."""

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
        Exception: it cannot be pickled; raised by its own code or by pickle.
    """

    def make() -> _TrialPickler:
        file.clear()
        pickler = _TrialPickler(file)
        pickler.exceptions = exceptions
        return pickler

    dump_by(make, value)


def trial(value: object, seconds: float) -> tuple[object, Exception | None]:
    """Pickle `value` without keeping the result; return the object reduced last, and the error, if any.

    Guesses are left out: they cannot be at fault, as the failed pickle was tried without them too.
    """
    pickler = _TrialPickler(LimitedFile(math.inf, time.perf_counter() + seconds), buffer_callback=_leave_alone)
    pickler.sends_guesses = False
    try:
        pickler.dump(value)
    except Exception as error:  # noqa: BLE001  the user's `__reduce__`
        return pickler.last, error
    return pickler.last, None


def _leave_alone(buffer: pickle.PickleBuffer) -> bool:
    """Take a large buffer without reading it."""
    return False
