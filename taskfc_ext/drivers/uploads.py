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
import time
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

from taskfc_ext.drivers.paths import payloads_of, uploads_of
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.payloads import Payload, PayloadRef, Upload

KEPT_AFTER_DEATH = 60.0
"""Seconds for which the files of a dead sender are kept."""

_MAX_PARTS = 1000
"""Parts in one call of `writev`; Linux takes 1024."""


class UploadFolder:
    """The folder of one sender; made on first use. Any thread may write.

    Args:
        parent: the folder for the folders of all senders.
        name: names this sender among all others, now and later.
    """

    def __init__(self, parent: Path, name: str) -> None:
        self.name = name
        self._folder = parent / name
        self._numbers = count(1)
        self._lock = -1
        self._pid = os.getpid()

    def write(self, parts: Iterable[bytes | memoryview], *, what: str) -> UploadedFile:
        """Write a new file with `parts`, one after the other.

        Args:
            parts: the content.
            what: how messages call it.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        file = f"{next(self._numbers):x}"
        path = self._folder / file
        try:
            self._prepare()
            size = write_new(path, parts)
        except OSError as error:
            raise _cannot_write(what, self._folder, error) from error
        return UploadedFile(Upload(self.name, file, size), path)

    def _prepare(self) -> None:
        if self._lock >= 0 and self._folder.is_dir():
            return
        self._folder.parent.mkdir(mode=0o700, exist_ok=True)
        while True:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)  # shared: two threads may be here
            if self._folder.is_dir() and os.path.samestat(os.fstat(lock), os.stat(self._folder)):
                break
            os.close(lock)  # the controller has just removed it
        old, self._lock = self._lock, lock
        if old >= 0:
            os.close(old)

    def close(self) -> None:
        """Remove the folder, unless some of its files are still on their way."""
        if self._lock >= 0 and os.getpid() == self._pid:
            lock, self._lock = self._lock, -1
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)
            os.close(lock)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be exiting
            self.close()


class LargePayloads:
    """The large payloads of one process: writes those that it sends, maps those that it receives.

    Args:
        journal: the store's journal; the payloads stand in folders beside it.
        name: names this sender among all others, now and later.
    """

    def __init__(self, journal: Path, name: str) -> None:
        self._stored = payloads_of(journal)
        self._folder = UploadFolder(uploads_of(journal), name)

    def write(self, parts: Iterable[bytes | memoryview], *, what: str) -> UploadedFile:
        """Write a payload that is to be sent, as `UploadFolder.write` does."""
        return self._folder.write(parts, what=what)

    def read(self, payload: Payload) -> bytes | mmap.mmap:
        """Return a received payload; one in a file as a private mapping of it.

        Raises:
            OSError: its file is gone or damaged.
        """
        return payload if isinstance(payload, bytes) else map_payload(self._stored, payload)

    def close(self) -> None:
        """Remove the folder, unless some of its files are still on their way."""
        self._folder.close()


class UploadedFile:
    """A file that its sender has written. It is removed with the last reference to this object.

    Attributes:
        upload: stands for it in messages.
    """

    __slots__ = ("_path", "_pid", "upload")

    def __init__(self, upload: Upload, path: Path) -> None:
        self.upload = upload
        self._path = str(path)
        self._pid = os.getpid()

    def __del__(self, unlink: Callable[[str], None] = os.unlink, getpid: Callable[[], int] = os.getpid) -> None:
        if getpid() == self._pid:  # else this is the child of a fork, and the file its parent's
            try:
                unlink(self._path)
            except OSError:
                pass  # it was removed with the store


def write_new(path: Path, parts: Iterable[bytes | memoryview]) -> int:
    """Write a new file; return its size in bytes. A file that cannot be written whole is removed.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return _write_all(descriptor, [memoryview(part) for part in parts if len(part)])
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, views: list[memoryview]) -> int:
    size, first = 0, 0
    while first < len(views):
        written = os.writev(descriptor, views[first : first + _MAX_PARTS])
        size += written
        while written:
            if written < len(views[first]):
                views[first] = views[first][written:]
                break
            written -= len(views[first])
            first += 1
    return size


def map_payload(folder: Path, payload: PayloadRef | Upload) -> mmap.mmap:
    """Return a private mapping of a payload's file: what is written to it stays in this process.

    Args:
        folder: the store's folder of payloads.
        payload: the payload.

    Raises:
        OSError: its file is gone or damaged.
    """
    path = folder / payload.file
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size != payload.size:  # a smaller file would end its readers with SIGBUS
            raise OSError(errno.EIO, "its size is not the one that was recorded", str(path))
        return mmap.mmap(descriptor, payload.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        os.close(descriptor)


def remove_dead(parent: Path, *, now: float | None = None) -> None:
    """Remove the folders of senders that have died some time ago."""
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return
    oldest = (time.time() if now is None else now) - KEPT_AFTER_DEATH
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_mtime < oldest:
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


def _cannot_write(what: str, folder: Path, error: OSError) -> StoreError:
    hint = "free some space there, or write the data to a file elsewhere and send its path"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError(f"there is no room for {what} in {folder}: {error.strerror}", hint=hint)
    return StoreError(f"{what} cannot be written to {folder}: {error}")
