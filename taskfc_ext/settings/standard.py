"""Settings of modules of the standard library."""

from __future__ import annotations

import _locale
import decimal
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from taskfc_ext.settings import log
from taskfc_ext.settings.setting import Entries, Setting, Value, attribute
from taskfc_ext.settings.twister import quick_read_of_random

_warnings: Any = warnings
_mutated: Callable[[], None] = getattr(warnings, "_filters_mutated", None) or _warnings._filters_mutated_lock_held
_getcontext = decimal.getcontext


# warnings


def forget_shown_warnings() -> None:
    """Let each warning be shown again where filters say "once" or "the first time"."""
    _mutated()
    _warnings.onceregistry.clear()


def _write_filters(value: list[Any]) -> None:
    _warnings.filters[:] = value
    _mutated()


def _pack_filters() -> list[Any]:
    """Return the filters as plain values, except for filters whose category is defined in the notebook."""
    found = []
    for action, message, category, module, line in _warnings.filters:
        if category.__module__ != "__main__":
            where = category.__module__, category.__qualname__
            found.append((action, _pattern(message), where, _pattern(module), line))
    return found


def _pattern(pattern: Any) -> Any:
    return pattern if pattern is None or isinstance(pattern, str) else (pattern.pattern, pattern.flags)


def _unpack_filters(packed: list[Any]) -> bool:
    found, is_whole = [], True
    for action, message, (module, name), where, line in packed:
        category: Any = sys.modules.get(module)
        for part in name.split("."):
            category = getattr(category, part, None)
        if category is None:
            is_whole = False
        else:
            found.append((action, _compile(message), category, _compile(where), line))
    _write_filters(found)
    return is_whole


def _compile(pattern: Any) -> Any:
    import re

    return re.compile(*pattern) if isinstance(pattern, tuple) else pattern


def _read_showing() -> tuple[object, ...]:
    return warnings.showwarning, warnings.formatwarning, _warnings.defaultaction


def _write_showing(value: tuple[Any, ...]) -> None:
    _warnings.showwarning, _warnings.formatwarning, _warnings.defaultaction = value
    _mutated()


# decimal


def _read_decimal() -> Any:
    return _reduced(_getcontext())[1]


def _read_all_decimals() -> Any:
    return [_reduced(context)[1] for context in (_getcontext(), decimal.DefaultContext)]


_reduced: Callable[[Any], Any] = decimal.Context.__reduce__
_traps = [decimal.DivisionByZero, decimal.Overflow, decimal.InvalidOperation]
_USUAL = _reduced(
    decimal.Context(28, decimal.ROUND_HALF_EVEN, -999999, 999999, capitals=1, clamp=0, flags=[], traps=_traps)
)[1]


def _write_decimal(value: Any) -> None:
    own, default = [decimal.Context(*options) for options in value]
    decimal.setcontext(own)
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "flags", "traps"):
        setattr(decimal.DefaultContext, name, getattr(default, name))


def _pack_decimal() -> Any:
    *options, _flags, traps = _read_decimal()
    packed = (*options, [], traps)
    return None if packed == _USUAL else packed


# the time zone


def _read_zone() -> tuple[object, ...]:
    return time.tzname, time.timezone, time.altzone


_AT_START = _read_zone()

_variables: dict[Any, str | None] = {_AT_START: os.environ.get("TZ")}
"""The variable `TZ` by time zone. That of the start is noted here, before a context sets another one."""


class _Zone(Value):
    def take(self) -> Any:
        zone = _read_zone()
        _variables.setdefault(zone, os.environ.get("TZ"))
        return zone


def _write_zone(zone: Any) -> None:
    present = os.environ.get("TZ")
    try:
        _set_variable(_variables.get(zone))
        time.tzset()
    finally:
        _set_variable(present)


def _set_variable(zone: str | None) -> None:
    if zone is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = zone


def _pack_zone() -> bool | None:
    """Return `True` if `time.tzset` was called after `TZ` had changed. The environment itself is sent separately."""
    return True if _read_zone() != _AT_START else None


# the others


def _read_locale() -> str:
    return _locale.setlocale(_locale.LC_ALL)


def _read_loops() -> tuple[object, ...]:
    policy = vars(sys.modules["asyncio.events"])["_event_loop_policy"]
    local = getattr(policy, "_local", None)
    return policy, getattr(local, "_loop", None), getattr(local, "_set_called", False)


def _write_loops(value: tuple[Any, ...]) -> None:
    policy, loop, _ = value
    if policy is not None and loop is None:
        policy._local = type(policy._local)()
    vars(sys.modules["asyncio.events"])["_event_loop_policy"] = policy


STANDARD: tuple[Setting, ...] = (
    _Zone(name="time zone", read=_read_zone, write=_write_zone, pack=_pack_zone, unpack=lambda packed: time.tzset()),
    Entries(
        name="warning filters",
        read=lambda: warnings.filters,
        write=_write_filters,
        pack=_pack_filters,
        unpack=_unpack_filters,
    ),
    Value(name="`warnings.showwarning`, `warnings.formatwarning`", read=_read_showing, write=_write_showing),
    Value(
        name="decimal context",
        read=_read_decimal,
        read_fully=_read_all_decimals,
        write=_write_decimal,
        pack=_pack_decimal,
        unpack=lambda packed: decimal.setcontext(decimal.Context(*packed)),
        is_in_context=True,
    ),
    Value(
        name="log levels and handlers (`logging`)",
        read=log.read,
        read_fully=log.read_fully,
        write=log.write,
        pack=log.pack,
        unpack=log.unpack,
    ),
    Value(name="random state of `random`", read=quick_read_of_random(), write=lambda value: random.seed()),
    Value(name="locale", read=_read_locale, write=lambda value: _locale.setlocale(_locale.LC_ALL, value)),
    Value(
        name="default time-out of sockets",
        module="_socket",
        read=lambda: sys.modules["_socket"].getdefaulttimeout(),
        write=lambda value: sys.modules["_socket"].setdefaulttimeout(value),
    ),
    Value(
        name="`csv.field_size_limit`",
        module="_csv",
        read=lambda: sys.modules["_csv"].field_size_limit(),
        write=lambda value: sys.modules["_csv"].field_size_limit(value),
    ),
    Value(name="event loop and its policy (`asyncio`)", module="asyncio.events", read=_read_loops, write=_write_loops),
    Value(
        name="start method of `multiprocessing`",
        module="multiprocessing.context",
        read=lambda: sys.modules["multiprocessing.context"]._default_context._actual_context,
        write=lambda value: setattr(sys.modules["multiprocessing.context"]._default_context, "_actual_context", value),
    ),
    attribute("tempfile", "tempdir"),
    attribute("ssl", "_create_default_https_context"),
    attribute("urllib.request", "_opener"),
)
