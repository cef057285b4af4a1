"""The folder for sockets and pages, used through its descriptor.

In a shared temporary folder, another user can make a folder again that a cleaner of old files has removed. So no file
is reached through the folder's path: the folder is opened, checked through the descriptor, and used relative to it. A
process with a descriptor keeps using the folder that was checked.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taskfc_ext.drivers.files import make_private_folder
from taskfc_ext.errors import FarmError

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_WRITABLE_BY_OTHERS = 0o022

_BELOW_DESCRIPTORS = "/proc/self/fd"
_HAS_DESCRIPTORS = os.path.isdir(_BELOW_DESCRIPTORS)  # macOS has no such paths


class FolderRefused(FarmError, OSError):
    """The folder is not safe, or cannot be made."""


def open_folder(folder: Path) -> int:
    """Return a descriptor of `folder`, which is made if it is missing.

    Raises:
        FolderRefused: it belongs to another user, others can write to it, or it is not a folder; the hint says what to
            do.
    """
    elsewhere = "or set XDG_RUNTIME_DIR to another folder, of this user alone, and restart the farm"
    try:
        try:
            fd = os.open(folder, _FLAGS)
        except FileNotFoundError:
            with suppress(FileExistsError):
                make_private_folder(folder)
            fd = os.open(folder, _FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and folder.is_symlink():
            raise FolderRefused(
                f"the folder for sockets, {folder}, is a symbolic link", hint=f"remove it, {elsewhere}"
            ) from None
        raise FolderRefused(
            f"cannot use the folder for sockets, {folder}: {error.strerror}", hint=f"repair it, {elsewhere}"
        ) from error
    problem = _problem(os.fstat(fd))
    if problem:
        os.close(fd)
        raise FolderRefused(
            f"the folder for sockets, {folder}, {problem}; its content is not safe",
            hint=f"remove it, {elsewhere}",
        )
    return fd


def _problem(found: os.stat_result) -> str:
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & _WRITABLE_BY_OTHERS:
        return f"can be written to by other users (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


@contextmanager
def hold_folder(folder: Path) -> Iterator[int]:
    """Hold a descriptor of `folder` for the time of a `with`; see `open_folder`."""
    fd = open_folder(folder)
    try:
        yield fd
    finally:
        os.close(fd)


def remove_below(fd: int, name: str) -> None:
    """Remove a file of the folder, if it exists."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)


def exists_below(fd: int, name: str) -> bool:
    """Return whether the folder contains this file."""
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def is_still(fd: int, folder: Path) -> bool:
    """Return whether `folder` is still the folder of the descriptor `fd`."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(folder, follow_symlinks=False))
    except OSError:
        return False


def path_below(fd: int, path: Path) -> str:
    """Return a path to a file of the folder that leads to no other folder while `fd` is open."""
    return f"{_BELOW_DESCRIPTORS}/{fd}/{path.name}" if _HAS_DESCRIPTORS else str(path)


def is_served(fd: int, path: Path) -> bool:
    """Return whether a process listens on the socket `path` of the folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path_below(fd, path))
        except OSError as error:
            return error.errno == errno.EAGAIN  # its queue of connections is full
    return True


def check_peer(fd: int, path: Path) -> None:
    """Check that no other user listens on the socket `path` of the folder.

    Raises:
        FolderRefused: another user does.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return
    credentials = struct.Struct("3i")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path_below(fd, path))
        except OSError:  # nothing listens, or its queue of connections is full
            return
        _, uid, _ = credentials.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    if uid != os.geteuid():
        raise FolderRefused(f"user {uid} listens on {path}, not {os.geteuid()}", hint="remove it, and restart the farm")
