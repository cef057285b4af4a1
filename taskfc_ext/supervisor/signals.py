"""Signals as bytes on a pipe that a selector can wait for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalPipe:
    """The read end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """For a selector."""
        return self._fd

    def receive(self) -> set[int]:
        """Return the signals that came since the last call."""
        try:
            return set(os.read(self._fd, 4096))
        except BlockingIOError:
            return set()


@contextmanager
def signal_pipe() -> Iterator[SignalPipe]:
    """Catch the signals that concern the supervisor; restores what was before. In the main thread only.

    SIGINT and SIGHUP are caught to have no effect. They are not ignored, since children would inherit that.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, _nothing) for number in _WATCHED}
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)  # a client's thread may have had them blocked
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield SignalPipe(reader)
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _nothing(number: int, frame: object) -> None:
    """The byte in the pipe is all that is wanted."""
