"""Frames over a stream socket: each has its length before it. For a worker's process and the host of its slot."""

from __future__ import annotations

import socket
import struct
import sys
from collections import deque

_LENGTH = struct.Struct("<Q")

_AT_ONCE = 2**18

LIMIT = 64 * 2**20
"""Bytes of unsent frames, from which `FrameStream.is_full`."""


class FrameStream:
    """One end of a stream of frames; never blocks. Not thread-safe.

    Args:
        end: a connected stream socket, owned from now on.
        largest: bytes of the largest frame that the other end may send. A longer one ends the stream: a task may have
            written to the other end.

    Attributes:
        has_ended: no frame can come any more. If the other end is closed, all of its frames have been received.
    """

    def __init__(self, end: socket.socket, *, largest: int = sys.maxsize) -> None:
        end.setblocking(False)
        self.socket = end
        self._largest = largest
        self.has_ended = False
        self._unsent: deque[memoryview] = deque()
        self._n_unsent = 0
        self._received = bytearray()

    @property
    def is_behind(self) -> bool:
        """Whether some bytes are not sent yet."""
        return bool(self._unsent)

    @property
    def is_full(self) -> bool:
        """Whether so much is unsent that the sender should wait."""
        return self._n_unsent > LIMIT

    def send(self, frame: bytes) -> None:
        """Send a frame, at once or by later calls of `flush`."""
        header = _LENGTH.pack(len(frame))
        parts = [header + frame] if len(frame) < _AT_ONCE else [header, frame]
        self._unsent.extend(map(memoryview, parts))
        self._n_unsent += len(header) + len(frame)
        self.flush()

    def flush(self) -> None:
        """Send unsent bytes for which there is room."""
        while self._unsent:
            part = self._unsent[0]
            try:
                n = self.socket.send(part)
            except BlockingIOError:
                return
            except OSError:  # the other end is closed: what it has sent can still be received
                self._unsent.clear()
                self._n_unsent = 0
                return
            self._n_unsent -= n
            if n == len(part):
                self._unsent.popleft()
            else:
                self._unsent[0] = part[n:]

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived whole."""
        frames: list[bytes] = []
        while not self.has_ended:
            try:
                data = self.socket.recv(_AT_ONCE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if data:
                self._received += data
            else:
                self.has_ended = True
            if len(self._received) > LIMIT:
                break
        position = 0
        while len(self._received) - position >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._received, position)
            if size > self._largest:
                self._break_off()
                return frames
            end = position + _LENGTH.size + size
            if end > len(self._received):
                break
            frames.append(bytes(self._received[position + _LENGTH.size : end]))
            position = end
        del self._received[:position]
        return frames

    def _break_off(self) -> None:
        self.has_ended = True
        self._received.clear()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other end is closed
            pass

    def close(self) -> None:
        """Close this end."""
        self.socket.close()
