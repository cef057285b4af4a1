"""The helper thread: speaks for the main thread while that is in the user's code for long, and tidies up after it."""

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
"""Seconds between looks: how long a task may run before the work queued behind it is given back."""

OUTPUT_EVERY = 5
"""Looks from one live output of a task to the next: ten a second at most."""

PARK_AFTER = 5
"""Looks that find nothing before it sleeps until it is woken. Waking it costs a task that comes alone some 50 us, so a
burst of tiny ones should find it awake."""

PRELOAD_AFTER = 0.3
"""Seconds of quiet, after the first task, for which it waits with what may be loaded ahead."""


class Work(Protocol):
    """What the helper thread watches: the loop, or a test."""

    is_busy: bool
    lease: int

    def act_for(self, lease: int, *, wants_output: bool) -> None: ...


class HelperThread:
    """Looks every 20 ms whether the main thread is still in the attempt it was in at the last look.

    Args:
        work: the loop of the main thread.
        preload: called once, when there is time. No task begins meanwhile: imported from two threads, modules that
            import each other are found half made.
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
        """Say that there is something to watch, and wait until nothing is being loaded.

        Main thread, which is busy by now; free while the helper thread is awake.
        """
        self._has_worked = True
        if self._is_parked:
            self._woken.set()
            with self._loading:
                pass

    def check(self) -> None:
        """Look once; speak for the main thread if it is where it was the last time."""
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
            logger.exception("the helper thread failed: a worker without one would keep others' work to itself")
            os._exit(1)

    def _park(self) -> None:
        self._is_parked = True
        if not self._work.is_busy:  # it says so before it looks whether we are parked
            self._give_back()
            if self._preload and self._has_worked and not self._woken.wait(PRELOAD_AFTER):
                with self._loading:
                    if not self._woken.is_set():
                        self._preload()
                        self._preload = None
            self._woken.wait()
        self._is_parked = False
        self._woken.clear()
        self._n_quiet = 0

    def _give_back(self) -> None:
        """Let the system have what the allocator keeps of arguments and results that have gone through."""
        now = resident()
        if now - self._resident > MUCH:
            give_back_memory()
            self._resident = resident()  # what the user's own objects hold is not asked for again
        else:
            self._resident = min(self._resident, now)
