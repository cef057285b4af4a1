"""ZMQ over Unix sockets: a `Router` that the controller binds, a `Dealer` that clients and workers connect.

One ZMQ frame carries one list of messages. Sends never block: a ZMQ socket that blocks would let one slow peer
stop all others. Flags are plain ints, since pyzmq's enums double the cost of a call.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import zmq

from taskfc_ext.drivers.socket_folder import (
    FolderRefused,
    check_peer,
    exists_below,
    is_still,
    open_folder,
    path_below,
    remove_below,
)
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.codec import FrameDecoder
from taskfc_ext.protocol.limits import MAX_FRAME
from taskfc_ext.protocol.message import Message

logger = logging.getLogger(__name__)

M = TypeVar("M")

_NOBLOCK = int(zmq.NOBLOCK)
_SNDMORE = int(zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_RCVMORE = int(zmq.RCVMORE)
_POLLIN = int(zmq.POLLIN)
_RECONNECT_MS = 10  # a Unix connect to an absent peer costs microseconds, and a restarted controller is back in 200 ms

LINGER = 0.5
"""Seconds that a closing controller has for what its peers have not read yet."""

_BYTES_AT_ONCE = 32 * 2**20
"""Bytes of frames that are received before what they say is dealt with."""

SEND_QUEUE = 1000
"""Frames that ZMQ holds for one peer; past it the sender is told, and decides."""


def _socket(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0  # what matters is acknowledged and sent again; nothing may hold up an exit
    socket.sndhwm = SEND_QUEUE
    socket.rcvhwm = SEND_QUEUE
    return socket


def _is_readable(socket: zmq.Socket[bytes]) -> bool:
    # asked before each `recv`, since an exception after the last one would cost three times as much
    return bool(int(socket.getsockopt(_EVENTS)) & _POLLIN)


class Dealer(Generic[M]):
    """One end of a connection to the controller. Not thread-safe; may be handed over under a lock.

    A reconnect is a new `Dealer`: it has a new routing id, and nothing that was on its way in the old one is seen.

    Args:
        path: the controller's socket; need not exist yet.
        decoder: for what arrives.

    Raises:
        FolderRefused: the socket's folder, or who listens there, is another user's.
    """

    def __init__(self, path: Path, decoder: FrameDecoder[M]) -> None:
        self._decoder = decoder
        self._folder = path.parent
        self._has_received = False
        self._folder_fd = open_folder(self._folder)  # ZMQ connects again by itself, and then below this, too
        try:
            check_peer(self._folder_fd, path)
            self.socket = _socket(zmq.DEALER)
            self.socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
            self.socket.connect(f"ipc://{path_below(self._folder_fd, path)}")
        except BaseException:
            os.close(self._folder_fd)
            raise

    @property
    def is_astray(self) -> bool:
        """Whether nobody has answered by now, nor can: the folder was removed, and perhaps made again."""
        return not self._has_received and not is_still(self._folder_fd, self._folder)

    @property
    def fd(self) -> int:
        """Edge-triggered: when it wakes, `receive` until it returns nothing, also after every `send`."""
        return int(self.socket.fd)

    def send(self, messages: Sequence[Message]) -> bool:
        """Send one frame; `False` when ZMQ's queue is full and nothing was sent."""
        try:
            self.socket.send(codec.encode(messages), _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> list[M]:
        """Return all messages that have arrived, in order; never blocks.

        Raises:
            ProtocolError: a frame that the controller cannot have meant.
        """
        messages: list[M] = []
        socket = self.socket
        while _is_readable(socket):
            messages += self._decoder.decode(socket.recv(_NOBLOCK))
            self._has_received = True
        return messages

    def close(self) -> None:
        """Close at once; what was not sent is dropped."""
        self.socket.close(0)
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1


class Router:
    """The controller's end: frames from and to many peers, each known by its routing id.

    Args:
        path: where to bind; an old socket file there is replaced.

    Raises:
        FolderRefused: the socket's folder is another user's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder_fd = -1
        self._refusal = ""
        self.socket = _socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)  # of each frame; a peer that sends more is cut off
        self.socket.router_mandatory = True  # else ZMQ drops silently what is for a peer that is gone
        if hasattr(zmq, "IPC_FILTER_UID") and sys.platform == "linux":
            self.socket.setsockopt(zmq.IPC_FILTER_UID, os.geteuid())
        try:
            self.bind()
        except BaseException:
            self.socket.close(0)
            raise

    def bind(self) -> None:
        """Bind, also again when the socket file or its folder has vanished (temporary folders get cleaned)."""
        folder_fd = open_folder(self.path.parent)
        mask = os.umask(0o077)
        try:
            remove_below(folder_fd, self.path.name)
            self.socket.bind(f"ipc://{path_below(folder_fd, self.path)}")
        except BaseException:
            os.close(folder_fd)
            raise
        finally:
            os.umask(mask)
        self._folder_fd = folder_fd  # an earlier one stays open: ZMQ removes its file below it, in a thread of its own

    def rebind_if_vanished(self) -> bool:
        """Bind again if the socket file is gone; connected peers are not disturbed. Return whether it was.

        Where another user has made its folder again, nothing is done until that is gone, and it is logged once.
        """
        if is_still(self._folder_fd, self.path.parent) and exists_below(self._folder_fd, self.path.name):
            return False
        try:
            self.bind()  # without an `unbind`, which would cut off all peers and tell them nothing
        except FolderRefused as error:
            if str(error) != self._refusal:
                logger.error("nobody can connect to %s: %s", self.path, error)
            self._refusal = str(error)
            return False
        self._refusal = ""
        return True

    def receive(self, at_most: int) -> list[tuple[bytes, bytes]]:
        """Return up to `at_most` (routing id, frame) that have arrived, fewer where they are large; never blocks.

        A message of several frames is no message of ours: it comes back as (routing id, b"").
        """
        received: list[tuple[bytes, bytes]] = []
        socket, n_bytes = self.socket, 0
        while len(received) < at_most and n_bytes < _BYTES_AT_ONCE and _is_readable(socket):
            identity = socket.recv(_NOBLOCK)
            frame = socket.recv(_NOBLOCK) if socket.getsockopt(_RCVMORE) else b""
            while socket.getsockopt(_RCVMORE):
                frame = b""
                socket.recv(_NOBLOCK)
            received.append((identity, frame))
            n_bytes += len(frame)
        return received

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send `frame`; `False` when this peer's queue is full and nothing was sent.

        Raises:
            ConnectionError: the peer is gone.
        """
        socket = self.socket
        try:
            socket.send(identity, _NOBLOCK | _SNDMORE)
            socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                raise ConnectionError(f"peer {identity.hex()} is gone") from error
            raise
        return True

    def close(self) -> None:
        """Close, and remove the socket file; what was sent just now has `LINGER` to leave, in the background."""
        self.socket.close(int(LINGER * 1000))
        remove_below(self._folder_fd, self.path.name)


def finish() -> None:
    """Wait until the last words of all closed routers have left, or have had their time."""
    zmq.Context.instance().term()
