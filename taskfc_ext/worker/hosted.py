"""The worker's process in a slot of an engine. The host of the slot runs `main`.

It is the worker of `worker.app`; its frames go to the host instead of a socket of the controller, and its large
payloads come and go through the host, as the store is elsewhere. Arguments: a folder for tasks whose working directory
is not on this machine, which the host removes, and the descriptors of page, life pipe, stream of frames and socket for
files. The first frame is the `Begin`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import msgspec

from taskfc_ext.drivers.files import path_of_descriptor
from taskfc_ext.drivers.payload_reading import Content, read_content
from taskfc_ext.drivers.processes import FARM_PID, Page
from taskfc_ext.drivers.streams import FrameStream
from taskfc_ext.drivers.uploads import UploadedFile, cannot_write, write_content
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.payloads import Payload, Upload
from taskfc_ext.protocol.slot_messages import MARK, Begin, FileDropped, FileWanted, FileWritten
from taskfc_ext.protocol.worker_messages import ToWorker
from taskfc_ext.worker.app import prepare_process, run_worker
from taskfc_ext.worker.connection import LifePipe
from taskfc_ext.worker.context.elsewhere import PrivateFolder

_DATAGRAM = 4096
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def main() -> None:
    """Run tasks until the host ends, or ends this process."""
    private_folder, page_fd, life_fd, frames_fd, files_fd = sys.argv[1], *map(int, sys.argv[2:6])
    log_handler = prepare_process(int(os.environ[FARM_PID]))
    connection = HostedConnection(FrameStream(socket.socket(fileno=frames_fd)), life_fd)
    [begin] = codec.to_host.decode(connection.receive_first())
    assert isinstance(begin, Begin)
    name = f"w{begin.worker}x{os.urandom(4).hex()}"
    run_worker(
        begin.worker,
        msgspec.json.decode(begin.options, type=FarmOptions),
        page=_page(page_fd),
        life=HostedLife(life_fd, connection),
        connect=connection.connect,
        payloads=HostedPayloads(socket.socket(fileno=files_fd), name, os.path.dirname(private_folder)),
        log=path_of_descriptor(2),
        log_handler=log_handler,
        private_folder=PrivateFolder(private_folder),
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

    def receive_first(self) -> bytes:
        """Wait for the first frame, and return it. The end of the host ends this process."""
        while not self._frames:
            if self._stream.has_ended:
                os._exit(0)
            self._poll.poll()
            self._frames += self._stream.receive()
        return self._frames.pop(0)

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
        """Return all messages that have arrived up to a mark, in order; never blocks.

        Raises:
            ConnectionError: the stream is broken: a task has closed it, or written to it.
        """
        self._stream.flush()
        self._frames += self._stream.receive()
        if self._stream.has_ended and not self._frames:
            raise ConnectionError("the stream of frames to the host is broken")
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

    For the main thread, which a task's interrupt may strike anywhere: each message is one datagram, so none is torn.

    Args:
        host: the socket to the host.
        name: names this process among all senders of the farm.
        folder: where files are written; they have no names.
    """

    def __init__(self, host: socket.socket, name: str, folder: str) -> None:
        self._host = host
        self._name = name
        self._folder = folder
        self._numbers = count(1)

    def write(self, parts: Iterable[bytes | memoryview], *, what: str) -> UploadedFile:
        """Write a payload, which the host sends to the store before the message that names it.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        try:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                upload = Upload(self._name, f"{next(self._numbers):x}", *write_content(file.fileno(), parts))
                uploaded = UploadedFile(upload, Path(upload.file), self._drop)
                written = FileWritten(folder=upload.folder, file=upload.file, size=upload.size)
                socket.send_fds(self._host, [codec.encode([written])], [file.fileno()])
                return uploaded
        except OSError as error:
            raise cannot_write(what, Path(self._folder), error) from error

    def _drop(self, file: str) -> None:
        self._host.send(codec.encode([FileDropped(folder=self._name, file=file)]), socket.MSG_DONTWAIT)

    def read(self, payload: Payload) -> Content:
        """Return a received payload.

        Raises:
            OSError: its file is gone or damaged, or there is no room for it on this machine.
        """
        if isinstance(payload, bytes):
            return payload
        self._host.send(codec.encode([FileWanted(payload.file)]))
        while True:
            descriptors: list[int] = []
            try:
                data, descriptors, _, _ = socket.recv_fds(self._host, _DATAGRAM, 1, _CLOEXEC)
                if not data:
                    os._exit(0)  # the host is gone
                [answer] = codec.files_to_worker.decode(data)
                if answer.file != payload.file:
                    continue  # for an attempt that was interrupted
                if not descriptors:
                    raise OSError(errno.EIO, answer.problem, payload.file)
                return read_content(descriptors[0], payload, payload.file)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
