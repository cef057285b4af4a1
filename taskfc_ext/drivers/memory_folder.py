"""The folder of a farm that keeps its tasks in memory only: journal, payloads and uploads in shared memory.

It is in `/dev/shm`, which all users share, or beside the sockets where the system has none that can be used. The farm's
supervisor holds a lock on the folder, so a folder without one has been left behind by a farm that was killed: each
start of a farm removes those of its user. Options, logs and the lock of the farm stay in its store on the disk, and so
does a journal there, for the next start on the disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from taskfc_ext.drivers.files import try_lock
from taskfc_ext.drivers.paths import MEMORY_FOLDER, FarmPaths, require_private_folder
from taskfc_ext.drivers.uploads import remove_dead
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.options import FarmOptions

SHARED_MEMORY = Path("/dev/shm")

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def place_store(paths: FarmPaths, options: FarmOptions | None) -> FarmPaths:
    """Return `paths` with the journal where a farm with these options has it. Touches no file.

    Every process of a farm gets the same answer. Clients of a running farm read it in the connection file, as their own
    environment may name another place.
    """
    if options is None or not options.is_in_memory:
        return replace(paths, memory=None)
    return replace(paths, memory=_root(paths.sockets) / f"{paths.tag}.memory")


def make_memory_folder(folder: Path) -> None:
    """Make the folder of a farm in memory, and refuse one that another user has made or can enter.

    Raises:
        StartFailed: it is refused or cannot be made; the hint says what to do.
    """
    for is_last in (False, False, True):
        try:
            for each in (folder.parent, folder):
                require_private_folder(each, elsewhere="or start the farm with its store on the disk")
        except StartFailed as error:
            if is_last or not isinstance(error.__cause__, FileNotFoundError):
                raise
        else:
            return  # otherwise the end of another farm has just removed the empty parent


@contextmanager
def hold_memory(paths: FarmPaths) -> Iterator[None]:
    """Make the empty folder of a farm whose lock the caller holds, lock it, and remove it at the end.

    Files that a living client has put there for a farm that it starts stay. Without `paths.memory` there is no folder.

    Raises:
        StartFailed: the folder is refused or cannot be made, or is locked; the hint says what to do.
    """
    if paths.memory is None:
        yield
        return
    folder, lock = paths.memory, _make_and_lock(paths.memory)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        _remove_if_empty(folder.parent, of=paths)


def _make_and_lock(folder: Path) -> int:
    while True:
        make_memory_folder(folder)
        lock = os.open(folder, _FLAGS)
        if not try_lock(lock):
            os.close(lock)
            raise StartFailed(f"{folder} is in use", hint=f"`fuser {folder}` shows by which process; end it")
        if folder.is_dir() and os.path.samestat(os.fstat(lock), os.stat(folder)):
            _empty(folder)
            return lock
        os.close(lock)  # the start of another farm has just removed it


def remove_left_behind(paths: FarmPaths) -> None:
    """Remove the folders in memory of all farms of this user that have died, with what is in them."""
    for root in {_root(paths.sockets), paths.sockets}:
        for folder in _entries(root):
            if MEMORY_FOLDER.fullmatch(folder.name):
                with suppress(OSError):  # another user's, or it has vanished
                    _remove_unless_locked(folder)
        _remove_if_empty(root, of=paths)


def _remove_unless_locked(folder: Path) -> None:
    lock = os.open(folder, _FLAGS)
    try:
        if os.fstat(lock).st_uid == os.getuid() and try_lock(lock):
            _empty(folder)
            folder.rmdir()
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    """Remove all that is in a folder, but for the uploads of living clients: they are starting its farm."""
    for entry in _entries(folder):
        if entry.name.endswith("-uploads"):
            remove_dead(entry, for_seconds=0)
            with suppress(OSError):
                entry.rmdir()
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _remove_if_empty(root: Path, *, of: FarmPaths) -> None:
    """Remove the folder of all this user's farms in memory; not that of their sockets, which others may be using."""
    if root != of.sockets:
        with suppress(OSError):
            root.rmdir()


def _root(sockets: Path) -> Path:
    is_usable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
    return SHARED_MEMORY / f"taskfc-{os.getuid()}" if is_usable else sockets


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
