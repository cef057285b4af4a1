"""Link to the controller's socket, in an event loop. A reconnect makes a new one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from taskfc_ext.drivers.transport import Dealer
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol.client_messages import ControllerMessage
from taskfc_ext.protocol.codec import from_controller, pack
from taskfc_ext.protocol.message import Message

_RETRY = 0.02  # seconds until a full ZMQ queue is tried again; it is full only while the controller is overloaded


class Link:
    """Sends and receives messages, and reports its end. All methods belong to the loop's thread.

    Args:
        loop: the running loop.
        path: the controller's socket.
        on_messages: called with received messages.
        on_lost: called once: when the link broke, or with the error of a message that cannot be decoded.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: Path,
        on_messages: Callable[[Sequence[ControllerMessage]], None],
        on_lost: Callable[[ProtocolError | None], None],
    ) -> None:
        self._loop = loop
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._unsent: deque[bytes] = deque()
        self._closed = False
        self._dealer: Dealer[ControllerMessage] = Dealer(path, from_controller)
        self._monitor = self._dealer.socket.get_monitor_socket(int(zmq.EVENT_DISCONNECTED))
        self._fds = (self._dealer.fd, int(self._monitor.fd))
        loop.add_reader(self._fds[0], self._receive)
        loop.add_reader(self._fds[1], self._check_monitor)
        loop.call_soon(self._check_monitor)  # its descriptor is readable only for events after the first read

    @property
    def is_astray(self) -> bool:
        """Whether nobody has answered, and nobody can: the socket's folder is another one by now."""
        return self._dealer.is_astray

    def send(self, messages: Sequence[Message]) -> None:
        """Send `messages` in order."""
        self._unsent += pack(messages)
        self._send_frames()

    def close(self) -> None:
        """Close at once; no callback is called after this."""
        if self._closed:
            return
        self._closed = True
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._dealer.socket.disable_monitor()
        self._monitor.close(0)
        self._dealer.close()

    def _send_frames(self) -> None:
        if self._closed:
            return
        while self._unsent:
            if not self._dealer.send_frame(self._unsent[0]):
                self._loop.call_later(_RETRY, self._send_frames)
                break
            self._unsent.popleft()
        self._loop.call_soon(self._receive)  # the descriptor is edge-triggered, and sending may have consumed the edge

    def _receive(self) -> None:
        while not self._closed:
            try:
                messages = self._dealer.receive()
            except ProtocolError as error:
                self._end(error)
                return
            if not messages:
                return
            self._on_messages(messages)

    def _check_monitor(self) -> None:
        while not self._closed:
            try:
                self._monitor.recv_multipart(int(zmq.NOBLOCK))
            except zmq.Again:
                return
            self._receive()  # the peer's last messages come first
            self._end(None)

    def _end(self, error: ProtocolError | None) -> None:
        if not self._closed:
            self.close()
            self._on_lost(error)
