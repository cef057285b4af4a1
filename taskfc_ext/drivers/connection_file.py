"""The connection file, with which a client finds a running farm: its socket, and the identity of its processes."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec

from taskfc_ext.drivers.files import make_private_folder, open_private, replace_file
from taskfc_ext.drivers.paths import FarmPaths, farm_paths
from taskfc_ext.drivers.processes import process_alive, process_started
from taskfc_ext.errors import FarmError

__all__ = [
    "ConnectionInfo",
    "boot_id",
    "identity_of",
    "last_connection",
    "process_alive",
    "process_started",
    "read_connection",
    "remove_connection",
    "write_connection",
]

_SIZE_LIMIT = 64 * 1024  # a connection file has under 1 KiB

# msgspec raises these for arbitrary bytes, such as text that is not UTF-8, or too deep nesting
_NOT_UNDERSTOOD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a connection file.

    Pids are reused, so each comes with the start time of its process (`process_started`): who signals a process by a
    connection file, damaged or not, never meets another one. Both repeat after a boot, so the file has the boot id.

    Attributes:
        pid: that of the controller.
        clients: path of the clients' socket.
        python: the Python version of the farm.
        store: the folder of its store, which a client's own environment may not tell.
        memory: the folder of its journal where it keeps its tasks in memory only; empty: that is in its store.
        n_stops: how often the farm had been stopped when the controller began; -1: not known.
    """

    name: str
    protocol: int
    version: str
    host: str
    boot_id: str
    pid: int
    pid_started: int
    supervisor_pid: int
    supervisor_started: int
    clients: str
    python: str
    store: str = ""
    memory: str = ""
    n_stops: int = -1


def identity_of(info: ConnectionInfo) -> str:
    """Return the identity of these processes: each start of a farm has another one."""
    facts = f"{info.host}/{info.boot_id}/{info.supervisor_pid}/{info.supervisor_started}/{info.clients}"
    return blake2b(facts.encode(errors="surrogateescape"), digest_size=8).hexdigest()


class _LockContent(msgspec.Struct, frozen=True):
    """The content of a store's lock file while its farm runs.

    Attributes:
        connection_file: the path of the connection file.
        info: its content. Cleaners of temporary folders, and tasks, remove connection files.
    """

    connection_file: str = ""
    info: ConnectionInfo | None = None


def boot_id() -> str:
    """Return an id that differs after each boot of this system; empty if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def host_name() -> str:
    """Return the name of this host."""
    return os.uname().nodename


def write_connection(paths: FarmPaths, info: ConnectionInfo) -> None:
    """Write the connection file atomically, readable for its owner only.

    Its path and its content are recorded in the store's lock file: clients may have another runtime folder in their
    environment, and the file may be removed.
    """
    file = paths.connection_file
    make_private_folder(file.parent)
    # before the file itself: `remove_connection` removes the recorded file
    _write_record(paths, msgspec.json.encode(_LockContent(str(file), info)))
    replace_file(file, msgspec.json.encode(info))


def read_connection(name: str) -> ConnectionInfo | None:
    """Return the connection file of the farm `name`, or its record in the store; `None` if the farm does not run.

    Raises:
        FarmError: it runs on another host, or the file is unsafe or damaged.
        ValueError: not a farm name.
    """
    paths = farm_paths(name)
    record = _read_record(paths)
    info = _find_info(paths, record)
    if info is None:
        return None
    if info.boot_id == boot_id() and process_alive(info.supervisor_pid, info.supervisor_started):
        return info
    if info.host != host_name():
        file = record.connection_file or paths.connection_file
        raise FarmError(
            f"farm {name!r} runs on {info.host}, this is {host_name()}",
            hint=f"use it there; if it does not exist any more, remove {file} and {paths.lock}",
        )
    return None  # the farm is dead


def last_connection(paths: FarmPaths) -> ConnectionInfo | None:
    """Return the last connection file of the farm, also if it does not run; `None` if there is none."""
    try:
        return _find_info(paths, _read_record(paths))
    except FarmError:
        return None


def _find_info(paths: FarmPaths, record: _LockContent) -> ConnectionInfo | None:
    recorded = _read_file(Path(record.connection_file)) if record.connection_file else None
    return recorded or record.info or _read_file(paths.connection_file)


def remove_connection(paths: FarmPaths) -> None:
    """Remove the connection file, if there is one, and its record in the store."""
    record = _read_record(paths)
    if record.connection_file:
        with suppress(OSError):  # what cannot be removed leads to no process that runs
            Path(record.connection_file).unlink()
    if paths.lock.exists():
        _write_record(paths, b"")


def _write_record(paths: FarmPaths, content: bytes) -> None:
    # in place: the lock is on the inode, so the file can never be replaced
    fd = open_private(paths.lock, os.O_WRONLY)
    try:
        os.ftruncate(fd, 0)
        os.write(fd, content)
    finally:
        os.close(fd)


def _read_record(paths: FarmPaths) -> _LockContent:
    try:
        record = msgspec.json.decode(paths.lock.read_bytes(), type=_LockContent)
    except (OSError, *_NOT_UNDERSTOOD):
        return _LockContent()  # no store yet, or no record in it
    if Path(record.connection_file).name == paths.connection_file.name and "\0" not in record.connection_file:
        return record
    return _LockContent("", record.info)  # damaged: no other file is read, nor removed


def _read_file(file: Path) -> ConnectionInfo | None:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FarmError(f"cannot read {file}: {error.strerror}", hint=f"remove {file}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise FarmError(
                f"{file} is not a file of this user alone (user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o})",
                hint="another user who can write it could make you run code: remove it, unless you know its origin",
            )
        content = os.read(fd, _SIZE_LIMIT)
    finally:
        os.close(fd)
    try:
        return msgspec.json.decode(content, type=ConnectionInfo)
    except _NOT_UNDERSTOOD as error:
        raise FarmError(
            f"{file} is not understood: {error}",
            hint=f"it may be of another version of taskfc_ext (this is Python {sys.version.split()[0]}); "
            "stop that farm with the version that started it, or remove the file",
        ) from error
