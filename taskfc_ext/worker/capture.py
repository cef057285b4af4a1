"""What tasks print: kept per task, bounded, and readable while the task runs."""

from __future__ import annotations

import io
import sys
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, TextIO

from taskfc_ext.text import encodable
from taskfc_ext.worker.displays import Displays

KEPT = 2**20
"""Characters of a task's output that are kept, half from either end: enough to see how it began and how it ended."""

LONGEST_LINE = 2**14
"""Characters of a line that may still be rewritten; what is longer is no progress bar."""

FRESH = 2**16
"""Characters that may wait for the next live `Output`."""


class BoundedText:
    """Text that keeps its beginning and its end when it grows past `limit` characters.

    Of a line that is rewritten with carriage returns, as progress bars do, only the last state is kept.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_room = self._half
        self._tail_size = 0
        self._n_dropped = 0
        self._unfinished = ""  # the last line, where it was rewritten

    def append(self, text: str) -> None:
        """Add `text` at the end."""
        if self._unfinished or "\r" in text:
            text = self._settled(text)
        self._add(text)

    def _settled(self, text: str) -> str:
        """Return what of the text can change no more, and keep back what can."""
        *lines, last = (_last_state(line) for line in (self._unfinished + text).split("\n"))
        self._unfinished = last if "\r" in last and len(last) <= LONGEST_LINE else ""
        return "\n".join([*lines, "" if self._unfinished else last])

    def _add(self, text: str) -> None:
        if self._head_room:
            first = text[: self._head_room]
            self._head.append(first)
            self._head_room -= len(first)
            text = text[len(first) :]
        if text:
            self._tail.append(text)
            self._tail_size += len(text)
            while self._tail_size - len(self._tail[0]) >= self._half:
                size = len(self._tail.popleft())
                self._tail_size -= size
                self._n_dropped += size

    def take(self) -> str:
        """Return the text, with a line that says how much is missing, and forget it."""
        self._add(self._unfinished)
        head, tail = "".join(self._head), "".join(self._tail)
        surplus = max(0, len(tail) - self._half)
        n_dropped = self._n_dropped + surplus
        self.clear()
        if not n_dropped:
            return encodable(head + tail)
        return encodable(f"{head}\n... {n_dropped:,} characters were dropped ...\n{tail[surplus:]}")


def _last_state(line: str) -> str:
    """Return what remains of a line that was rewritten, with one carriage return before it."""
    body = line.rstrip("\r")
    before, _, last = body.rpartition("\r")
    return line if not before else "\r" + last + line[len(body) :][:1]


class Capture:
    """Gives what is printed to the task that runs, from whatever thread; to the worker's log when none does.

    Args:
        log_out: where stdout goes when no task runs.
        log_err: where stderr goes then.

    Attributes:
        displays: what the task shows rather than prints.
    """

    def __init__(self, log_out: TextIO, log_err: TextIO) -> None:
        self._lock = threading.RLock()  # a signal handler of the user's may print while its thread is printing
        self._kept = BoundedText(KEPT)
        self._fresh = BoundedText(FRESH)
        self._has_text = False
        self._is_open = False
        self.displays = Displays()
        self.stdout = TaskStream(self, log_out)
        self.stderr = TaskStream(self, log_err)

    def install(self) -> None:
        """Become `sys.stdout` and `sys.stderr`."""
        sys.stdout = self.stdout
        sys.stderr = self.stderr

    def begin(self) -> None:
        """From now on a task is running, and finds our streams, whatever the last one has left there."""
        if sys.stdout is not self.stdout or sys.stderr is not self.stderr:
            self.install()
        self._is_open = True

    def end(self) -> str:
        """No task is running any more; return all that was kept of its output."""
        self._is_open = False
        if not self._has_text:
            return ""
        with self._lock:
            self._has_text = False
            self._fresh.clear()
            return self._kept.take()

    def take_fresh(self) -> str:
        """Return what was printed since the last call, for those who watch. Any thread."""
        if not self._has_text:
            return ""
        with self._lock:
            return self._fresh.take()

    def let_go(self) -> None:
        """Send everything to the log from now on: in a forked child, whose memory nobody reads."""
        self._lock = threading.RLock()  # the old one may be held by a thread that the child does not have
        self._is_open = False
        self.displays.let_go()

    def write(self, text: str, log: TextIO) -> None:
        """Add `text` to the running task's output, else to `log`. Any thread."""
        with self._lock:
            if self._is_open:
                self._has_text = True
                self._kept.append(text)
                self._fresh.append(text)
                return
        try:
            log.write(text)
            log.flush()
        except (OSError, ValueError):  # a full disk or a closed log must not end a thread that only prints
            pass


class TaskStream(io.TextIOBase):
    """What user code sees as `sys.stdout` or `sys.stderr`. Closing it has no effect."""

    def __init__(self, capture: Capture, log: TextIO) -> None:
        self._capture = capture
        self._log = log
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
        self._capture.write(text, self._log)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def writable(self) -> bool:
        return True

    def reconfigure(self, **options: object) -> None:
        """Accepted, and without effect: some libraries insist."""

    def fileno(self) -> int:
        """The log's: what other programs write there, we never see."""
        return self._log.fileno()

    def close(self) -> None:
        pass


class _Buffer(io.BufferedIOBase):
    """`sys.stdout.buffer`: bytes of UTF-8 become text; what is not is shown escaped."""

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
