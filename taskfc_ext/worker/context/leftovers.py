"""Leftovers of an attempt in its worker: processes, which are ended, and threads, which are named."""

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

LEAST = 30e-6
"""Seconds: an attempt that was shorter has started no process and no thread; either takes longer."""

END_WITHIN = 2.0
"""Seconds for killed processes to go. One that hangs in the kernel, or became another user's, is left, and logged."""

_LET_REAP = 0.02
"""Seconds for threads that wait for a process, as asyncio's do, to learn how it ended, before it is reaped here."""

_LET_END = 0.01
"""Seconds for threads that are about to end."""

_NAMED = 5
_LONGEST_NAME = 40

_HARMLESS = frozenset(("taskfc_ext", "IPython", "ipykernel", "tqdm", "zmq"))
"""Packages whose threads do nothing of the task's."""

_POOLED = frozenset(("concurrent", "multiprocessing", "multiprocess", "joblib", "loky"))
_WAITING = _POOLED | {"threading", "queue", "selectors", "weakref"}


class Leftovers:
    """Ends what attempts leave behind. What exists when it is made stays, and what `keep` has seen.

    For the main thread.
    """

    def __init__(self) -> None:
        self._kept: set[Process] = set()
        self._threads: dict[int, threading.Thread] = {}
        self._kept_threads: dict[int, threading.Thread] = {}
        self.keep()

    def keep(self) -> None:
        """Keep what runs now, for the tasks to come: a broadcast has started it."""
        if has_children():
            self._kept.update(descendants(os.getpid(), is_supervisor))
            self._kept.update(children(os.getpid()))  # one that has ended as well: its starter may ask how
        self._threads = self._kept_threads = {id(thread): thread for thread in _running_threads()}

    def end(self) -> str:
        """End the processes of the attempt that has just ended; return a sentence on its threads, "" without any."""
        try:
            if has_children():
                self._end_processes()
            return self._new_threads()
        except Exception:  # no file descriptors, no memory: the task's result counts all the same
            logger.exception("what a task has left behind cannot be ended")
            return ""

    def _end_processes(self) -> None:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # or raise: without descriptors none would be found
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
            deadline = time.monotonic() + _LET_REAP
            while not all(map(spare, children(os.getpid()))) and time.monotonic() < deadline:
                time.sleep(0.001)
        reap(spare)

    def _adopt(self) -> None:
        """Keep what kept processes have started meanwhile, and forget those that are gone."""
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
        deadline = time.monotonic() + _LET_END
        for thread in new:
            if not isinstance(thread, threading._DummyThread) and thread is not threading.current_thread():
                threading.Thread.join(thread, max(0.0, deadline - time.monotonic()))
        running = _running_threads()
        self._threads = {id(thread): thread for thread in running}
        frames = sys._current_frames()
        left = [thread for thread in running if thread in new and _can_act(thread, frames.get(thread.ident or 0))]
        return _sentence([thread.name for thread in left]) if left else ""


def _running_threads() -> list[threading.Thread]:
    return list(threading._active.values())  # type: ignore[attr-defined]  # `enumerate` waits for a lock


def _can_act(thread: threading.Thread, frame: FrameType | None) -> bool:
    """Whether `thread` may still do something of the task's: neither a library's own nor idle in a pool."""
    if isinstance(thread, threading._DummyThread):  # C code's, of which Python does not know whether it lives
        return False
    made_by = thread if type(thread) is not threading.Thread else getattr(thread, "_target", None)
    module = made_by.__class__.__module__ if made_by is thread else getattr(made_by, "__module__", None)
    if str(module).partition(".")[0] in _HARMLESS or _is_loop_without_tasks(made_by):
        return False
    return frame is None or not _is_idle(frame)


def _is_loop_without_tasks(made_by: object) -> bool:
    """Whether a thread runs an event loop that has nothing to do, as IPython keeps one for `%%bash`."""
    loop: Any = getattr(made_by, "__self__", None)
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(loop, asyncio.AbstractEventLoop):
        return False
    return not (asyncio.all_tasks(loop) or getattr(loop, "_scheduled", ()) or getattr(loop, "_ready", ()))


def _is_idle(frame: FrameType) -> bool:
    """Whether the code at `frame` is a pool's that waits for work: no frame is anybody else's."""
    if frame.f_code.co_name == "run" and _package(frame) == "concurrent":
        return False  # it calls the work, which is C code
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
        f"{plural(len(names), 'thread')} of this task still {verb}: {shown}{more}; what they print goes to the log of "
        "the worker, or to the task that it runs then"
    )
