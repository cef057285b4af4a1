"""Operations on files: replace atomically, remove if empty, open again, count bytes."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600
"""The mode of each file of a farm."""


PRIVATE_FOLDER = 0o700
"""The mode of each folder that a farm makes."""


def replace_file(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Replace the content of `path` atomically; only its owner can read it. `sync`: it survives a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # a process of the same id may have left it, readable for others
    fd = open_private(temporary, os.O_WRONLY | os.O_EXCL)
    try:
        with open(fd, "wb") as stream:
            stream.write(content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.rename(path)
        if sync:
            sync_path(path.parent)
    except OSError:  # a full disk
        with suppress(OSError):
            temporary.unlink()
        raise


def sync_path(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk; they survive a power cut then.

    Raises:
        OSError: it is gone, or the disk has failed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Open a file, which is made if it is missing; only its owner can read it, whatever the umask. Not a symbolic link.

    Raises:
        OSError: it cannot be opened.
    """
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    if stat.S_IMODE(os.fstat(fd).st_mode) != PRIVATE:
        os.fchmod(fd, PRIVATE)
    return fd


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing; only their owner can enter them, whatever the umask.

    Folders that exist stay as they are.

    Raises:
        OSError: one cannot be made.
    """
    if path.is_dir():
        return
    if path != path.parent:
        make_private_folder(path.parent)
    path.mkdir(PRIVATE_FOLDER, exist_ok=True)
    if stat.S_IMODE(path.lstat().st_mode) & PRIVATE_FOLDER != PRIVATE_FOLDER:
        path.chmod(PRIVATE_FOLDER)


def remove_if_empty(path: Path) -> None:
    """Remove a file if it is empty."""
    try:
        if path.stat().st_size == 0:
            path.unlink()
    except FileNotFoundError:
        pass


def path_of_descriptor(descriptor: int) -> Path:
    """Return a path that opens an open file of this process again, also one without a name."""
    return Path(f"/proc/self/fd/{descriptor}" if sys.platform == "linux" else f"/dev/fd/{descriptor}")


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Lock a file, for this process alone unless it is `shared`; return `False` if another one has it."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Give up a lock of `try_lock`."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def bytes_in(folder: Path) -> int:
    """Return the bytes of all files in a folder and its subfolders, of one with several names once.

    Files that vanish meanwhile count nothing.
    """
    sizes: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(parent, name))
                sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())
