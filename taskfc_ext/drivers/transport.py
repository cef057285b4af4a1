"""ZMQ over Unix sockets: the controller binds a `Router`, clients and workers connect a `Dealer`.

One ZMQ frame carries one list of messages. Sends never block, since one slow peer would stop all others. Flags are
plain ints, since pyzmq's enums double the cost of a call.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import zmq

from taskfc_ext.drivers.process_limits import require_files, require_threads
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
"""Seconds that a closing controller waits for its peers to read its last messages."""

BYTES_AT_ONCE = 32 * 2**20
"""Bytes of frames that a `Router` receives before they are handled, if its owner names no others."""

JUNK_AT_ONCE = 8
"""Frames of one ignored peer after which a `Router` receives no more at once. ZMQ takes frames from all peers in turn,
so by then each of the others has been heard."""

SEND_QUEUE = 1000
"""Frames that ZMQ holds for one peer; after that, `send` returns `False`."""


RECEIVE_QUEUE = 16
"""Frames that ZMQ holds of one peer of a `Router`; after that, the peer's own queue fills. It bounds the memory that a
peer can take before a frame of it is received: most frames of our clients have at most 8 MiB."""


_FILES = 12
"""Descriptors of one connection: the first of a process and its monitor take 10."""

_THREADS = 2
"""Threads that ZMQ starts with the first socket of a process."""

_pid_with_threads = 0  # the process in which ZMQ has started them


class Decoder(Protocol[M]):
    """The part of a `FrameDecoder` that a connection uses."""

    def decode(self, frame: bytes, /) -> list[M]: ...


def _require_limits() -> None:
    """Check that ZMQ gets what it needs for one more connection: it would abort this process.

    Raises:
        FarmError: the message says of what there are too few.
    """
    global _pid_with_threads
    purpose = "a connection to the farm"
    require_files(_FILES, purpose)
    if _pid_with_threads != os.getpid():
        require_threads(_THREADS, purpose)
        _pid_with_threads = os.getpid()


def _socket(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0  # important messages are acknowledged or sent again, so an exit need not wait
    socket.sndhwm = SEND_QUEUE
    socket.rcvhwm = SEND_QUEUE
    return socket


def _is_readable(socket: zmq.Socket[bytes]) -> bool:
    # checked before each `recv`, since an exception at the end would cost three times as much
    return bool(int(socket.getsockopt(_EVENTS)) & _POLLIN)


class Dealer(Generic[M]):
    """A client's or worker's end of a connection. Not thread-safe; another thread may use it under a lock.

    A reconnect is a new `Dealer` with a new routing id: messages in transit on the old one are lost.

    Args:
        path: the controller's socket; it need not exist yet.
        decoder: decodes the received frames.

    Raises:
        FolderRefused: the socket or its folder belongs to another user.
        FarmError: this process has too few descriptors or threads left.
    """

    def __init__(self, path: Path, decoder: Decoder[M]) -> None:
        _require_limits()
        self._decoder = decoder
        self._folder = path.parent
        self._has_received = False
        self._folder_fd = open_folder(self._folder)  # ZMQ's own reconnects use this descriptor, too
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
        """True if no answer has come, and none can, since the folder was removed and perhaps made again."""
        return not self._has_received and not is_still(self._folder_fd, self._folder)

    @property
    def fd(self) -> int:
        """The edge-triggered descriptor: when it is ready, and after each `send`, call `receive` until it is empty."""
        return int(self.socket.fd)

    def send(self, messages: Sequence[Message]) -> bool:
        """Send one frame; return `False` if ZMQ's queue is full and nothing was sent."""
        return self.send_frame(codec.encode(messages))

    def send_frame(self, frame: bytes) -> bool:
        """Send a frame that was encoded before; return `False` if ZMQ's queue is full and nothing was sent."""
        try:
            self.socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> list[M]:
        """Return all messages that have arrived, in order; never blocks.

        Raises:
            ProtocolError: a frame is damaged or illegal.
        """
        messages: list[M] = []
        socket = self.socket
        while _is_readable(socket):
            messages += self._decoder.decode(socket.recv(_NOBLOCK))
            self._has_received = True
        return messages

    def close(self) -> None:
        """Close at once; unsent frames are dropped."""
        self.socket.close(0)
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1


