"""Settings of the interpreter."""

from __future__ import annotations

import builtins
import faulthandler
import gc
import sys
import threading
import tracemalloc
from typing import Any

from taskfc_ext.settings.setting import Entries, Items, Setting, Value, attribute, put_items

_OWNED_ELSEWHERE = frozenset({"stdin", "stdout", "stderr", "path"})
"""Names of `sys` that the worker restores elsewhere, for every attempt."""

_monitoring: Any = getattr(sys, "monitoring", None)
_N_TOOLS = 6

_builtins: dict[str, Any] = vars(builtins)
_sys: dict[str, Any] = vars(sys)


def _read_hooks_of_sys() -> tuple[object, ...]:
    """Return the names of `sys` that are changed most often, in a third of the time of all."""
    found = _sys.get
    return (
        found("excepthook"),
        found("displayhook"),
        found("breakpointhook"),
        found("unraisablehook"),
        found("tracebacklimit"),
        found("dont_write_bytecode"),
    )


def _read_sys() -> dict[str, Any]:
    return {name: value for name, value in _sys.items() if name not in _OWNED_ELSEWHERE}


def _write_sys(value: dict[str, Any]) -> None:
    put_items(_sys, value, _OWNED_ELSEWHERE)


def _read_hooks() -> tuple[object, ...]:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile(), _read_tools()


def _read_tools() -> tuple[str | None, ...]:
    """Return the tools that use `sys.monitoring`, such as profilers from Python 3.12 on."""
    return () if _monitoring is None else tuple(map(_monitoring.get_tool, range(_N_TOOLS)))


def _write_hooks(value: tuple[Any, ...]) -> None:
    trace, profile, thread_trace, thread_profile, tools = value
    for number, (tool, now) in enumerate(zip(tools, _read_tools(), strict=True)):
        if now is not None and now != tool:
            _monitoring.set_events(number, 0)
            _monitoring.free_tool_id(number)
    sys.settrace(trace)
    sys.setprofile(profile)
    threading.settrace(thread_trace)
    threading.setprofile(thread_profile)


def _read_numbers() -> tuple[object, ...]:
    return (
        sys.getswitchinterval(),
        sys.get_int_max_str_digits(),
        sys.get_coroutine_origin_tracking_depth(),
        threading.stack_size(),
    )


def _write_numbers(value: tuple[Any, ...]) -> None:
    interval, digits, depth, stack = value
    sys.setswitchinterval(interval)
    sys.set_int_max_str_digits(digits)
    sys.set_coroutine_origin_tracking_depth(depth)
    threading.stack_size(stack)


def _read_collector() -> tuple[object, ...]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _write_collector(value: tuple[Any, ...]) -> None:
    is_enabled, thresholds, debug = value
    (gc.enable if is_enabled else gc.disable)()
    gc.set_threshold(*thresholds)
    gc.set_debug(debug)


def _write_faulthandler(is_enabled: bool) -> None:
    if is_enabled:
        faulthandler.enable()
    else:
        faulthandler.disable()


def _write_tracing(is_tracing: bool) -> None:
    if not is_tracing:
        tracemalloc.stop()


def _write_list(name: str) -> Any:
    def write(value: list[Any]) -> None:
        live = _sys.get(name)
        if isinstance(live, list):
            live[:] = value
        else:  # deleted, or replaced by a tuple
            _sys[name] = list(value)

    return write


INTERPRETER: tuple[Setting, ...] = (
    Items(
        name="`builtins`",
        read=lambda: [*_builtins.values()],  # a list compares in half the time of the dict
        read_fully=lambda: dict(_builtins),
        write=lambda value: put_items(_builtins, value),
    ),
    Value(name="trace and profile functions", read=_read_hooks, write=_write_hooks),
    Items(
        name="names of `sys`: hooks, `tracebacklimit`, ...",
        read=_read_hooks_of_sys,
        read_fully=_read_sys,
        write=_write_sys,
    ),
    Entries(name="`sys.argv`", read=lambda: sys.argv, write=_write_list("argv")),
    Entries(name="`sys.meta_path`", read=lambda: sys.meta_path, write=_write_list("meta_path")),
    Entries(name="`sys.path_hooks`", read=lambda: sys.path_hooks, write=_write_list("path_hooks")),
    Value(
        name="recursion limit",
        read=sys.getrecursionlimit,
        write=sys.setrecursionlimit,
        pack=sys.getrecursionlimit,
        unpack=sys.setrecursionlimit,
    ),
    Value(
        name="switch interval, length of integers as text, stack size of threads",
        read=_read_numbers,
        write=_write_numbers,
    ),
    Value(name="garbage collector: on or off, thresholds", read=_read_collector, write=_write_collector),
    attribute("threading", "excepthook"),
    Value(name="`faulthandler`", read=faulthandler.is_enabled, write=_write_faulthandler),
    Value(name="`tracemalloc`", read=tracemalloc.is_tracing, write=_write_tracing),
)
