"""Signals as events with their senders, on a descriptor that a loop can wait for.

A task can send any signal to the processes of its farm. So these block all signals and read them from the descriptor,
which also names the sender. Real faults, such as a segmentation fault, still end the process.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from taskfc_ext.drivers.process_tree import runs_outside

_INFO = struct.Struct("=IiiI112x")  # the number, two unused fields, the sender's pid; see signalfd(2)
_SIGSET_BYTES = 128


class Signal(NamedTuple):
    """A received signal. `sender`: a pid; `None`: unknown; 0: the kernel, or a process of another container."""

    number: int
    sender: int | None


class SignalQueue:
    """The descriptor with the received signals."""

    def __init__(self, fd: int, *, has_senders: bool) -> None:
        self._fd = fd
        self._has_senders = has_senders

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._fd

    def receive(self) -> list[Signal]:
        """Return the signals since the last call. Several with one number may be merged into one."""
        size = _INFO.size if self._has_senders else 1
        try:
            data = os.read(self._fd, 64 * size)
        except BlockingIOError:
            return []
        if not self._has_senders:
            return [Signal(number, None) for number in set(data)]
        return [Signal(number, sender) for number, _, _, sender in _INFO.iter_unpack(data)]


def is_stray(received: Signal, root: int, *, trusted: int = 0) -> bool:
    """Return whether a descendant of `root`, other than `trusted`, sent this signal.

    A signal whose sender has ended counts too: a task's program may have sent it. Any other sender can send it again.
    """
    sender = received.sender
    if not sender or sender == trusted:
        return False
    return not runs_outside(sender, root)


@contextmanager
def signal_queue(watched: Iterable[int]) -> Iterator[SignalQueue]:
    """Receive signals through a queue until the end of the `with`. In the main thread only, before others start.

    Args:
        watched: the signals to receive, on systems that cannot receive all of them.
    """
    if sys.platform != "linux":
        with _signal_pipe(watched) as fd:
            yield SignalQueue(fd, has_senders=False)
        return
    # The last two come with a failed write, whose error says the same, and Python ignores them. A log that says so of
    # them on a disk that takes nothing would cause the next one.
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    fd = _signalfd(numbers)
    try:
        yield SignalQueue(fd, has_senders=True)
    finally:
        os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def unblock_signals() -> None:
    """Unblock all signals. Call this first in a child process, which inherits the block, unless it has a queue too."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _signalfd(numbers: Iterable[int]) -> int:
    import ctypes

    mask = sum(1 << (number - 1) for number in numbers)
    bits = (ctypes.c_ulong * (_SIGSET_BYTES // ctypes.sizeof(ctypes.c_ulong)))()
    width = 8 * ctypes.sizeof(ctypes.c_ulong)
    for i in range(len(bits)):
        bits[i] = (mask >> (i * width)) & (2**width - 1)
    flags = os.O_NONBLOCK | os.O_CLOEXEC  # the same values as SFD_NONBLOCK and SFD_CLOEXEC
    fd = ctypes.CDLL(None, use_errno=True).signalfd(-1, ctypes.byref(bits), flags)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return int(fd)


@contextmanager
def _signal_pipe(watched: Iterable[int]) -> Iterator[int]:
    numbers = list(watched)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    # a handler, also for signals without effect: children would inherit that they are ignored
    before = {number: signal.signal(number, _do_nothing) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # a client's thread may have had them blocked
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _do_nothing(number: int, frame: object) -> None:
    """Do nothing: the byte in the pipe is enough."""
