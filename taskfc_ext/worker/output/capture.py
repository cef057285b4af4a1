"""Printed output of tasks: kept for each task, bounded, and readable while the task runs."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from os import SEEK_END, lseek
from typing import Any, TextIO

from taskfc_ext.protocol.printed import Printed
from taskfc_ext.text import encodable
from taskfc_ext.worker.output.descriptors import Tap, restore_descriptor
from taskfc_ext.worker.output.displays import Displays
from taskfc_ext.worker.output.stdin import NoStdin

KEPT = 2**20
"""Largest kept output of a task in characters: half from the beginning, half from the end."""

LONGEST_LINE = 2**14
"""Longest line in characters that may still be rewritten; a longer one is not a progress bar."""

FRESH = 2**16
"""Largest unsent output in characters between two live `Output` messages."""


STDOUT, STDERR = 0, 1
"""The numbers of the streams in a `Printed`."""

_Piece = tuple[str, int]


class BoundedText:
    """Text of two streams. Of more than `limit` characters, only the beginning and the end are kept.

    Of a line rewritten with carriage returns, as by progress bars, only the last state is kept.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self.clear()

    def clear(self) -> None:
        """Remove all text."""
        self._head: list[_Piece] = []
        self._tail: deque[_Piece] = deque()
        self._head_room = self._half
        self._tail_size = 0
        self._n_dropped = 0
        self._unfinished = ""  # the last line, if it was rewritten
        self._stream = STDOUT  # the stream of that line

    def append(self, text: str, stream: int = STDOUT) -> None:
        """Add `text` at the end."""
        if self._unfinished or "\r" in text:
            text = self._take_settled(text, stream)
        self._add(text, stream)

    def _take_settled(self, text: str, stream: int) -> str:
        """Return the part of the text that is final, and hold back a last line that may be rewritten."""
        if self._unfinished and self._stream != stream:
            self._add(self._unfinished, self._stream)
            self._unfinished = ""
        self._stream = stream
        *lines, last = (_last_state(line) for line in (self._unfinished + text).split("\n"))
        self._unfinished = last if "\r" in last and len(last) <= LONGEST_LINE else ""
        return "\n".join([*lines, "" if self._unfinished else last])

    def _add(self, text: str, stream: int) -> None:
        if self._head_room:
            first = text[: self._head_room]
            self._head.append((first, stream))
            self._head_room -= len(first)
            text = text[len(first) :]
        if text:
            self._tail.append((text, stream))
            self._tail_size += len(text)
            while self._tail_size - len(self._tail[0][0]) >= self._half:
                size = len(self._tail.popleft()[0])
                self._tail_size -= size
                self._n_dropped += size

    def take(self) -> Printed:
        """Return the text, with a note of the number of missing characters, and remove it."""
        self._add(self._unfinished, self._stream)
        head, end = self._head, list(self._tail)
        surplus = max(0, self._tail_size - self._half)
        n_dropped = self._n_dropped + surplus
        self.clear()
        if n_dropped:
            text, stream = end[0]  # it holds the whole surplus, or it would have been dropped
            end[0] = (text[surplus:], stream)
            head = [*head, (f"\n... {n_dropped:,} characters were dropped ...\n", stream)]
        return _to_printed([*head, *end])


def _to_printed(pieces: Iterable[_Piece]) -> Printed:
    """Return `pieces` as a `Printed`, in which the streams alternate."""
    turns: list[str] = []
    for stream, group in groupby((piece for piece in pieces if piece[0]), key=itemgetter(1)):
        if len(turns) % 2 != stream:
            turns.append("")  # only if stderr comes first
        turns.append(encodable("".join([text for text, _ in group])))
    return tuple(turns)


def _last_state(line: str) -> str:
    """Return the last state of a rewritten line, with one carriage return before it."""
    body = line.rstrip("\r")
    before, _, last = body.rpartition("\r")
    return line if not before else "\r" + last + line[len(body) :][:1]


