"""Large payloads, each in a file of its own beside the journal.

So an argument of 20 MB is written once, mapped where it is needed, and removed with one `unlink`. A file is written, or
linked to its sender's, before the commit that refers to it, and removed after the commit that clears it. Files that a
crash leaves behind are removed when the store is opened. No file is ever changed: its readers map it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from taskfc_ext.drivers.files import make_private_folder, open_private, sync_path
from taskfc_ext.drivers.uploads import UploadGone, find_upload, write_new
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import Payload, PayloadRef, Upload
from taskfc_ext.protocol.records import Record, Submitted

LARGE = 64 * 2**10
"""Bytes from which a payload has a file: below that, a file would cost more than a row of the journal."""

_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
"""Errors of file systems that have no hard links, or no more of this file."""


def may_be_large(n_bytes: int, payloads: Iterable[Payload]) -> bool:
    """Return whether some of the payloads that a frame of `n_bytes` brought have to be staged."""
    if n_bytes < LARGE:
        return Upload in map(type, payloads)
    return any(not isinstance(payload, bytes) or len(payload) >= LARGE for payload in payloads)


class PayloadFiles:
    """The files of one store.

    Args:
        folder: their folder; made on first use.
        uploads: the folder with the folders of those who send large payloads.

    Attributes:
        staged: the files that no committed record refers to yet.
        n_bytes: the bytes of all files that are not to be removed; those of a file with two names count twice.
    """

    def __init__(self, folder: Path, uploads: Path) -> None:
        self._folder = folder
        self._uploads = uploads
        self._next = 1
        self.staged: set[int] = set()
        self.n_bytes = 0
        self._young: list[int] = []
        self._old: list[int] = []

    def begin(self, known: Collection[int]) -> None:
        """Remove all files but those in `known`."""
        # never a number of before: a client may still hold the name of a file that has been removed meanwhile
        self._next = max(max(known, default=0) + 1, time.time_ns())
        if self._folder.is_dir():
            for entry in list(os.scandir(self._folder)):
                with contextlib.suppress(OSError):
                    if _number(entry.name) in known:
                        self.n_bytes += entry.stat(follow_symlinks=False).st_size
                    else:
                        os.unlink(entry.path)

    def write(self, body: bytes) -> PayloadRef:
        """Write a new file.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        number = self._new()
        return self._staged_ref(number, *write_new(self._path(number), [body], reserve=0))

    def adopt(self, upload: Upload) -> PayloadRef:
        """Make the file of `upload` a file of the store, too.

        Raises:
            UploadGone: it is not there, or not as it was announced.
            OSError: the store's folder cannot be written.
        """
        source = find_upload(self._uploads, upload)
        number = self._new()
        try:
            self._link(source, number)
        except FileNotFoundError as error:
            raise UploadGone(str(error)) from error
        return self._staged_ref(number, upload.size, upload.crc, upload.written_ns)

    def again(self, ref: PayloadRef) -> PayloadRef:
        """Return a second file with the same content, since the two are cleared at different times."""
        number = self._new()
        try:
            self._link(self._path(number_of(ref)), number)
        except FileNotFoundError:  # lost in a power cut: its reader reports that
            return self.write(b"")
        return self._staged_ref(number, ref.size, ref.crc, ref.written_ns)

    def _link(self, source: Path, number: int) -> None:
        path = self._path(number)
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with open(source, "rb") as content, open(open_private(path, os.O_WRONLY), "wb") as copy:
                shutil.copyfileobj(content, copy)

    def restore(self, number: int, ref: PayloadRef) -> None:
        """Make file `number` again with the content of `ref` if it is missing."""
        if not self.size(number):
            with contextlib.suppress(OSError):
                self._link(self._path(number_of(ref)), number)

    def take(self, path: Path) -> bool:
        """Take over a file of another store under its name; return whether it was there."""
        self._new()
        try:
            self._link(path, number := _number(path.name))
        except OSError:
            return False
        self.staged.add(number)
        self.n_bytes += self.size(number)
        return True

    def sync(self, numbers: Collection[int]) -> None:
        """Write these files and their names to the disk.

        Raises:
            OSError: that is impossible, so no commit may refer to them.
        """
        if not numbers:
            return
        for number in numbers:
            sync_path(self._path(number))
        sync_path(self._folder)
        sync_path(self._folder.parent)  # it may be new

    def read(self, ref: PayloadRef) -> bytes:
        """Return the payload; empty if its file is damaged or missing, as after a power cut."""
        try:
            body = self._path(number_of(ref)).read_bytes()
        except OSError:
            return b""
        return body if len(body) == ref.size and ref.crc in (0, zlib.crc32(body)) else b""

    def size(self, number: int) -> int:
        """Return the bytes of a file; 0: it is missing."""
        try:
            return self._path(number).stat().st_size
        except OSError:
            return 0

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove files that no record refers to any more, and nobody else."""
        for number in numbers:
            self.n_bytes -= self.size(number)
            self.staged.discard(number)
            self._unlink(number)

    def _unlink(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the file stays until the store is opened again
            os.unlink(self._path(number))

    @property
    def next_number(self) -> int:
        """The number of the next file."""
        return self._next

    def remove_later(self, numbers: Iterable[int]) -> None:
        """Remove files that no record refers to any more, but not before the second `remove_old` from now.

        Those who have just been sent their names map them meanwhile.
        """
        for number in numbers:
            self.n_bytes -= self.size(number)
            self._young.append(number)

    def remove_old(self) -> None:
        """Remove the files that had to be removed at the last call."""
        for number in self._old:
            self._unlink(number)
        self._old, self._young = self._young, []

    def _new(self) -> int:
        if not self._folder.is_dir():
            make_private_folder(self._folder)
        number, self._next = self._next, self._next + 1
        return number

    def _staged_ref(self, number: int, size: int, crc: int, written_ns: int) -> PayloadRef:
        self.staged.add(number)
        self.n_bytes += size
        return PayloadRef(f"{number:x}", size, crc, written_ns)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:x}"


def find_fault(path: Path, ref: PayloadRef, digest: bytes | None = None) -> str:
    """Return what is wrong with the file of a payload, as the end of a sentence; "" if it is as it was written.

    Args:
        path: of the file.
        ref: the payload.
        digest: that of code: blake2b of 16 bytes.
    """
    crc, name = 0, hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != ref.size:
                return f"has {size} bytes, and {ref.size} were recorded"
            while part := file.read(2**20):
                crc = zlib.crc32(part, crc)
                if digest is not None:
                    name.update(part)
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if ref.crc in (0, crc) and digest in (None, name.digest()) else "has another content than was written"


def number_of(ref: PayloadRef) -> int:
    """Return the number of the file of `ref`."""
    return int(ref.file, 16)


def refs_in(record: Record) -> Iterator[PayloadRef]:
    """Yield the payloads of `record` that stand in files."""
    match record:
        case Submitted():
            yield from (body for body in record.bodies if isinstance(body, PayloadRef))
        case Ended():
            yield from (value for value in record.values if isinstance(value, PayloadRef))
        case Define(body=PayloadRef() as body):
            yield body


def _number(name: str) -> int:
    try:
        return int(name, 16)
    except ValueError:
        return -1
