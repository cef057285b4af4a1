"""Frames of the hosts in one process of an engine, on their way to the bridge, which comes to fetch them."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable

from taskfc_ext.protocol.slot_messages import PING_EVERY

LONGEST_REQUEST = PING_EVERY
"""Seconds after which a request for frames is answered without any; each is a sign of life of the bridge."""

LIMIT = 64 * 2**20
"""Bytes of frames that wait; then no more are taken."""

AT_ONCE = 16 * 2**20
"""Bytes that the bridge gets at once, or a single larger frame."""

Letters = list[tuple[str, bytes]]
"""(slot, frame), in order."""


class Mailbox:
    """Frames for one bridge. A batch is kept until the next one is asked for, as its answer may be lost on the way.

    Args:
        wake: called from any thread when a frame has come.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._letters: deque[tuple[str, bytes]] = deque()
        self._n_bytes = 0
        self._number = secrets.randbits(32)  # the bridge may still name a batch of an earlier mailbox
        self._is_closed = False
        self._out: Letters = []

    def post(self, slot: str, frame: bytes) -> bool:
        """Add a frame; return `False` if `LIMIT` bytes wait already and it was not added. Never waits."""
        with self._lock:
            if self._is_closed:
                return True
            if self._n_bytes > LIMIT:
                return False
            self._letters.append((slot, frame))
            self._n_bytes += len(frame)
        self._wake()
        return True

    def take(self, got: int) -> tuple[int, Letters]:
        """Return the number of a batch and its frames; no frames if there are none.

        Args:
            got: the number of the last batch that has arrived; a batch that has not is returned again.
        """
        with self._lock:
            if self._out and got != self._number:
                return self._number, self._out
            self._out = []
            size = 0
            while self._letters and (not self._out or size + len(self._letters[0][1]) <= AT_ONCE):
                self._out.append(self._letters.popleft())
                size += len(self._out[-1][1])
            if self._out:
                self._number += 1
                self._n_bytes -= size
            return self._number, self._out

    def close(self) -> None:
        """Drop all frames, and those that come: the bridge is gone."""
        with self._lock:
            self._is_closed = True
            self._letters.clear()
            self._out = []
            self._n_bytes = 0
