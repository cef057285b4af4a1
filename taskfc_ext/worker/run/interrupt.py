"""SIGINT for one attempt: an interrupt is raised in the attempt that it was sent to, and in no other code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from taskfc_ext.drivers.processes import Page
from taskfc_ext.settings.process import getsignal

T = TypeVar("T")

_INTERRUPT = Page.INTERRUPT

_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
"""File name in frames of an import."""


class TaskInterrupt(KeyboardInterrupt):
    """Stops the running attempt."""


class Guard:
    """Raises an interrupt in the user's code, at most once per attempt, and never in ours. Made in the main thread.

    The handler of SIGINT belongs to it; the settings of the process leave it out.

    The page names the lease to interrupt. The signal may come late: after the end of that lease the guard is disarmed,
    and the signal is dropped.

    An interrupt during an import is postponed until the import has ended: a package that was imported in part would
    fail every later task that needs it. If an import takes too long, the supervisor ends the worker.

    Args:
        page: where the supervisor names the lease.

    Attributes:
        on_strike: called before an interrupt is raised in running code; must not raise.
    """

    def __init__(self, page: Page) -> None:
        self.on_strike: Callable[[], None] = _nothing
        self._words = page.words
        self._armed = 0
        self._put_off = 0
        self._thread = threading.get_ident()

    def install(self) -> None:
        """Install the handler of SIGINT, also again after code that has installed its own. Main thread only."""
        if getsignal(signal.SIGINT) != self._on_signal:
            signal.signal(signal.SIGINT, self._on_signal)

    @property
    def has_struck(self) -> bool:
        """Whether the attempt was interrupted; for code whose callee may have caught the interrupt."""
        return not self._armed

    def disarm(self) -> None:
        """Raise no interrupt until the next `call`; also for a forked child, to which no interrupt is sent."""
        self._armed = 0

    def call(self, lease: int, function: Callable[..., T], *args: object) -> T:
        """Return `function(*args)`.

        Raises:
            TaskInterrupt: `lease` was interrupted before or during the call. It is raised at most once, also if
                the function catches it.
        """
        self.install()  # code of ours or of a library may have set another one since the last call
        try:
            return self.call_again(lease, function, *args)
        finally:
            self.install()  # a late signal must not reach a handler that the attempt has left behind

    def call_again(self, lease: int, function: Callable[..., T], *args: object) -> T:
        """Do as `call`, where no code can have set a handler since the last call, and this function cannot set one."""
        try:
            self._armed = lease
            # after the page says that the lease has started: the supervisor writes its word first and then reads the
            # lease, so that one of the two always sees the other
            if self._words[_INTERRUPT] == lease:
                raise TaskInterrupt
            return function(*args)
        finally:
            self._armed = 0

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._armed and self._words[_INTERRUPT] == self._armed:
            if _is_importing(frame):
                self._put_off = self._armed
                return
            self._armed = 0
            self.on_strike()
            raise TaskInterrupt

    def remind(self) -> None:
        """Raise a postponed interrupt. Another thread calls this regularly while an attempt runs."""
        if self._put_off and self._put_off == self._armed:
            signal.pthread_kill(self._thread, signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    """Tell whether the attempt that runs in `frame` is inside an import."""
    while frame is not None and frame.f_code is not Guard.call_again.__code__:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False


def _nothing() -> None:
    pass
