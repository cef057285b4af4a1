"""Leftovers of an attempt: its processes are ended, its threads are reported."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from types import FrameType
from typing import Any

from taskfc_ext.drivers.process_tree import (
    Process,
    children,
    descendants,
    has_children,
    is_supervisor,
    kill_descendants,
    reap,
)
from taskfc_ext.text import one_line, plural
from taskfc_ext.worker.context import pools

logger = logging.getLogger(__name__)

SHORTEST_RUN = 30e-6
"""Seconds: a shorter attempt cannot have started a process or a thread."""

END_WITHIN = 2.0
"""Seconds for killed processes to end. One that hangs in the kernel or became another user's is logged and left."""

_REAP_GRACE = 0.02
"""Seconds for threads that wait for a process, as asyncio's do, to read its exit status before it is reaped here."""

_END_GRACE = 0.01
"""Seconds for threads to end by themselves."""

_NAMED = 5
_LONGEST_NAME = 40

_HARMLESS = frozenset(("taskfc_ext", "IPython", "ipykernel", "tqdm", "zmq"))
"""Packages whose threads do not run the task's code."""

_POOLED = frozenset(("concurrent", "multiprocessing", "multiprocess", "joblib", "loky"))
_WAITING = _POOLED | {"threading", "queue", "selectors", "weakref"}


class Leftovers:
    """Cleaner of leftovers. Processes and threads older than itself or than `keep` stay. Main thread only."""

    def __init__(self) -> None:
        self._kept: set[Process] = set()
        self._threads: dict[int, threading.Thread] = {}
        self._kept_threads: dict[int, threading.Thread] = {}
        self.keep()

    def keep(self) -> None:
        """Keep all running processes and threads for later tasks: a broadcast has started them."""
        if has_children():
            self._kept.update(descendants(os.getpid(), is_supervisor))
            self._kept.update(children(os.getpid()))  # ended ones too: their exit status may still be read
        self._threads = self._kept_threads = {id(thread): thread for thread in _running_threads()}

    def end(self) -> str:
        """End the processes of the attempt that has just ended; return a sentence about its threads, "" without any."""
        try:
            if has_children():
                self._end_processes()
            return self._new_threads()
        except Exception:  # out of file descriptors or memory: the task's result is still valid
            logger.exception("cannot end the processes that a task left behind")
            return ""

    def _end_processes(self) -> None:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # raises if no descriptor is free: else none is found
        if self._kept:
            self._adopt()
        trackers = pools.tracker_pids()
        kept = self._kept

        def spare(process: Process) -> bool:
            return process in kept or process.pid in trackers or is_supervisor(process)

        if all(map(spare, children(os.getpid()))):
            return
        stay = trackers | {process.pid for process in kept}
        pools.give_up_pools(stay.__contains__)
        left = kill_descendants(spare, timeout=END_WITHIN)
        if left:
            logger.warning("processes of a task cannot be ended: %s", ", ".join(str(process.pid) for process in left))
        pools.note_deaths(stay.__contains__, self._kept_threads)
        if threading.active_count() > len(self._threads):
            deadline = time.monotonic() + _REAP_GRACE
            while not all(map(spare, children(os.getpid()))) and time.monotonic() < deadline:
                time.sleep(0.001)
        reap(spare)

    def _adopt(self) -> None:
        """Keep the processes that kept ones have started since, and forget ended ones."""
        pending, alive = children(os.getpid()), set[Process]()
        while pending:
            process = pending.pop()
            if process in self._kept:
                alive.add(process)
                below = children(process.pid)
                self._kept.update(below)
                pending += below
        self._kept = alive

    def _new_threads(self) -> str:
        new = [thread for thread in _running_threads() if id(thread) not in self._threads]
        if not new and len(self._threads) == len(_running_threads()):
            return ""
        deadline = time.monotonic() + _END_GRACE
        for thread in new:
            if not isinstance(thread, threading._DummyThread) and thread is not threading.current_thread():
                threading.Thread.join(thread, max(0.0, deadline - time.monotonic()))
        running = _running_threads()
        self._threads = {id(thread): thread for thread in running}
        frames = sys._current_frames()
        del frames[threading.get_ident()]  # it refers to `frames`: the cycle would keep the attempt's values alive
        left = [thread for thread in running if thread in new and _can_act(thread, frames.get(thread.ident or 0))]
        return _sentence([thread.name for thread in left]) if left else ""


def _running_threads() -> list[threading.Thread]:
    return list(threading._active.values())  # type: ignore[attr-defined]  # `enumerate` waits for a lock


def _can_act(thread: threading.Thread, frame: FrameType | None) -> bool:
    """Return whether `thread` may still run the task's code: it is neither a library's own nor idle in a pool."""
    if isinstance(thread, threading._DummyThread):  # of C code: Python does not know whether it is alive
        return False
    made_by = thread if type(thread) is not threading.Thread else getattr(thread, "_target", None)
    module = made_by.__class__.__module__ if made_by is thread else getattr(made_by, "__module__", None)
    if str(module).partition(".")[0] in _HARMLESS or _is_loop_without_tasks(made_by):
        return False
    return frame is None or not _is_idle(frame)


def _is_loop_without_tasks(made_by: object) -> bool:
    """Return whether a thread runs an idle event loop, as IPython keeps one for `%%bash`."""
    loop: Any = getattr(made_by, "__self__", None)
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(loop, asyncio.AbstractEventLoop):
        return False
    return not (asyncio.all_tasks(loop) or getattr(loop, "_scheduled", ()) or getattr(loop, "_ready", ()))


def _is_idle(frame: FrameType) -> bool:
    """Return whether `frame` is in a pool's wait for work: all its frames are the pool's or of waiting functions."""
    if frame.f_code.co_name == "run" and _package(frame) == "concurrent":
        return False  # it is calling the work, which is C code
    packages = set[str]()
    here: FrameType | None = frame
    while here is not None:
        packages.add(_package(here))
        here = here.f_back
    return packages <= _WAITING and bool(packages & _POOLED)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _sentence(names: list[str]) -> str:
    shown = ", ".join(one_line(name)[:_LONGEST_NAME] for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    verb = "runs" if len(names) == 1 else "run"
    return (
        f"{plural(len(names), 'thread')} of this task still {verb}: {shown}{more}; later output goes to the worker's "
        "log, or to the task that runs then"
    )
