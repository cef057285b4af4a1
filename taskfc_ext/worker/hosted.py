"""The worker's process in a slot of an engine. The host of the slot runs `main`.

It is the worker of `worker.app`; its frames go to the host instead of a socket of the controller, and its large
payloads come and go through the host, as the store is elsewhere. Arguments: the descriptors of page, life pipe, stream
of frames and stream of files. The first frame on the latter is the `Begin`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import msgspec

from taskfc_ext.drivers.processes import FARM_PID, Page
from taskfc_ext.drivers.streams import FrameStream
from taskfc_ext.drivers.uploads import Content, UploadedFile, read_content
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.payloads import Payload, Upload
from taskfc_ext.protocol.slot_messages import FILE_PART, Begin, FilePart, FileWanted
from taskfc_ext.protocol.worker_messages import ToWorker
from taskfc_ext.worker.app import prepare_process, run_worker
from taskfc_ext.worker.connection import LifePipe

MARK = b""
"""The frame that stands between the frames of two connections."""


def main() -> None:
    """Run tasks until the host ends, or ends this process."""
    page_fd, life_fd, frames_fd, files_fd = map(int, sys.argv[1:5])
    log_handler = prepare_process(int(os.environ[FARM_PID]))
    files = socket.socket(fileno=files_fd)
    [begin] = codec.to_host.decode(_receive(files))
    assert isinstance(begin, Begin)
    options = msgspec.json.decode(begin.options, type=FarmOptions)
    stream = HostedConnection(FrameStream(socket.socket(fileno=frames_fd)), life_fd)
    run_worker(
        begin.worker,
        options,
        page=_page(page_fd),
        life=HostedLife(life_fd, stream),
        connect=stream.connect,
        payloads=HostedPayloads(files, f"w{begin.worker}x{os.urandom(4).hex()}"),
        log=Path("/proc/self/fd/2"),
        log_handler=log_handler,
        is_hosted=True,
    )


def _page(fd: int) -> Page:
    page = Page(fd)
    os.close(fd)
    return page


class HostedConnection:
    """The connection to the controller through the host; see `worker.link.Connection`.

    A mark that comes down says that the controller's end is another one. What stands behind it is not received before
    `connect`, which sends a mark up.
    """

    is_astray = False

    def __init__(self, stream: FrameStream, life_fd: int) -> None:
        self._stream = stream
        self._frames: list[bytes] = []
        self._is_first = True
        self._poll = select.poll()
        self._poll.register(life_fd, select.POLLIN)
        self._poll.register(stream.socket, select.POLLIN)

    def connect(self) -> HostedConnection:
        """Return this connection, for the frames behind the mark."""
        if self._is_first:
            self._is_first = False
        else:
            if self.has_mark:
                self._frames.pop(0)
            self._stream.send(MARK)
        return self

    @property
    def has_mark(self) -> bool:
        """Whether the next frame belongs to another connection."""
        return bool(self._frames) and self._frames[0] == MARK

    def send(self, messages: Sequence[Message]) -> bool:
        """Send one frame; return `False` if too much is unsent and nothing was sent."""
        if self._stream.is_full:
            self._stream.flush()
            if self._stream.is_full:
                return False
        self._stream.send(codec.encode(messages))
        return True

    def receive(self) -> list[ToWorker]:
        """Return all messages that have arrived up to a mark, in order; never blocks."""
        self._stream.flush()
        self._frames += self._stream.receive()
        n = self._frames.index(MARK) if MARK in self._frames else len(self._frames)
        frames, self._frames = self._frames[:n], self._frames[n:]
        return [message for frame in frames for message in codec.to_worker.decode(frame)]

    def wait(self, timeout_ms: int) -> None:
        """Return when something has arrived, or after `timeout_ms`; meanwhile send what is unsent."""
        if self.has_mark:
            return
        events = select.POLLIN | select.POLLOUT if self._stream.is_behind else select.POLLIN
        self._poll.modify(self._stream.socket, events)
        self._poll.poll(timeout_ms)

    def close(self) -> None:
        """Do nothing: the way to the host stays, whatever becomes of the controller."""


class HostedLife(LifePipe):
    """The pipe from the host: its end means that the host is gone. A mark in the frames orders a reconnect."""

    def __init__(self, fd: int, connection: HostedConnection) -> None:
        super().__init__(fd)
        self._connection = connection

    def wants_reconnect(self) -> bool:
        """Return whether there is a mark. Ends the process if the host is gone."""
        super().wants_reconnect()
        return self._connection.has_mark


class HostedPayloads:
    """The large payloads of this process, which come and go through the host; see `run.execute.Payloads`.

    Used by the main thread alone, which waits for the host.

    Args:
        files: the socket to the host.
        name: names this process among all senders of the farm.
    """

    def __init__(self, files: socket.socket, name: str) -> None:
        self._files = files
        self._name = name
        self._numbers = count(1)
        self._removed: deque[str] = deque()

    def write(self, parts: Iterable[bytes | memoryview], *, what: str) -> UploadedFile:
        """Send a payload, which is in the store before the message that names it."""
        views = [memoryview(part).cast("B") for part in parts]
        upload = Upload(self._name, f"{next(self._numbers):x}", sum(map(len, views)))
        offset = 0
        for data in (view[i : i + FILE_PART] for view in views for i in range(0, len(view), FILE_PART)):
            self._send_part(upload.file, upload.size, offset, bytes(data))
            offset += len(data)
        self._files.recv(1)
        while self._removed:
            self._send_part(self._removed.popleft(), -1, 0, b"")
        return UploadedFile(upload, Path(upload.file), self._removed.append)

    def _send_part(self, file: str, size: int, offset: int, data: bytes) -> None:
        part = FilePart(folder=self._name, file=file, size=size, offset=offset, data=data)
        _send(self._files, codec.encode([part]))

    def read(self, payload: Payload) -> Content:
        """Return a received payload.

        Raises:
            OSError: its file is gone or damaged.
        """
        if isinstance(payload, bytes):
            return payload
        _send(self._files, codec.encode([FileWanted(payload.file)]))
        answer, descriptors, _, _ = socket.recv_fds(self._files, 1, 1)
        if not answer:
            os._exit(0)  # the host is gone
        if not descriptors:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), payload.file)
        try:
            return read_content(descriptors[0], payload.size, payload.file)
        finally:
            os.close(descriptors[0])


def _send(end: socket.socket, frame: bytes) -> None:
    end.sendall(len(frame).to_bytes(8, "little") + frame)


def _receive(end: socket.socket) -> bytes:
    """Wait for a frame. The end of the host ends this process."""
    size = int.from_bytes(_exactly(end, 8), "little")
    return _exactly(end, size)


def _exactly(end: socket.socket, n: int) -> bytes:
    data = bytearray()
    while len(data) < n:
        some = end.recv(n - len(data))
        if not some:
            os._exit(0)
        data += some
    return bytes(data)
