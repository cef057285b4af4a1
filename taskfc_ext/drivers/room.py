"""The room on the disk or in the memory of a store: whether there is any, an error that says so, and a reserve.

The reserve is a file that holds some megabytes. It is removed when a commit fails for want of room, so that what makes
room, such as a clear, can still be committed. It is made again when there is room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from taskfc_ext.drivers.paths import is_in_memory
from taskfc_ext.errors import StorageFull

RESERVE = 4 * 2**20
"""Bytes of the reserve: a clear of a hundred thousand tasks takes less."""

RESERVE_IN_MEMORY = 2**20
"""Bytes of the reserve of a store in memory, which nothing else can use: a clear of ten thousand tasks takes less."""

LOW = 4 * 2**20
"""Free bytes below which a store accepts nothing new."""

START = 256 * 2**10
"""Free bytes below which a farm cannot start: of files with options, ids and sockets."""

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_NOT_WRITABLE = frozenset((errno.EROFS, errno.EIO))

_SQLITE_FULL, _SQLITE_READONLY, _SQLITE_CANTOPEN, _SQLITE_IOERR = 13, 8, 14, 10
_READS = frozenset(_SQLITE_IOERR | sub << 8 for sub in (1, 2))  # IOERR_READ, IOERR_SHORT_READ


def is_for_want_of_room(error: BaseException) -> bool:
    """Return whether `error` means that nothing can be written at present, though nothing is wrong with the content."""
    if isinstance(error, OSError):
        return error.errno in _FULL | _NOT_WRITABLE
    code = _sqlite_code(error)
    primary = code & 0xFF
    is_failed_write = primary == _SQLITE_IOERR and code not in _READS
    return is_failed_write or primary in (_SQLITE_FULL, _SQLITE_READONLY, _SQLITE_CANTOPEN)


def is_io_error(error: BaseException) -> bool:
    """Return whether a write or a sync failed, after which a database has to be opened again."""
    return _sqlite_code(error) & 0xFF == _SQLITE_IOERR


def _sqlite_code(error: BaseException) -> int:
    """Return the code of an error of SQLite, which is not imported for that; 0: it is none."""
    return int(getattr(error, "sqlite_errorcode", None) or 0)


def free_bytes(folder: Path) -> int:
    """Return the bytes that this user may still write to the disk of `folder`; 0 if that is not known.

    Of a folder that is missing, the disk on which it would be made: a store that was removed is no full disk.
    """
    disk = _disk_of(folder)
    return 0 if disk is None else disk.f_bavail * disk.f_frsize


def total_bytes(folder: Path) -> int:
    """Return the bytes that the disk of `folder` has in all; 0 if that is not known."""
    disk = _disk_of(folder)
    return 0 if disk is None else disk.f_blocks * disk.f_frsize


def _disk_of(folder: Path) -> os.statvfs_result | None:
    for place in (folder, *folder.parents):
        try:
            return os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def storage_full(folder: Path, why: BaseException | None = None, *, wanted: int = 0) -> StorageFull:
    """Return the error that says where there is no room, how much is free, and what to do.

    Args:
        folder: the store's folder.
        why: the error of the system or of SQLite; `None`: little is free.
        wanted: bytes for which there is no room, if that is all that is wrong; else 0.
    """
    free = free_bytes(folder)
    place = f"the {_kind_of(folder)} of the farm's store"
    hint = "clear finished tasks" if is_in_memory(folder) else "make room, or clear finished tasks"
    while why is not None and why.__cause__ is not None:
        why = why.__cause__
    if wanted:
        text = f"{place} has no room for {megabytes(wanted)} ({folder}, {megabytes(free)} free)"
    elif why is None or free < LOW or _says_full(why):
        text = f"{place} is full ({folder}, {megabytes(free)} free)"
    else:  # a quota, a limit on the size of files, a disk that has failed
        reason = why.strerror if isinstance(why, OSError) else why
        text = f"the farm's store cannot be written ({folder}, {megabytes(free)} free: {reason})"
        hint = "look at the disk, its quota and the limit on the size of files; all goes on by itself"
    return StorageFull(f"{text}: nothing new is accepted, results wait", path=str(folder), free=free, hint=hint)


class FindingNoRoom:
    """Context that raises `StorageFull` for each error inside that means that nothing can be written at present.

    It can be used again: a new context for each commit would cost a tenth of a small one.

    Args:
        folder: where is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and is_for_want_of_room(error):
            raise storage_full(self._folder, error) from error


def refuse_full_disk(folder: Path, error: BaseException) -> StorageFull | None:
    """Return the error to raise in place of `error` if a full disk explains it."""
    if is_for_want_of_room(error) and folder.is_dir() and free_bytes(folder) < LOW:
        return storage_full(folder, error)
    return None


def can_ever_hold(folder: Path, n_bytes: int) -> bool:
    """Return whether the disk of `folder` could hold so much if much of it were free; not so if that is not known."""
    return n_bytes < total_bytes(folder) // 2


def refuse_start(folders: Iterable[Path]) -> StorageFull | None:
    """Return the error of a farm that cannot start, as one of its folders is full; `None` if none is."""
    full = next((folder for folder in folders if folder.is_dir() and free_bytes(folder) < START), None)
    if full is None:
        return None
    free = free_bytes(full)
    text = f"the farm cannot start: the {_kind_of(full)} of {full} is full ({megabytes(free)} free)"
    return StorageFull(text, path=str(full), free=free, hint="make room there, and start it again")


def _kind_of(folder: Path) -> str:
    return "memory" if is_in_memory(folder) else "disk"


def _says_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return _sqlite_code(error) == _SQLITE_FULL


def megabytes(n: int) -> str:
    """Return a number of bytes as text, in steps in which it is worth a line: `1.2 MB`."""
    return f"{n / 1e6:.1f} MB" if n < 1e8 else f"{n / 1e9:.1f} GB"


class Reserve:
    """The reserve of a store.

    Args:
        path: its file.

    Attributes:
        size: its bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = RESERVE_IN_MEMORY if is_in_memory(path) else RESERVE

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self._path.exists()

    def free_beside(self) -> int:
        """Return the bytes that this user may still write there; 0 if that is not known."""
        return free_bytes(self._path.parent)

    def make(self) -> bool:
        """Make the reserve unless it is there; return whether it is there now."""
        return self.exists or _allocate(self._path, self.size)

    def give_back(self) -> bool:
        """Remove the reserve; return whether there was one."""
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True

    def has_room_beside(self) -> bool:
        """Return whether as much can be written as makes a store accept something new. It also finds quotas."""
        probe = self._path.with_name(f"{self._path.name}.probe")
        with contextlib.suppress(OSError):
            os.unlink(probe)
        try:
            return _allocate(probe, LOW)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(probe)


def _allocate(path: Path, size: int) -> bool:
    """Make a file that has room for `size` bytes; return whether that was possible."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        if sys.platform == "linux":
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.pwrite(descriptor, bytes(size), 0)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return False
    finally:
        os.close(descriptor)
    return True
