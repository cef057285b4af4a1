"""Becoming the one supervisor of a farm: the lock, the options, and what a dead predecessor has left."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

import msgspec

from taskfc_ext.drivers.connection_file import boot_id, last_connection, read_connection, remove_connection
from taskfc_ext.drivers.files import remove_if_empty, replace_file
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.processes import WatchedPage, sweep
from taskfc_ext.drivers.socket_folder import FolderRefused, hold_folder, remove_below
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from taskfc_ext.supervisor.log import log

LOCK_TIMEOUT = 25.0
"""Seconds for the controller of a dead supervisor to end, or for another supervisor's farm to answer."""

_LOCK_RETRY = 0.02


def take_lock(paths: FarmPaths) -> int | None:
    """Lock the store and return the descriptor that holds it; `None` when another farm runs on it.

    While neither is the case, it waits: a predecessor is dying, or another one is about to answer.

    Raises:
        FarmError: that farm is another host's.
        StartFailed: neither became the case.
    """
    fd = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _try_lock(fd):
        if read_connection(paths.name) is not None:
            os.close(fd)
            return None
        if time.monotonic() > deadline:
            os.close(fd)
            raise StartFailed(
                f"the store {paths.store} is locked by a process that does not answer",
                hint=f"`fuser {paths.lock}` names it; end it",
            )
        time.sleep(_LOCK_RETRY)
    return fd


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def settle_options(paths: FarmPaths, given: bytes) -> FarmOptions:
    """Return the options that were given, which are kept from now on, or else those that were kept.

    Raises:
        StartFailed: there are none, or they are not understood.
    """
    try:
        content = given or paths.options.read_bytes()
    except FileNotFoundError:
        raise StartFailed(f"farm {paths.name!r} was never started here", hint="start it with its options") from None
    try:
        options = msgspec.json.decode(content, type=FarmOptions)
    except msgspec.DecodeError as error:
        raise StartFailed(f"the options of farm {paths.name!r} are not understood: {error}") from error
    if given:
        replace_file(paths.options, given)
    return options


def take_over(paths: FarmPaths, lock_fd: int) -> list[WorkerDown]:
    """Remove what a killed predecessor has left, and return how its workers ended.

    After a regular end there is an empty lock file and nothing else, so a usual start searches no further.
    """
    with hold_folder(paths.sockets) as folder:
        pages = _pages(folder, paths.tag)
        if pages or os.fstat(lock_fd).st_size:
            _sweep(paths)  # before the pages are read: they must not change any more
        to_blame = bool(pages) and not _has_booted(paths)
        dead = [_down_of(folder, paths, worker, to_blame) for worker in pages]
    for worker in pages:
        remove_if_empty(paths.worker_log(worker))
    remove_files(paths)
    os.pwrite(lock_fd, b"{}", 0)  # not empty: from now on there is something to clear away
    return dead


def clear_away(paths: FarmPaths) -> None:
    """Remove all but the store. To be called when all child processes have ended."""
    _sweep(paths)
    remove_files(paths)


def remove_files(paths: FarmPaths) -> None:
    """Remove sockets, pages and connection file."""
    with suppress(FolderRefused), hold_folder(paths.sockets) as folder:
        for file in (paths.clients, paths.workers, *map(paths.page, _pages(folder, paths.tag))):
            remove_below(folder, file.name)
    remove_connection(paths)


def _sweep(paths: FarmPaths) -> None:
    left = sweep(paths.tag)
    if left:
        log(f"cannot kill {left}")


def _pages(folder: int, tag: str) -> list[int]:
    """Return the ids of the workers whose pages exist in the folder for sockets."""
    prefix = f"{tag}.p"
    names = [name.removeprefix(prefix) for name in os.listdir(folder) if name.startswith(prefix)]
    return sorted(int(name) for name in names if name.isdecimal())


def _has_booted(paths: FarmPaths) -> bool:
    """Whether the predecessor ran before the system was booted: then that has ended it, and none of its tasks has."""
    info = last_connection(paths)
    return info is not None and info.boot_id != boot_id()


def _down_of(folder: int, paths: FarmPaths, worker: int, to_blame: bool) -> WorkerDown:
    fd = os.open(paths.page(worker).name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        started, running = 0, False
        if os.fstat(fd).st_size or paths.worker_log(worker).exists():  # else it was killed while it made the page
            page = WatchedPage(fd)
            started, running = page.started, page.running
            page.close()
    finally:
        os.close(fd)
    return WorkerDown(
        worker=worker,
        pid=0,
        started=started,
        running=running,
        note="ended with its supervisor, which was killed",
        planned=True,
        to_blame=to_blame and running,
    )
