"""The bridge's three kinds of ends: a worker's connection to the controller, a slot's host, the supervisor."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from taskfc_ext.drivers.transport import FrameDealer
from taskfc_ext.engines.adapter import Adapter, SlotGone
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.bridge_messages import FromBridge, ToBridge
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.slot_messages import FilePart, ToHost

BATCH = 16 * 2**20
"""Bytes of frames for one call to a host, or a single larger frame."""

_DATAGRAM = 2**20


class ControllerConnection:
    """A worker's connection to the controller. To be used in the event loop's thread.

    Args:
        path: the controller's socket for workers.
        receive: gets the frames for the worker.
    """

    def __init__(self, path: Path, receive: Callable[[tuple[bytes, ...]], None]) -> None:
        self._receive = receive
        self._dealer = FrameDealer(path)
        self._unsent: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._dealer.fd, self._on_ready)

    @property
    def is_astray(self) -> bool:
        """Whether no answer has come and none can, since the socket's folder was removed."""
        return self._dealer.is_astray

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames of the worker, at once or as soon as the connection has room."""
        self._unsent.extend(frames)
        self.flush()

    def flush(self) -> None:
        """Send waiting frames for which there is room, and handle what has come."""
        while self._unsent and self._dealer.send_frame(self._unsent[0]):
            self._unsent.popleft()
        self._on_ready()  # the descriptor is edge-triggered, and a send may take its edge

    def _on_ready(self) -> None:
        frames = self._dealer.receive()
        if frames:
            self._receive(tuple(frames))

    def close(self) -> None:
        """Close at once; unsent frames are dropped."""
        self._loop.remove_reader(self._dealer.fd)
        self._dealer.close()


class HostPipe:
    """The way to one slot's host: messages are sent in order, in one call at a time, as many as have come meanwhile."""

    def __init__(self, adapter: Adapter, slot: str) -> None:
        self._adapter = adapter
        self._slot = slot
        self._unsent: deque[ToHost] = deque()
        self._files: deque[AsyncIterator[FilePart]] = deque()
        self._has_work = asyncio.Event()
        self._is_closing = False
        self._sending = asyncio.get_running_loop().create_task(self._send_all())

    def send(self, message: ToHost) -> None:
        """Send a message after the earlier ones."""
        self._unsent.append(message)
        self._has_work.set()

    def send_file(self, parts: AsyncIterator[FilePart]) -> None:
        """Send a file; other messages pass between its parts."""
        self._files.append(parts)
        self._has_work.set()

    def close(self) -> None:
        """Send what waits, and nothing after it."""
        self._is_closing = True
        self._has_work.set()

    def cancel(self) -> None:
        """Send nothing more."""
        self._sending.cancel()

    async def _send_all(self) -> None:
        with suppress(SlotGone):  # the adapter says so in an event, too
            while True:
                await self._has_work.wait()
                batch = self._next_batch()
                if not batch and self._files:
                    part = await anext(self._files[0], None)
                    if part is None:
                        self._files.popleft()
                    else:
                        batch = [part]
                if batch:
                    await self._adapter.put(self._slot, codec.encode(batch))
                elif self._is_closing:
                    return
                elif not self._files:
                    self._has_work.clear()

    def _next_batch(self) -> list[Message]:
        batch: list[Message] = []
        size = 0
        while self._unsent and size < BATCH:
            batch.append(self._unsent.popleft())
            size += sum(map(len, getattr(batch[-1], "frames", ())))
        return batch


class SupervisorEnd:
    """The bridge's end of the socket pair.

    Args:
        receive: gets each message.
        hang_up: called when the supervisor is gone.
    """

    def __init__(self, end: socket.socket, receive: Callable[[ToBridge], None], hang_up: Callable[[], None]) -> None:
        self._socket = end
        self._receive = receive
        self._hang_up = hang_up
        self._unsent: deque[bytes] = deque()
        end.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end, self._on_ready)

    def send(self, message: FromBridge) -> None:
        """Send a message, at once or as soon as there is room."""
        self._unsent.append(codec.encode([message]))
        self._flush()

    def _flush(self) -> None:
        self._loop.remove_writer(self._socket)
        while self._unsent:
            try:
                self._socket.send(self._unsent[0])
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._flush)
                return
            except OSError:
                self._unsent.clear()
                return
            self._unsent.popleft()

    def _on_ready(self) -> None:
        while True:
            try:
                frame = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                frame = b""
            if not frame:
                self._loop.remove_reader(self._socket)
                self._hang_up()
                return
            for message in codec.to_bridge.decode(frame):
                self._receive(message)
