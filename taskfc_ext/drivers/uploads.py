"""Large payloads on their way: files that a client or a worker writes beside the store.

    sender                          controller                      receiver
    writes a file in its folder
    sends an `Upload`          -->  links it into the store
                                    commits, sends a `PayloadRef` -->  maps the store's file
    removes its own name       <--  answers

So a payload is written once and never goes through a socket, and the controller's loop copies none. The file has two
names until the controller has answered, so that a request can be repeated to a controller that was started again.

A sender holds a lock on its folder as long as it lives. The folders of senders that have died are removed by the
controller, a while later: the last messages of a dead sender may still be waiting in a socket.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary, ref

from taskfc_ext.drivers.files import make_private_folder, open_private
from taskfc_ext.drivers.paths import is_in_memory, payloads_of, uploads_of
from taskfc_ext.drivers.payload_reading import Content, map_file, read_payload
from taskfc_ext.drivers.room import free_bytes, megabytes
from taskfc_ext.errors import StorageFull, StoreError
from taskfc_ext.protocol.payloads import Payload, Upload

KEPT_AFTER_DEATH = 60.0
"""Seconds for which the files of a dead sender are kept."""

RESERVE = 64 * 2**20
"""Bytes of the disk that payloads leave free: without room for its journal, the farm stops."""

RESERVE_IN_MEMORY = 8 * 2**20
"""The same of a store in memory: a container may have as little as 64 MB of it."""

_MAX_PARTS = 1000
"""Parts in one call of `writev`; Linux takes 1024."""

_AT_ONCE = 16 * 2**20
"""Bytes that one call writes: 5 ms, for which an interrupt has to wait."""

Report = Callable[[int, int], object]
"""Takes the bytes of a payload that are written, and those of all of it."""


class UploadGone(Exception):
    """The file of an `Upload` is not there, or is not the one that was announced."""


def find_upload(folder: Path, upload: Upload) -> Path:
    """Return the file of `upload`. `folder`: that with the folders of all senders.

    Raises:
        UploadGone: it is not there, or not as it was announced.
    """
    path = folder / upload.folder / upload.file
    try:
        found = path.stat(follow_symlinks=False)
    except OSError as error:
        raise UploadGone(str(error)) from error
    if not stat.S_ISREG(found.st_mode) or found.st_size != upload.size:
        raise UploadGone(f"{path} is not the file of {upload.size:,} bytes that was announced")
    return path


class UploadFolder:
    """The folder of one sender; made on first use. Any thread may write.

    Args:
        parent: returns the folder for the folders of all senders.
        name: names this sender among all others, now and later.
    """

    def __init__(self, parent: Callable[[], Path], name: str) -> None:
        self.name = name
        self._parent = parent
        self._folder = Path()
        self._numbers = count(1)
        self._lock = -1
        self._pid = os.getpid()

    def write(self, parts: Iterable[bytes | memoryview], *, what: str, report: Report | None = None) -> UploadedFile:
        """Write a new file with `parts`, one after the other.

        Args:
            parts: the content.
            what: how messages call it.
            report: see `write_new`.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        parts = list(parts)
        try:
            self._prepare()
            reserve = RESERVE_IN_MEMORY if is_in_memory(self._folder) else RESERVE
            while True:
                file = f"{next(self._numbers):x}"
                try:
                    written = write_new(self._folder / file, parts, reserve=reserve, report=report)
                except FileExistsError:
                    continue  # of a forked child that writes here, too
                return UploadedFile(Upload(self.name, file, *written), self._folder / file, self._remove)
        except OSError as error:
            raise cannot_write(what, self._folder, error) from error

    def _prepare(self) -> None:
        folder = self._parent() / self.name
        if self._lock >= 0 and folder == self._folder and folder.is_dir():
            return
        while True:
            make_private_folder(folder)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)  # shared: two threads may be here
            if folder.is_dir() and os.path.samestat(os.fstat(lock), os.stat(folder)):
                break
            os.close(lock)  # the controller has just removed it
        self._folder = folder
        old, self._lock = self._lock, lock
        if old >= 0:
            os.close(old)

    def _remove(self, path: str) -> None:
        """Remove a file. As a part of each file it keeps this object, so the folder goes after the last of them."""
        os.unlink(path)

    def close(self) -> None:
        """Remove the folder; one with files that are still needed goes with the last of them."""
        if self._lock >= 0 and os.getpid() == self._pid:
            try:
                os.rmdir(self._folder)
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    return
            self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be exiting
            self.close()
            self._unlock()


class LargePayloads:
    """The large payloads of one process: writes those that it sends, maps those that it receives.

    Args:
        journal: returns the store's journal; the payloads stand in folders beside it.
        name: names this process among all senders, now and later.
    """

    def __init__(self, journal: Callable[[], Path], name: str) -> None:
        self._journal = journal
        self._folder = UploadFolder(lambda: uploads_of(journal()), name)
        self._shared: WeakValueDictionary[bytes, UploadedFile] = WeakValueDictionary()

    def write(self, parts: Iterable[bytes | memoryview], *, what: str, report: Report | None = None) -> UploadedFile:
        """Write a payload that is to be sent, as `UploadFolder.write` does."""
        return self._folder.write(parts, what=what, report=report)

    def share(self, digest: bytes, write: Callable[[], UploadedFile]) -> UploadedFile:
        """Return the file of the payload with this digest; `write` makes it, unless somebody holds it still."""
        file = self._shared.get(digest)
        if file is None or not file.exists:
            file = self._shared[digest] = write()
        return file

    def read(self, payload: Payload) -> Content:
        """Return a received payload; one in a file as `read_payload` does.

        Raises:
            OSError: its file is gone or damaged.
        """
        return payload if isinstance(payload, bytes) else read_payload(payloads_of(self._journal()), payload)

    def close(self) -> None:
        """Remove the folder, unless some of its files are still on their way."""
        self._folder.close()


