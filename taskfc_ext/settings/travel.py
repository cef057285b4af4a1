"""Settings of this process that are sent with its submissions."""

from __future__ import annotations

import decimal
import logging
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from taskfc_ext.serialize.bodies import join
from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.serialize.values import pickle_alone
from taskfc_ext.settings.numeric import error_variable, print_variable
from taskfc_ext.settings.setting import Setting
from taskfc_ext.settings.table import TABLE

MAX_SETTING = 2**16
"""Largest setting in bytes; a larger one is data and is not sent."""

PAUSE = 3e-6
"""Seconds between two submissions of a loop; after a longer pause, settings are read again, which takes some 10 us. To
set an option of pandas takes as long."""

CAREFUL = 1000
"""Submissions after a change for which settings are read each time: a loop that sets one sets it again, and some are
set in a microsecond."""

PAUSE_RATIO = 4
"""Settings that are slow to read are read after a pause of this many times the cost of reading, ..."""

MAX_PAUSE = 5e-4
"""... and after this many seconds in any case, so that a loop which waits for each result has them read each time: no
round trip is as short. A first reading on a busy machine may have taken longer than a round trip."""


class _Registered(NamedTuple):
    """A setting registered by a user."""

    module: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    default: Any


_registered: dict[str, _Registered] = {}


def register(
    name: str,
    module: str,
    read: Callable[[], Any],
    write: Callable[[Any], object],
    *,
    default: object = ABSENT,
) -> None:
    """Register a setting of another library: it is sent with tasks, and restored after them.

    Args:
        name: the name of the setting; replaces an earlier one of this name.
        module: in a task, the setting is written as soon as this module is imported.
        read: returns the current value: small, of plain types, and equal as long as nothing has changed.
        write: sets a value. Both functions are sent with the task.
        default: the library's own value, which is not sent.
    """
    _registered[name] = _Registered(module, read, write, default)
    here.invalidate()


def unregister(name: str) -> None:
    """Remove a registered setting: it is not sent any more."""
    _registered.pop(name, None)
    here.forget(_key(name))


def _key(name: str) -> str:
    """Return the key of a registered setting, whose name may also be in `TABLE`."""
    return f"{name} (registered)"


class SentSettings:
    """The settings to send, as last read.

    Attributes:
        body: the settings that differ from their defaults, pickled; the same object until one changes.
        marks: the values of a few settings that are cheap to compare at each submission.
        pause: seconds between two submissions after which the other settings are read again: 0 or `PAUSE`.
    """

    def __init__(self) -> None:
        self.body = b""
        self._settings = [setting for setting in TABLE if setting.pack is not None]
        self._taken: dict[str, Any] = {}
        self._packed: dict[str, Any] = {}
        self._is_stale = False
        self._thorough_pause = 0.0
        self._n_careful = 0
        self.marks = Marks.current()
        self.invalidate()

    def invalidate(self) -> None:
        """Make the next submission read all settings again."""
        self.pause = 0.0

    def forget(self, name: str) -> None:
        """Remove a setting: it is not sent any more."""
        self._packed[name] = None
        self._taken.pop(name, None)
        self._is_stale = True
        self.invalidate()

    def update(self, pause: float) -> bytes:
        """Read the settings again; return the new `body`.

        Args:
            pause: seconds since the last submission; after a long one, slow settings are read too.
        """
        began = time.perf_counter()
        changed, self._is_stale = self._is_stale, False
        is_thorough = pause >= self._thorough_pause
        for setting in self._settings:
            if not setting.module or setting.module in sys.modules:
                changed |= self._read(setting, is_thorough)
        for name, registered in _registered.items():
            if registered.module in sys.modules:
                changed |= self._read_registered(_key(name), registered)
        if changed:
            packed = {name: body for name, body in self._packed.items() if body is not None}
            body = pickle.dumps(packed, 5) if packed else b""
            if body != self.body:
                self.body = body
                self._n_careful = CAREFUL
        elif is_thorough:
            # the minimum: a read that was delayed by other load says nothing about the next one
            cost = PAUSE_RATIO * (time.perf_counter() - began)
            self._thorough_pause = min(cost, self._thorough_pause or cost, MAX_PAUSE)
        self._n_careful = max(0, self._n_careful - 1)
        self.pause = 0.0 if changed or self._n_careful else PAUSE
        self.marks = Marks.current()
        return self.body

    def _read(self, setting: Setting, is_thorough: bool) -> bool:
        """Read a setting and pack it if it has changed; return whether its packed form differs."""
        name = setting.name
        try:
            if name in self._taken:
                seen, taken = self._taken[name]
                if setting.read() == seen and not (
                    is_thorough and setting.read_fully is not None and setting.read_fully() != taken
                ):
                    return False
            self._taken[name] = setting.take(), setting.take_fully()
            assert setting.pack is not None
            body = _body(setting.pack())
        except Exception:  # noqa: BLE001  partly imported, or another version of the library
            body = None
        return self._keep(name, body)

    def _read_registered(self, name: str, registered: _Registered) -> bool:
        try:
            value = registered.read()
            if name in self._taken and value == self._taken[name]:
                return False
            self._taken[name] = value
            is_usual = registered.default is not ABSENT and value == registered.default
            body = None if is_usual else _body((registered.read, registered.write, value))
        except Exception:  # noqa: BLE001  the user's own functions
            body = None
        return self._keep(name, None if body is None else (registered.module, body))

    def _keep(self, name: str, packed: Any) -> bool:
        if self._packed.get(name) == packed:
            return False
        self._packed[name] = packed
        return True


class Marks(NamedTuple):
    """Values of a few settings that may change in loops of submissions, so they are compared at each submission."""

    limit: int
    filters: list[Any]
    precision: int
    rounding: str
    numpy_errors: Callable[[], Any]
    errors: Any
    numpy_printing: Callable[[], Any]
    printing: Any

    @classmethod
    def current(cls) -> Marks:
        """Return the current values, and put `LOG_MARK` into the root logger's cache until a level changes."""
        root_cache[LOG_MARK] = True
        errors, printing = _getter(error_variable()), _getter(print_variable())
        now = getlimit(), list(warnings.filters), getcontext().prec, getcontext().rounding
        return cls(*now, errors, errors(), printing, printing())


LOG_MARK: Any = "taskfc_ext travel"
"""A key in the root logger's cache, which every change of a level clears."""

getlimit = sys.getrecursionlimit
getcontext = decimal.getcontext
root_cache: dict[Any, bool] = vars(logging.root)["_cache"]


def _getter(variable: Any) -> Callable[[], Any]:
    return tuple if variable is None else variable.get  # `tuple` is the fastest constant function


def _body(value: Any) -> bytes | None:
    """Return `value` pickled, without the parts that cannot be pickled; `None` if nothing is left."""
    if value is None:
        return None
    try:
        body = pickle_alone(value)
        return join(body) if len(body) <= MAX_SETTING else None
    except Exception:  # noqa: BLE001  a lock, an open file
        if not isinstance(value, dict):
            return None
    left = {name: part for name, part in value.items() if _body(part) is not None or part is None}
    return _body(left) if left and len(left) < len(value) else None


here = SentSettings()
"""The settings of this process."""
