"""Clean-up of libraries that keep processes across tasks, when these processes are killed.

Only loaded libraries are touched. Private names are used, which may change: missing ones are skipped.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from taskfc_ext.drivers.process_tree import command_line

_TRACKERS = (
    "multiprocessing.resource_tracker",
    "multiprocess.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
    "loky.backend.resource_tracker",
)
_FORKSERVERS = ("multiprocessing.forkserver", "multiprocess.forkserver")
_POOLS = ("multiprocessing.pool", "multiprocess.pool")
_PROCESSES = ("multiprocessing.process", "multiprocess.process")
_REUSABLE = ("joblib.externals.loky.reusable_executor", "loky.reusable_executor")
_EXECUTORS = ("concurrent.futures.process", "joblib.externals.loky.process_executor", "loky.process_executor")

_JOIN_WITHIN = 1.0
"""Seconds for the threads of executors to notice that their processes are gone."""


def tracker_pids() -> set[int]:
    """Return the pids of the resource trackers, which must not be killed.

    They run no user code, and remove semaphores and shared memory when this process ends. If a tracker is killed, its
    library warns in the next task, and the tracked resources are never removed.
    """
    pids = (getattr(getattr(module, "_resource_tracker", None), "_pid", None) for module in _loaded_modules(_TRACKERS))
    return {pid for pid in pids if isinstance(pid, int) and b"resource_tracker" in command_line(pid)}


def give_up_pools(is_kept: Callable[[int], bool]) -> None:
    """Stop pools from restarting processes and from being reused by later tasks. Call it before killing the processes.

    Args:
        is_kept: returns whether the process with a pid stays.
    """
    for module in _loaded_modules(_POOLS):
        with suppress(Exception):
            _give_up_pools_of(module, is_kept)
    for module in _loaded_modules(_REUSABLE):
        with suppress(Exception):
            executor = module._executor
            if executor is not None and not any(map(is_kept, list(executor._processes or ()))):
                module._executor = module._executor_kwargs = None
                executor.shutdown(wait=False, kill_workers=True)


def note_deaths(is_kept: Callable[[int], bool], kept_threads: dict[int, threading.Thread]) -> None:
    """Let the libraries note the deaths of their processes before these are reaped elsewhere."""
    for module in _loaded_modules(_FORKSERVERS):
        with suppress(Exception):
            server = module._forkserver
            if server._forkserver_pid is not None and not is_kept(server._forkserver_pid):
                server._stop()
    deadline = time.monotonic() + _JOIN_WITHIN
    for module in _loaded_modules(_EXECUTORS):
        for thread in list(getattr(module, "_threads_wakeups", ())):
            if id(thread) not in kept_threads:
                thread.join(max(0.0, deadline - time.monotonic()))
    for module in _loaded_modules(_PROCESSES):
        with suppress(Exception):
            module.active_children()
    with suppress(Exception):
        sys.modules["subprocess"]._cleanup()


def _give_up_pools_of(module: Any, is_kept: Callable[[int], bool]) -> None:
    """Let the threads of pools end. `Pool.terminate` would wait for locks that killed processes hold."""
    for finalizer in list(module.util._finalizer_registry.values()):
        owner = getattr(finalizer._callback, "__self__", None)
        if not (isinstance(owner, type) and issubclass(owner, module.Pool)) or issubclass(owner, module.ThreadPool):
            continue
        taskqueue, _, _, processes, notifier, *handlers, _ = finalizer._args
        if any(is_kept(process.pid) for process in processes):
            continue
        pool = finalizer._weakref() if finalizer._weakref is not None else None
        for running in (pool, *handlers):
            if running is not None:
                running._state = module.TERMINATE
        notifier.put(None)
        taskqueue.put(None)
        finalizer.cancel()


def _loaded_modules(names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        module = sys.modules.get(name)
        if module is not None:
            yield module
