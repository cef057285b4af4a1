"""Settings of a process in the operating system."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from importlib import import_module
from typing import Any

from taskfc_ext.settings.setting import CannotRestore, Setting, Value, read_nothing

# the functions of `_signal` are those of `signal` without its enums, which cost ten times as much
_raw: Any = import_module("_signal")
_signals = [int(number) for number in signal.valid_signals() if number != signal.SIGINT]
"""All but SIGINT: its handler belongs to the worker, which installs it around each attempt and after a broadcast."""

_timers = [getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(signal, name)]
_getitimer, _setitimer, _sigmask = _raw.getitimer, _raw.setitimer, _raw.pthread_sigmask
_getrlimit = resource.getrlimit

getsignal: Any = _raw.getsignal
"""`signal.getsignal` without its enums."""


def _read_timers() -> list[tuple[float, float]]:
    return list(map(_getitimer, _timers))


def _stop_timers(value: object) -> None:
    for timer in _timers:
        _setitimer(timer, 0)


def _read_handlers() -> list[Any]:
    return list(map(getsignal, _signals))


def _write_handlers(value: list[Any]) -> None:
    for number, handler in zip(_signals, value, strict=True):
        if getsignal(number) != handler:
            if handler is None:
                raise CannotRestore(f"signal {number} had a handler that was not set by Python")
            _raw.signal(number, handler)


def _write_mask(value: set[int]) -> None:
    _sigmask(signal.SIG_SETMASK, value)


_umask_now = os.umask(0o22)
os.umask(_umask_now)


def read_umask() -> int:
    """Return the umask of this process."""
    # `os.umask` can only be read by setting it: in the usual case the same call sets the value it had
    global _umask_now
    found = os.umask(_umask_now)
    if found != _umask_now:
        os.umask(found)
        _umask_now = found
    return found


def _write_umask(value: int) -> None:
    global _umask_now
    os.umask(value)
    _umask_now = value


_limits = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def _read_some_limits() -> list[tuple[int, int]]:
    """Return the limits that programs set most often: each costs 0.5 us."""
    return [_getrlimit(resource.RLIMIT_NOFILE), _getrlimit(resource.RLIMIT_AS)]


def _read_limits() -> dict[int, tuple[int, int]]:
    return {number: _getrlimit(number) for number in _limits}


def _write_limits(value: dict[int, tuple[int, int]]) -> None:
    for number, limits in value.items():
        if resource.getrlimit(number) != limits:
            try:
                resource.setrlimit(number, limits)
            except (OSError, ValueError) as error:
                raise CannotRestore(f"a resource limit was lowered: {error}") from None


def _read_standing() -> tuple[object, ...]:
    return os.getpriority(os.PRIO_PROCESS, 0), os.geteuid(), os.getegid()


def _write_standing(value: tuple[Any, ...]) -> None:
    priority, *ids = value
    if [os.geteuid(), os.getegid()] != ids:
        raise CannotRestore("the process has changed its user or group")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    except OSError as error:
        raise CannotRestore(f"the priority was lowered: {error}") from None


def _read_place() -> tuple[object, ...]:
    root = os.stat("/")
    cores = os.sched_getaffinity(0) if sys.platform == "linux" else None
    return root.st_dev, root.st_ino, cores


def _write_place(value: tuple[Any, ...]) -> None:
    *root, cores = value
    if list(_read_place()[:2]) != root:
        raise CannotRestore("the process has another root folder")
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # cores may have been taken from this process meanwhile
            os.sched_setaffinity(0, cores)


PROCESS: tuple[Setting, ...] = (
    Value(name="timers (`signal.setitimer`, `signal.alarm`)", read=_read_timers, write=_stop_timers),
    Value(name="signal handlers", read=_read_handlers, write=_write_handlers),
    Value(
        name="blocked signals",
        read=lambda: _sigmask(signal.SIG_BLOCK, ()),
        write=_write_mask,
    ),
    Value(name="umask", read=read_umask, write=_write_umask),
    Value(name="resource limits", read=_read_some_limits, read_fully=_read_limits, write=_write_limits),
    Value(name="priority, user and group of the process", read=_read_standing, write=_write_standing),
    Value(name="cores and root folder", read=read_nothing, read_fully=_read_place, write=_write_place),
)