class UploadedFile:
    """A file that its sender has written. It is removed with the last reference to this object.

    Args:
        upload: stands for it in messages.
        path: of the file.
        remove: removes it; gets the path.

    Attributes:
        upload: stands for it in messages.
    """

    __slots__ = ("__weakref__", "_path", "upload")

    def __init__(self, upload: Upload, path: Path, remove: Callable[[str], object] = os.unlink) -> None:
        self.upload = upload
        self._path = str(path)
        _removals[ref(self, _remove_gone)] = partial(_remove_own, remove, self._path, os.getpid())

    @property
    def exists(self) -> bool:
        """Whether the file is there: it goes with its farm's store."""
        return os.path.exists(self._path)

    def map(self) -> mmap.mmap | None:
        """Return the content in a private mapping; `None` if it is not there, or many files are open."""
        try:
            with open(self._path, "rb") as file:
                return map_file(file.fileno(), self.upload.size)  # what this process has written itself
        except (OSError, ValueError):
            return None


def _remove_own(remove: Callable[[str], object], path: str, pid: int) -> None:
    if os.getpid() == pid:  # else this is the child of a fork, and the file its parent's
        with contextlib.suppress(OSError):  # it was removed with the store
            remove(path)


_removals: dict[ref[UploadedFile], Callable[[], object]] = {}
"""Removes the file of each object that is still there.

A `__del__` would do that too early: while it runs, another thread still gets the object from a weak reference. And
`weakref.finalize` does nothing any more when the clients are flushed at the exit.
"""


def _remove_gone(gone: ref[UploadedFile]) -> None:
    removal = _removals.pop(gone, None)
    if removal is not None:
        removal()


def remove_left() -> None:
    """Remove the files that are left at the exit of this process, after which nothing is done for a lost object."""
    while _removals:
        _, removal = _removals.popitem()
        removal()


Sent = bytes | UploadedFile
"""A payload at its sender."""


def in_message(payload: Sent) -> bytes | Upload:
    """Return a payload as messages have it."""
    return payload.upload if isinstance(payload, UploadedFile) else payload


class Written(NamedTuple):
    """The facts about a file that was written; see `PayloadRef`."""

    size: int
    crc: int
    written_ns: int


def write_new(
    path: Path, parts: Iterable[bytes | memoryview], *, reserve: int = RESERVE, report: Report | None = None
) -> Written:
    """Write a new file; return what is known of it. A file that cannot be written whole is removed.

    Args:
        path: of the file.
        parts: its content.
        reserve: bytes of the disk that stay free, so that the journal always has room.
        report: called after each 16 MiB or less.

    Raises:
        FileExistsError: it is there.
        OSError: the disk is full, or the folder cannot be written.
    """
    descriptor = open_private(path, os.O_WRONLY | os.O_EXCL)
    try:
        return write_content(descriptor, parts, reserve=reserve, report=report)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def write_content(
    descriptor: int, parts: Iterable[bytes | memoryview], *, reserve: int = RESERVE, report: Report | None = None
) -> Written:
    """Write the content of a new file, whose descriptor is given; return what is known of it. See `write_new`.

    Raises:
        OSError: the disk is full.
    """
    wholes = [memoryview(part) for part in parts]
    views = [whole[i : i + _AT_ONCE] for whole in wholes for i in range(0, len(whole), _AT_ONCE)]
    disk, size = os.fstatvfs(descriptor), sum(map(len, views))
    if disk.f_bavail * disk.f_frsize < size + reserve:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    crc = 0
    for view in views:
        crc = zlib.crc32(view, crc)
    for n_written in _write_all(descriptor, views):
        if report is not None:
            report(n_written, size)
    return Written(size, crc, os.fstat(descriptor).st_mtime_ns)


def _write_all(descriptor: int, views: list[memoryview]) -> Iterator[int]:
    """Write `views`; yield the number of bytes written so far, after each call."""
    size, first = 0, 0
    while first < len(views):
        written = os.writev(descriptor, _at_once(views, first))
        size += written
        yield size
        while written:
            if written < len(views[first]):
                views[first] = views[first][written:]
                break
            written -= len(views[first])
            first += 1


def _at_once(views: list[memoryview], first: int) -> list[memoryview]:
    """Return the next views that one call may write: an interrupt has to wait for its end."""
    n, size = 0, 0
    while first + n < len(views) and n < _MAX_PARTS and size + len(views[first + n]) <= _AT_ONCE:
        size += len(views[first + n])
        n += 1
    return views[first : first + n]


def remove_dead(parent: Path, *, for_seconds: float = KEPT_AFTER_DEATH) -> None:
    """Remove the folders of senders that have been dead for some time."""
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return
    oldest = time.time() - for_seconds
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_mtime <= oldest:
                _remove_unless_locked(entry.path)


def _remove_unless_locked(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held meanwhile, so that no sender moves in
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # its sender lives
    finally:
        os.close(descriptor)


def cannot_write(what: str, folder: Path, error: OSError) -> StoreError:
    """Return the error that tells the user why a payload, which messages call `what`, cannot be written."""
    hint = "free some space there, or write the data to a file elsewhere and send its path"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = free_bytes(folder)
        text = f"there is no room for {what} in {folder} ({megabytes(free)} free): {error.strerror}"
        return StorageFull(text, path=str(folder), free=free, hint=hint)
    return StoreError(f"{what} cannot be written to {folder}: {error}")
