"""The settings of this process as they travel with what it submits."""

from __future__ import annotations

import decimal
import logging
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.serialize.values import pickle_alone
from taskfc_ext.settings.numbers import error_variable, print_variable
from taskfc_ext.settings.setting import Setting
from taskfc_ext.settings.table import TABLE

MAX_SETTING = 2**16
"""Bytes of one setting; a larger one is data, and stays here."""

PAUSE_RATIO = 4
"""After a pause of this many times what a look takes, there is one: what was set meanwhile takes as long itself."""


class _Registered(NamedTuple):
    """A setting that a user has registered."""

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
    """Let a setting of a library that we do not know travel with tasks, and end with them.

    Args:
        name: of the setting; a second one of this name takes its place.
        module: it is written in the task as soon as this module is imported there.
        read: returns the present value: small, of plain types, and equal as long as nothing has changed.
        write: takes a value and makes it the present one. Both functions travel with the task.
        default: the library's own value, which need not travel.
    """
    _registered[name] = _Registered(module, read, write, default)
    here.invalidate()


def unregister(name: str) -> None:
    """Let a registered setting travel no more."""
    _registered.pop(name, None)
    here.forget(_key(name))


def _key(name: str) -> str:
    """Return the key of a registered setting, which may have the name of one in `TABLE`."""
    return f"{name} (registered)"


class Travel:
    """The settings that travel, as they were at the last look.

    Attributes:
        body: those that have to travel, pickled; the same object until one changes.
        marks: tells of a few at once whether they have changed since; of the others only the next look tells.
        pause: seconds between two submissions in which others may have been changed.
    """

    def __init__(self) -> None:
        self.body = b""
        self._settings = [setting for setting in TABLE if setting.pack is not None]
        self._taken: dict[str, Any] = {}
        self._packed: dict[str, Any] = {}
        self._is_stale = False
        self._quick_pause = self._thorough_pause = 0.0
        self.marks = Marks.of_now()
        self.invalidate()

    def invalidate(self) -> None:
        """Let the next submission look at all of them."""
        self.pause = 0.0

    def forget(self, name: str) -> None:
        """Let a setting stay here from now on."""
        self._packed[name] = None
        self._taken.pop(name, None)
        self._is_stale = True
        self.invalidate()

    def update(self, pause: float) -> bytes:
        """Bring `body` up to date, and return it.

        Args:
            pause: seconds since the last submission; after a long one, what takes long to read is looked at as well.
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
        else:
            # the least of all: a look that the machine has held up tells nothing of the next one
            cost = PAUSE_RATIO * (time.perf_counter() - began)
            if is_thorough:
                self._thorough_pause = min(cost, self._thorough_pause or cost)
            self.pause = self._quick_pause = min(cost, self._quick_pause or cost)
        self.marks = Marks.of_now()
        return self.body

    def _read(self, setting: Setting, is_thorough: bool) -> bool:
        """Pack a setting if it has changed; return whether that made a difference."""
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
        except Exception:  # noqa: BLE001  half imported, or another version of a library
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
    """What of a few settings can be compared at once, as they are changed in loops. None is known before a look."""

    limit: int
    filters: list[Any]
    precision: int
    numpy_errors: Callable[[], Any]
    errors: Any
    numpy_printing: Callable[[], Any]
    printing: Any

    @classmethod
    def of_now(cls) -> Marks:
        """Return those of now; in the root logger's cache stands `LOG_MARK` until a level is changed."""
        root_cache[LOG_MARK] = True
        errors, printing = _getter(error_variable()), _getter(print_variable())
        now = getlimit(), list(warnings.filters), getcontext().prec
        return cls(*now, errors, errors(), printing, printing())


LOG_MARK: Any = "taskfc_ext travel"
"""A key in the root logger's cache, which each change of any level empties."""

getlimit = sys.getrecursionlimit
getcontext = decimal.getcontext
root_cache: dict[Any, bool] = vars(logging.root)["_cache"]


def _getter(variable: Any) -> Callable[[], Any]:
    return tuple if variable is None else variable.get  # the quickest that returns the same each time


def _body(value: Any) -> bytes | None:
    """Return `value` pickled; without what cannot be, and `None` for nothing of it."""
    if value is None:
        return None
    try:
        body = pickle_alone(value)
        return body if len(body) <= MAX_SETTING else None
    except Exception:  # noqa: BLE001  a lock, an open file
        if not isinstance(value, dict):
            return None
    left = {name: part for name, part in value.items() if _body(part) is not None or part is None}
    return _body(left) if left and len(left) < len(value) else None


here = Travel()
"""The settings of this process."""