class Capture:
    """Capture of all threads' output for the running task. Without a running task, output goes to the worker's log.

    Args:
        log_out: receives stdout when no task runs.
        log_err: receives stderr when no task runs.
        tap_out: reads output of C code and other programs to descriptor 1.
        tap_err: reads the log, to which descriptor 2 writes.
        flush_c: flushes the buffers of C code.

    Attributes:
        displays: the task's displays.
    """

    def __init__(
        self,
        log_out: TextIO,
        log_err: TextIO,
        *,
        tap_out: Tap | None = None,
        tap_err: Tap | None = None,
        flush_c: Callable[[], object] | None = None,
    ) -> None:
        self._lock = threading.RLock()  # a signal handler of the user's may print while its thread is printing
        self._kept = BoundedText(KEPT)
        self._fresh = BoundedText(FRESH)
        self._has_text = False
        self._is_open = False
        self._log_out = log_out
        self._taps = [(tap, stream) for tap, stream in ((tap_out, STDOUT), (tap_err, STDERR)) if tap is not None]
        self._flush_c = flush_c
        self.displays = Displays()
        self.stdout = TaskStream(self, log_out, STDOUT)
        self.stderr = TaskStream(self, log_err, STDERR)
        self._stdin = NoStdin()

    def install(self) -> None:
        """Replace `sys.stdout`, `sys.stderr`, and `sys.stdin`, from which a task cannot read."""
        sys.stdin = self._stdin
        sys.stdout = self.stdout
        sys.stderr = self.stderr

    def restore_descriptors(self) -> None:
        """Restore descriptors 1 and 2, which a task may have closed or redirected."""
        for tap, stream in self._taps:
            restore_descriptor(tap, stream + 1, self._log_out.fileno() if stream == STDERR else tap.fd)

    def begin(self) -> None:
        """Start the capture for a task, restoring the streams that the last task may have replaced."""
        if sys.stdout is not self.stdout or sys.stderr is not self.stderr:
            self.install()
        self._is_open = True

    def end(self) -> Printed:
        """End the capture for the task; return its kept output."""
        for tap, _ in self._taps:
            if lseek(tap.fd, 0, SEEK_END) != tap.position:
                self._drain()
                break
        return self.end_of_printing()

    def end_of_printing(self) -> Printed:
        """End the capture for a task that can only have printed through Python; return its kept output."""
        self._is_open = False
        if not self._has_text:
            return ()
        with self._lock:
            for tap, stream in self._taps:
                self._take(tap.rest(), stream)
            self._has_text = False
            self._fresh.clear()
            return self._kept.take()

    def drain_to_log(self) -> None:
        """Move output written past Python since the last task to the log. Called when no task runs."""
        self._drain()

    def flush_c(self) -> None:
        """Flush the buffers of C code."""
        if self._flush_c is not None:
            self._flush_c()

    def take_fresh(self) -> Printed:
        """Return the output since the last call, for subscribers. Any thread."""
        self._drain()
        if not self._has_text:
            return ()
        with self._lock:
            return self._fresh.take()

    def detach(self) -> None:
        """Pass all output on to the descriptors from now on: the memory of a forked child is not read."""
        self._lock = threading.RLock()  # the old one may be held by a thread that the child does not have
        self._is_open = False
        if self._taps:  # the parent reads the descriptors for the task
            self._taps = []
            self.stdout.log = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        self.displays.detach()

    def write(self, text: str, stream: int, log: TextIO) -> None:
        """Add `text` to the running task's output; to `log` if no task runs. Any thread."""
        with self._lock:
            if self._is_open:
                self._drain()
                self._take(text, stream)
                return
        _write(text, log)

    def write_to_log(self, text: str) -> None:
        """Write a record of the worker to the log, even while a task runs. Any thread."""
        with self._lock:
            self._drain()
            _write(text, self.stderr.log)
            for tap, stream in self._taps:
                if stream == STDERR:
                    tap.skip()

    def _drain(self) -> None:
        """Take output written past Python. Costs almost nothing if there is none."""
        for tap, _ in self._taps:
            if lseek(tap.fd, 0, SEEK_END) != tap.position:
                break
        else:
            return
        with self._lock:
            for tap, stream in self._taps:
                for text in tap.read():
                    if self._is_open:
                        self._take(text, stream)
                    elif stream == STDOUT:  # stderr is in the log already
                        _write(text, self._log_out)

    def _take(self, text: str, stream: int) -> None:
        if text:
            self._has_text = True
            self._kept.append(text, stream)
            self._fresh.append(text, stream)


def _write(text: str, log: TextIO) -> None:
    try:
        log.write(text)
        log.flush()
    except (OSError, ValueError):  # a full disk or a closed log must not end the thread that prints
        pass


class LogStream(io.TextIOBase):
    """Stream of the worker's own log records, which never go to a task."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def write(self, text: str, /) -> int:
        self._capture.write_to_log(text)
        return len(text)


class TaskStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of user code. Closing it has no effect."""

    def __init__(self, capture: Capture, log: TextIO, stream: int) -> None:
        self._capture = capture
        self._stream = stream
        self.log = log
        self.buffer = _Buffer(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._capture.write(text, self._stream, self.log)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def writable(self) -> bool:
        return True

    def reconfigure(self, **options: object) -> None:
        """Do nothing: some libraries call this."""

    def fileno(self) -> int:
        """Return the process's own descriptor, to which other programs may write too."""
        return 1 + self._stream

    def close(self) -> None:
        pass


class _Buffer(io.BufferedIOBase):
    """`sys.stdout.buffer`: decodes UTF-8; invalid bytes are shown escaped."""

    def __init__(self, stream: TaskStream) -> None:
        self._stream = stream

    def write(self, data: Any, /) -> int:
        body = bytes(data)
        self._stream.write(body.decode("utf-8", "backslashreplace"))
        return len(body)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        pass
