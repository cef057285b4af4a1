"""One browser that looks on: what it watches, and how far behind it is."""

from __future__ import annotations

from asyncio import Future
from typing import Any, Protocol

MAX_WAITING = 100
"""Messages that may wait for a browser: 20 s of a busy queue."""

MAX_WAITING_BYTES = 4 * 2**20
"""Bytes that may wait for a browser, beyond one message."""

TOO_SLOW = 1013
"""The code with which one that lags is closed, "try again later": its page reconnects, and gets a snapshot."""


class Socket(Protocol):
    """A WebSocket, as tornado offers it."""

    def write_message(self, message: str | bytes, binary: bool = False) -> Future[None]:
        """Send a text; what is returned is done when it has left this process."""
        ...

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close, and say why."""
        ...


class Browser:
    """A page of somebody's browser. What it does not take in time is not kept for it.

    Args:
        socket: how it is told.

    Attributes:
        watched: names of the farms whose queues it is sent.
        told: the list of farms that it has.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._waiting = 0
        self._waiting_bytes = 0
        self._closed = False
        self.watched: set[str] = set()
        self.told = b""

    @property
    def is_closed(self) -> bool:
        """Whether it was dropped, or has gone."""
        return self._closed

    def send(self, message: bytes) -> None:
        """Send one message, encoded; a browser that has too much waiting is closed instead."""
        if self._closed:
            return
        if self._waiting >= MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self.close(TOO_SLOW, "too far behind; connect again")
            return
        try:
            sent = self._socket.write_message(message)
        except Exception:  # noqa: BLE001 - tornado has several errors for a socket that is closing
            self._closed = True
            return
        size = len(message)
        self._waiting += 1
        self._waiting_bytes += size
        sent.add_done_callback(lambda done: self._on_sent(size, done))

    def close(self, code: int, reason: str) -> None:
        """Close it; the page is told `code` and `reason`, if it still reads."""
        self._closed = True
        self._socket.close(code, reason)

    def gone(self) -> None:
        """Note that it has closed the connection."""
        self._closed = True

    def _on_sent(self, size: int, done: Future[Any]) -> None:
        self._waiting -= 1
        self._waiting_bytes -= size
        if done.cancelled() or done.exception() is not None:  # looked at, so that nobody logs it
            self._closed = True
