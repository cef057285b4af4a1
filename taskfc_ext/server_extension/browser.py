"""One browser page that is connected: its subscriptions, and its unsent messages."""

from __future__ import annotations

from asyncio import Future
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

MAX_WAITING = 500
"""Messages that may wait for a browser: 100 s of a busy queue, and more than the parts of a snapshot."""

MAX_WAITING_BYTES = 4 * 2**20
"""Bytes that may wait for a browser, beyond one message and the first snapshot of each queue."""

TOO_SLOW = 1013
"""Close code for a browser that lags, "try again later": its page reconnects, and gets a snapshot."""


class Socket(Protocol):
    """A WebSocket, as tornado offers it."""

    def write_message(self, message: str | bytes, binary: bool = False) -> Future[None]:
        """Send a text; the future is done when it has left this process."""
        ...

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close with a code and a reason."""
        ...


class Browser:
    """A page in a browser. Messages that it does not take in time are not kept for it.

    Args:
        socket: its WebSocket.

    Attributes:
        watched: names of the farms whose queues it gets.
        farms_sent: the last list of farms that it got, encoded.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._waiting = 0
        self._waiting_bytes = 0
        self._snapshots: Counter[str] = Counter()  # farm -> parts of its snapshot that wait
        self._closed = False
        self.watched: set[str] = set()
        self.farms_sent = b""

    @property
    def is_closed(self) -> bool:
        """Whether the connection was closed, by either side."""
        return self._closed

    def send(self, message: bytes) -> None:
        """Send one encoded message; a browser that lags too far is closed instead."""
        if self._waiting >= MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self.close(TOO_SLOW, "too far behind; connect again")
            return
        size = len(message)

        def on_sent() -> None:
            self._waiting -= 1
            self._waiting_bytes -= size

        self._waiting += 1
        self._waiting_bytes += size
        self._write(message, on_sent)

    def send_snapshot(self, farm: str, parts: Sequence[bytes]) -> None:
        """Send a whole queue, which may wait however large it is. Another one that is asked for meanwhile counts."""
        again = self._snapshots[farm] > 0
        for part in parts:
            if again:
                self.send(part)
            else:
                self._snapshots[farm] += 1
                self._write(part, lambda: self._snapshots.subtract((farm,)))

    def close(self, code: int, reason: str) -> None:
        """Close the connection; the page gets `code` and `reason`, if it still reads."""
        if not self._closed:
            self._closed = True
            self._socket.close(code, reason)

    def mark_closed(self) -> None:
        """Note that the page has closed the connection."""
        self._closed = True

    def _write(self, message: bytes, on_sent: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            sent = self._socket.write_message(message)
        except Exception:  # noqa: BLE001 - tornado has several errors for a socket that is closing
            self._closed = True
            return

        def on_done(done: Future[Any]) -> None:
            on_sent()
            if done.cancelled() or done.exception() is not None:  # retrieved, so that asyncio does not log it
                self._closed = True

        sent.add_done_callback(on_done)
