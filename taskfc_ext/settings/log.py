"""Settings of `logging`: levels, handlers and switches of all loggers, and the part of them that is sent with tasks."""

from __future__ import annotations

import logging
import sys
from typing import Any, NamedTuple

_MARK: Any = "taskfc_ext"
"""A key in the root logger's cache, which every change of a level and `logging.disable` clear."""

_OWN_LOGGER = "taskfc_ext"
_STYLES = "%{$"
_PLAIN: tuple[Any, ...] = (logging.NOTSET, True, False, (), ())


class Logging(NamedTuple):
    """The state of all loggers that differ from a new one.

    Attributes:
        disabled: the level up to which `logging.disable` drops records.
        others: `lastResort` and `raiseExceptions`.
        loggers: (level, propagate, disabled, handlers, filters) by name; the root's name is "". A handler is given as
            (handler, level, formatter).
    """

    disabled: int
    others: tuple[object, ...]
    loggers: dict[str, tuple[Any, ...]]


_untyped: Any = logging
_root: Any = logging.root
_last: tuple[tuple[int, ...], Logging] | None = None


def read() -> Logging:
    """Return the state; the same object as long as no sign of a change is found."""
    global _last
    counts = len(_root.handlers), len(_untyped._handlerList), len(_root.manager.loggerDict)
    if _last is not None and _MARK in _root._cache and _last[0] == counts:
        return _last[1]
    found = read_fully()
    if _last is not None and _last[1] == found:
        found = _last[1]
    _last = counts, found
    _root._cache[_MARK] = True
    return found


def read_fully() -> Logging:
    """Return the state."""
    found = {"": _state(_root)}
    for name, logger in list(_root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and (state := _state(logger)) != _PLAIN:
            found[name] = state
    return Logging(_root.manager.disable, (logging.lastResort, logging.raiseExceptions), found)


def write(value: Logging) -> None:
    """Make `value` the state of all loggers."""
    _root.manager.disable = value.disabled
    _untyped.lastResort, _untyped.raiseExceptions = value.others
    for name in {**read_fully().loggers, **value.loggers}:
        logger = logging.getLogger(name) if name else _root
        level, propagate, disabled, handlers, filters = value.loggers.get(name, _PLAIN)
        logger.propagate, logger.disabled = propagate, disabled
        kept = [handler for handler, _, _ in handlers]
        for handler in logger.handlers:
            if handler not in kept:
                _flush(handler)
        logger.handlers[:] = kept
        for handler, handler_level, formatter in handlers:
            handler.level, handler.formatter = handler_level, formatter
        logger.filters[:] = filters
        logger.setLevel(level)
    _root.manager._clear_cache()


def _state(logger: Any) -> tuple[Any, ...]:
    handlers = [(handler, handler.level, handler.formatter) for handler in logger.handlers]
    return logger.level, logger.propagate, bool(logger.disabled), tuple(handlers), tuple(logger.filters)


def _flush(handler: logging.Handler) -> None:
    try:
        handler.flush()
    except Exception:  # noqa: BLE001  the user's handler
        pass


# sent with tasks

_Packed = tuple[int, dict[str, tuple[Any, ...]]]


def pack() -> _Packed | None:
    """Return the levels and the handlers that write to the screen; `None` if they are those of a new process."""
    found: dict[str, tuple[Any, ...]] = {}
    state = read_fully()  # what `read` kept may be older
    for name, (level, propagate, disabled, handlers, _) in state.loggers.items():
        if name.partition(".")[0] != _OWN_LOGGER:
            screens = tuple([packed for handler, _, _ in handlers if (packed := _pack_handler(handler))])
            plain = logging.WARNING if not name else logging.NOTSET
            if (level, propagate, disabled, screens) != (plain, True, False, ()):
                found[name] = level, propagate, disabled, screens
    return (state.disabled, found) if found or state.disabled else None


def unpack(packed: _Packed) -> None:
    """Set the levels and add handlers that write to the task's output."""
    disabled, loggers = packed
    _root.manager.disable = disabled
    for name, (level, propagate, is_off, screens) in loggers.items():
        logger = logging.getLogger(name) if name else _root
        logger.propagate, logger.disabled = propagate, is_off
        for screen in screens:
            logger.addHandler(_unpack_handler(screen))
        logger.setLevel(level)
    _root.manager._clear_cache()


def _pack_handler(handler: logging.Handler) -> tuple[Any, ...] | None:
    """Return a handler that writes to the screen as plain values; `None` for other handlers."""
    if type(handler) is not logging.StreamHandler:
        return None
    stream: object = handler.stream
    is_out = stream is sys.stdout or stream is sys.__stdout__
    if not is_out and stream is not sys.stderr and stream is not sys.__stderr__:
        return None
    formatter: Any = handler.formatter
    layout = None
    if formatter is not None:
        styles: Any = [type(style(formatter._fmt)) for style, _ in _untyped._STYLES.values()] if formatter._fmt else []
        kind = type(formatter._style)
        layout = formatter._fmt, formatter.datefmt, _STYLES[styles.index(kind)] if kind in styles else "%"
    return is_out, handler.level, layout


def _unpack_handler(packed: tuple[Any, ...]) -> logging.Handler:
    is_out, level, layout = packed
    handler = logging.StreamHandler(sys.stdout if is_out else sys.stderr)
    handler.setLevel(level)
    if layout is not None:
        text, dates, style = layout
        handler.setFormatter(logging.Formatter(text, dates, style, validate=False))
    return handler
