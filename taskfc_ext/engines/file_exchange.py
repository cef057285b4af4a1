"""Large payloads of one hosted worker: files of the store that it needs, and files that it has written for the store.

Worker and host hand each other open files without names; between host and bridge they travel in parts. So neither waits
for the other, an interrupted task leaves no half message behind, and a killed process no file.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, assert_never

from taskfc_ext.engines.kept_files import KeptFiles
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.slot_messages import (
    FILE_PART,
    FileDropped,
    FilePart,
    FileReady,
    FilesFromWorker,
    FileWanted,
    FileWritten,
)

KIND = socket.SOCK_DGRAM if sys.platform == "darwin" else socket.SOCK_SEQPACKET
"""The kind of the sockets: macOS has no SEQPACKET."""

_DATAGRAM = 4096
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


@dataclass
class _Upload:
    """A file of the worker on its way to the store; `offset` bytes were sent."""

    written: FileWritten
    descriptor: int
    offset: int = 0


@dataclass
class _Download:
    """A file of the store on its way to the worker; `n_written` bytes have come."""

    key: tuple[str, str]
    file: IO[bytes]
    n_written: int = 0


class FileExchange:
    """The host's end. For one thread; never blocks but on the local disk.

    Args:
        end: a connected socket of `KIND`, owned from now on.
        kept: files that are here already.
        tag: the farm's tag.
        folder: where the files are written; they have no names.

    Attributes:
        has_ended: nothing can come any more.
    """

    def __init__(self, end: socket.socket, kept: KeptFiles, tag: str, folder: str) -> None:
        end.setblocking(False)
        self.socket = end
        self.has_ended = False
        self._kept = kept
        self._tag = tag
        self._folder = folder
        self._uploads: deque[_Upload] = deque()
        self._download: _Download | None = None
        self._wanted = ""

    @property
    def is_uploading(self) -> bool:
        """Whether a file of the worker is not sent whole: what the worker sends after it has to wait."""
        return bool(self._uploads)

    def receive(self) -> list[FileWanted | FilePart]:
        """Take what the worker has sent; return the messages for the bridge."""
        out: list[FileWanted | FilePart] = []
        while not self.has_ended:
            descriptors: list[int] = []
            try:
                data, descriptors, _, _ = socket.recv_fds(self.socket, _DATAGRAM, 1, _CLOEXEC)
                messages = codec.files_from_worker.decode(data) if data else []
            except BlockingIOError:
                break
            except (OSError, ProtocolError):  # a task has written to the socket
                messages = []
            if not messages:
                self._end(descriptors)
            for message in messages:
                out += self._accept(message, descriptors)
        return out

    def _end(self, descriptors: list[int]) -> None:
        self.has_ended = True
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _accept(self, message: FilesFromWorker, descriptors: list[int]) -> list[FileWanted | FilePart]:
        match message:
            case FileWanted():
                found = self._kept.find((self._tag, message.file))
                if found is None:
                    self._drop_download()
                    self._wanted = message.file
                    return [message]
                self._answer(message.file, found)
                os.close(found)
            case FileWritten():
                if descriptors:
                    self._uploads.append(_Upload(message, descriptors.pop()))
            case FileDropped():
                for upload in [each for each in self._uploads if each.written.file == message.file]:
                    self._uploads.remove(upload)
                    os.close(upload.descriptor)
                return [FilePart(folder=message.folder, file=message.file, size=-1)]
            case _:
                assert_never(message)
        return []

    def next_part(self) -> FilePart:
        """Return the next part of the first file of the worker that is not sent whole."""
        upload = self._uploads[0]
        written = upload.written
        try:
            data = os.pread(upload.descriptor, min(FILE_PART, written.size - upload.offset), upload.offset)
        except OSError:
            data = b""
        part = FilePart(
            folder=written.folder,
            file=written.file,
            size=written.size if data else -1,  # it was cut off: the controller misses it, and says so
            offset=upload.offset,
            data=data,
        )
        upload.offset += len(data)
        if not data or upload.offset >= written.size:
            os.close(self._uploads.popleft().descriptor)
        return part

    def take(self, part: FilePart) -> None:
        """Take a part of the wanted file; answer the worker when it is whole."""
        if part.file != self._wanted:
            return  # the worker has been interrupted meanwhile
        if part.size < 0:
            self._fail("it is not in the farm's store")
            return
        try:
            download = self._download
            if download is None or part.offset == 0:
                self._drop_download()
                file = tempfile.TemporaryFile(dir=self._folder or None)  # noqa: SIM115  kept open
                download = self._download = _Download((self._tag, part.file), file)
            download.file.write(part.data)
            download.n_written += len(part.data)
            if download.n_written < part.size:
                return
            download.file.flush()
            self._kept.keep(download.key, download.file.fileno(), part.size)
            self._answer(part.file, download.file.fileno())
        except OSError as error:
            self._fail(f"it cannot be written to {self._folder or tempfile.gettempdir()}: {error}")
            return
        self._wanted = ""
        self._drop_download()

    def _fail(self, problem: str) -> None:
        file, self._wanted = self._wanted, ""
        self._drop_download()
        self._send(FileReady(file=file, problem=problem), [])

    def _answer(self, file: str, descriptor: int) -> None:
        self._send(FileReady(file=file), [descriptor])

    def _send(self, message: FileReady, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self.socket, [codec.encode([message])], descriptors)
        except OSError:  # the worker has ended
            pass

    def _drop_download(self) -> None:
        if self._download is not None:
            with suppress(OSError):  # a full disk, and unwritten bytes of a file that is dropped
                self._download.file.close()
            self._download = None

    def close(self) -> None:
        """Close the socket and all files."""
        self._drop_download()
        for upload in self._uploads:
            os.close(upload.descriptor)
        self._uploads.clear()
        self.socket.close()
