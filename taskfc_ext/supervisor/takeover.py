"""Takeover of a farm by a new supervisor: the lock, the options, and the files and processes of a dead predecessor."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from taskfc_ext.drivers.connection_file import boot_id, last_connection, read_connection, remove_connection
from taskfc_ext.drivers.files import open_private, remove_if_empty, replace_file, try_lock, unlock
from taskfc_ext.drivers.memory_folder import remove_left_behind
from taskfc_ext.drivers.options_file import decode_options, read_options
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.processes import WatchedPage, sweep
from taskfc_ext.drivers.socket_folder import FolderRefused, hold_folder, is_served, remove_below
from taskfc_ext.drivers.stops import forget_idle_stop, is_stopping
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from taskfc_ext.supervisor.log import log

LOCK_TIMEOUT = 25.0
"""Seconds that a start waits for a dead supervisor's controller to end, or for another supervisor's farm to answer."""

_LOCK_RETRY = 0.02


def take_lock(paths: FarmPaths) -> int | None:
    """Lock the store and return the descriptor of the lock; `None` if the farm already runs.

    While neither is possible, wait: a predecessor is ending, or another supervisor is starting the farm.

    Raises:
        FarmError: the farm runs on another host.
        StartFailed: the store stays locked, and the farm does not answer.
    """
    fd = open_private(paths.lock)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _try_lock(paths, fd):
        found = read_connection(paths.name)
        if found is not None and not is_stopping(paths, found.n_stops):
            os.close(fd)
            return None
        if time.monotonic() > deadline:
            os.close(fd)
            raise StartFailed(
                f"the store {paths.store} is locked by a process that does not answer",
                hint=f"`fuser {paths.lock}` shows its pid; end it",
            )
        time.sleep(_LOCK_RETRY)
    return fd


def _try_lock(paths: FarmPaths, fd: int) -> bool:
    """Lock the store, unless a farm serves it whose lock file was removed; that one makes and locks it again."""
    if not try_lock(fd):
        return False
    with hold_folder(paths.sockets) as folder:
        if not is_served(folder, paths.clients):
            return True
    unlock(fd)
    return False


def settle_options(paths: FarmPaths, given: bytes) -> FarmOptions:
    """Return the given options and store them; without given ones, return the stored ones.

    Raises:
        StartFailed: there are none, or they cannot be read or decoded.
    """
    if not given:
        return read_options(paths)
    options = decode_options(paths.name, given)
    replace_file(paths.options, given, sync=options.is_synced)
    return options


def take_over(paths: FarmPaths, lock_fd: int) -> list[WorkerDown]:
    """Remove the files and processes of a killed predecessor, and return the ends of its workers.

    There are none if it, or this farm, keeps its tasks in memory only: no store has the attempts that they were in.
    A regular end leaves only an empty lock file, so a usual start does not search for processes.
    """
    with hold_folder(paths.sockets) as folder:
        pages = _pages(folder, paths.tag)
        if pages or os.fstat(lock_fd).st_size:
            _sweep(paths)  # first, so that the pages do not change any more
        last = last_connection(paths) if pages else None
        has_booted = last is not None and last.boot_id != boot_id()  # then no task is to blame for the end
        to_blame = bool(pages) and not has_booted
        dead = [_down_of(folder, paths, worker, to_blame) for worker in pages]
    for worker in pages:
        remove_if_empty(paths.worker_log(worker))
    remove_files(paths)
    remove_left_behind(paths)
    forget_idle_stop(paths)
    os.pwrite(lock_fd, b"{}", 0)  # not empty: from now on there are files and processes to remove
    return dead if paths.memory is None and not (last is not None and last.memory) else []


def clear_away(paths: FarmPaths, *, is_lost: bool = False) -> None:
    """Kill what is left and remove all files but the store. Called when all child processes have ended.

    `is_lost`: its tasks ended with its controller. The connection file stays, by which clients find out.
    """
    _sweep(paths)
    if is_lost:
        _remove_sockets(paths)
    else:
        remove_files(paths)


def remove_files(paths: FarmPaths) -> None:
    """Remove sockets, pages and connection file."""
    _remove_sockets(paths)
    remove_connection(paths)


def _remove_sockets(paths: FarmPaths) -> None:
    with suppress(FolderRefused), hold_folder(paths.sockets) as folder:
        for file in (paths.clients, paths.workers, *map(paths.page, _pages(folder, paths.tag))):
            remove_below(folder, file.name)


def _sweep(paths: FarmPaths) -> None:
    left = sweep(paths.tag)
    if left:
        log(f"cannot kill {left}")


def _pages(folder: int, tag: str) -> list[int]:
    """Return the ids of the workers whose pages exist in the folder for sockets."""
    prefix = f"{tag}.p"
    names = [name.removeprefix(prefix) for name in os.listdir(folder) if name.startswith(prefix)]
    return sorted(int(name) for name in names if name.isdecimal())


def _down_of(folder: int, paths: FarmPaths, worker: int, to_blame: bool) -> WorkerDown:
    fd = os.open(paths.page(worker).name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        started, running = 0, False
        if os.fstat(fd).st_size or paths.worker_log(worker).exists():  # else the worker was not started yet
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
