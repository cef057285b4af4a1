"""The worker's helper thread: sends and receives while the main thread runs a long task, and frees memory after it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from time import sleep
from typing import Protocol

from taskfc_ext.drivers.memory import MUCH, give_back_memory, resident

logger = logging.getLogger(__name__)

CHECK_EVERY = 0.02
"""Seconds between checks: a task that runs longer is reported, and the leases queued behind it may be returned."""

OUTPUT_EVERY = 5
"""Checks from one live output of a task to the next: at most ten outputs a second."""

PARK_AFTER = 5
"""Idle checks before the thread parks. To wake it costs a single task about 50 us, so in a burst of tiny tasks it stays
awake."""

PRELOAD_AFTER = 0.3
"""Idle seconds after the first task before modules are preloaded."""


class Work(Protocol):
    """The interface of the worker's loop for the helper thread."""

    is_busy: bool
    lease: int

    def act_for(self, lease: int, *, wants_output: bool) -> None: ...


class HelperThread:
    """Thread that checks every 20 ms whether the main thread is still in the same attempt, and then acts for it.

    Args:
        work: the loop of the main thread.
        preload: called once, when the worker is idle. No task starts meanwhile: when two threads import modules that
            import each other, one of them gets a half-initialized module.
    """

    def __init__(self, work: Work, preload: Callable[[], None]) -> None:
        self._work = work
        self._preload: Callable[[], None] | None = preload
        self._last_lease = 0
        self._n_checks = 0
        self._n_quiet = 0
        self._is_parked = False
        self._has_worked = False
        self._woken = threading.Event()
        self._loading = threading.Lock()
        self._resident = resident()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._run, name="taskfc-helper", daemon=True).start()

    def wake(self) -> None:
        """Wake the thread and wait until no preload is running. Costs nothing while the thread is awake.

        Called by the main thread, after it has set `is_busy`.
        """
        self._has_worked = True
        if self._is_parked:
            self._woken.set()
            with self._loading:
                pass

    def check(self) -> None:
        """Check once; act for the main thread if it is in the same attempt as at the last check."""
        lease = self._work.lease
        if lease and lease == self._last_lease:
            self._work.act_for(lease, wants_output=self._n_checks % OUTPUT_EVERY == 0)
            self._n_checks += 1
        else:
            self._n_checks = 0
        self._last_lease = lease
        self._n_quiet = 0 if self._work.is_busy else self._n_quiet + 1

    def _run(self) -> None:
        try:
            while True:
                sleep(CHECK_EVERY)
                self.check()
                if self._n_quiet >= PARK_AFTER:
                    self._park()
        except BaseException:
            logger.exception("the helper thread failed: this worker exits, as it could not return waiting tasks")
            os._exit(1)

    def _park(self) -> None:
        self._is_parked = True
        if not self._work.is_busy:  # the main thread sets this before it checks whether we are parked
            self._free_memory()
            if self._preload and self._has_worked and not self._woken.wait(PRELOAD_AFTER):
                with self._loading:
                    if not self._woken.is_set():
                        self._preload()
                        self._preload = None
            self._woken.wait()
        self._is_parked = False
        self._woken.clear()
        self._n_quiet = 0

    def _free_memory(self) -> None:
        """Return memory of past arguments and results from the allocator to the system."""
        now = resident()
        if now - self._resident > MUCH:
            give_back_memory()
            self._resident = resident()  # memory still held by the user's objects is not counted again
        else:
            self._resident = min(self._resident, now)
