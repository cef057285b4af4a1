"""SIGINT that can only hit the attempt it is meant for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from taskfc_ext.drivers.processes import Page

T = TypeVar("T")

_INTERRUPT = Page.INTERRUPT

_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
"""The file that Python names in frames of an import."""


class TaskInterrupt(KeyboardInterrupt):
    """The attempt that runs is to be stopped."""


class Guard:
    """Lets an interrupt into the user's code, at most once per attempt, and never into ours. Made in the main thread.

    The page names the lease to be interrupted. The signal itself may come late: when that lease has ended it finds
    the guard disarmed, and is dropped.

    One that comes during an import is put off until that is done: it would leave a package behind that was imported
    in part, with which every later task that needs it fails. An import that takes too long for the supervisor ends
    with the worker.

    Args:
        page: where the supervisor names the lease.

    Attributes:
        on_strike: called before an interrupt is raised in running code; it is not to raise.
    """

    def __init__(self, page: Page) -> None:
        self.on_strike: Callable[[], None] = _nothing
        self._words = page.words
        self._armed = 0
        self._put_off = 0
        self._thread = threading.get_ident()

    def install(self) -> None:
        """Take SIGINT; also again, after code that left a handler of its own behind. Main thread only."""
        if signal.getsignal(signal.SIGINT) != self._on_signal:
            signal.signal(signal.SIGINT, self._on_signal)

    @property
    def has_struck(self) -> bool:
        """Whether the attempt was interrupted; for code that is told by a caller who caught the interrupt."""
        return not self._armed

    def disarm(self) -> None:
        """Let nothing through until the next `call`; for a forked child, which no interrupt is meant for."""
        self._armed = 0

    def call(self, lease: int, function: Callable[..., T], *args: object) -> T:
        """Return `function(*args)`.

        Raises:
            TaskInterrupt: `lease` was interrupted before or meanwhile. It is raised once at most: whoever catches
                it has peace until the next call.
        """
        try:
            self._armed = lease
            # after the page says that the lease has started: the supervisor writes its word first and looks at that
            # second, so that one of the two always sees the other
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
        """Try again what was put off. For another thread, to be called now and then while an attempt runs."""
        if self._put_off and self._put_off == self._armed:
            signal.pthread_kill(self._thread, signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether the attempt that runs in `frame` is inside an import."""
    while frame is not None and frame.f_code is not Guard.call.__code__:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False


def _nothing() -> None:
    pass