class _Undecoded:
    """Stands for a decoder where frames are passed on as they are."""

    def decode(self, frame: bytes) -> list[bytes]:
        return [frame]


class FrameDealer(Dealer[bytes]):
    """A worker's end of a connection, for a process that only passes its frames on. For `path` see `Dealer`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _Undecoded())


class Router:
    """The controller's end of many connections, each identified by its routing id.

    Args:
        path: the socket file; an old one is replaced.
        largest: bytes of the largest frame that a peer may send; one that sends more loses its connection.

    Raises:
        FolderRefused: the socket's folder belongs to another user.
        FarmError: this process has too few descriptors or threads left.
    """

    def __init__(self, path: Path, *, largest: int = MAX_FRAME) -> None:
        _require_limits()
        self.path = path
        self._folder_fd = -1
        self._refusal = ""
        self.socket = _socket(zmq.ROUTER)
        self.socket.rcvhwm = RECEIVE_QUEUE
        self.socket.setsockopt(zmq.MAXMSGSIZE, largest)
        self.socket.router_mandatory = True  # else ZMQ silently drops frames for lost peers
        if hasattr(zmq, "IPC_FILTER_UID") and sys.platform == "linux":
            self.socket.setsockopt(zmq.IPC_FILTER_UID, os.geteuid())
        try:
            self.bind()
        except BaseException:
            self.socket.close(0)
            raise

    def bind(self) -> None:
        """Bind, or bind again if the socket file or its folder is missing (temporary folders get cleaned)."""
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
        self._folder_fd = folder_fd  # an earlier one stays open: ZMQ's thread uses it to remove the old socket file

    def rebind_if_vanished(self) -> bool:
        """Bind again if the socket file is missing; connected peers keep their connections. Return whether it did.

        If another user has made the folder again, it does nothing until that folder is gone, and logs that once.
        """
        if is_still(self._folder_fd, self.path.parent) and exists_below(self._folder_fd, self.path.name):
            return False
        try:
            self.bind()  # without an `unbind`, which would silently disconnect all peers
        except FolderRefused as error:
            if str(error) != self._refusal:
                logger.error("no client can connect to %s: %s", self.path, error)
            self._refusal = str(error)
            return False
        self._refusal = ""
        return True

    def receive(
        self, at_most: int, enough: int = BYTES_AT_ONCE, is_ignored: Callable[[bytes], bool] | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `at_most` received (routing id, frame), none after `enough` bytes of frames; never blocks.

        A ZMQ message of several frames is illegal: it is returned as (routing id, b""). So are those of the peers that
        `is_ignored` accepts, which are not even copied. After `JUNK_AT_ONCE` of one of these it returns.
        """
        received: list[tuple[bytes, bytes]] = []
        n_ignored: dict[bytes, int] = {}
        socket, n_bytes = self.socket, 0
        while len(received) < at_most and n_bytes < enough and _is_readable(socket):
            identity = socket.recv(_NOBLOCK)
            frame = b""
            if is_ignored is not None and is_ignored(identity):
                n_ignored[identity] = n_ignored.get(identity, 0) + 1
                if n_ignored[identity] == JUNK_AT_ONCE:
                    at_most = 0
            elif socket.getsockopt(_RCVMORE):
                frame = socket.recv(_NOBLOCK)
            while socket.getsockopt(_RCVMORE):
                frame = b""
                socket.recv(_NOBLOCK, copy=False)
            received.append((identity, frame))
            n_bytes += len(frame)
        return received

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send `frame`; return `False` if this peer's queue is full and nothing was sent.

        Raises:
            ConnectionError: the peer has disconnected.
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
        """Close, and remove the socket file; ZMQ sends the last frames in the background, for `LINGER` seconds."""
        self.socket.close(int(LINGER * 1000))
        remove_below(self._folder_fd, self.path.name)


def finish() -> None:
    """Wait until the last frames of all closed routers are sent, or `LINGER` is over."""
    zmq.Context.instance().term()
