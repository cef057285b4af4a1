"""How a client finds a running farm: a file with its socket, and with what proves that it still runs."""

from __future__ import annotations

import os
import stat
import sys
from hashlib import blake2b
from pathlib import Path

import msgspec

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

# what msgspec raises for bytes that are anything at all: for text that is no UTF-8, and for what is nested too deep too
_NOT_UNDERSTOOD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a client has to know of a running farm.

    `pid` is the controller's. A pid is reused after a while, so each comes with the start time of its process as the
    system counts it (`process_started`); and both are reused after a boot. `clients` is the socket's path.
    """

    name: str
    protocol: int
    version: str
    host: str
    boot_id: str
    pid: int
    pid_started: int | None
    supervisor_pid: int
    supervisor_started: int | None
    clients: str
    python: str


def identity_of(info: ConnectionInfo) -> str:
    """Return what names these processes among all that there ever were: another start of the farm has another one."""
    facts = f"{info.host}/{info.boot_id}/{info.supervisor_pid}/{info.supervisor_started}/{info.clients}"
    return blake2b(facts.encode(errors="surrogateescape"), digest_size=8).hexdigest()


class _LockContent(msgspec.Struct, frozen=True):
    connection_file: str = ""


def boot_id() -> str:
    """Return what is different after each boot of this system; empty where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def host_name() -> str:
    """Return the name of this host."""
    return os.uname().nodename


def write_connection(paths: FarmPaths, info: ConnectionInfo) -> None:
    """Publish a farm, in one step: nobody ever reads half a file, or one that others can read.

    The lock file of the store gets the path, since clients may have another runtime folder in their environment.
    """
    file = paths.connection_file
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # before the file itself: what is recorded is what `remove_connection` removes
    _write_record(paths, msgspec.json.encode(_LockContent(str(file))))
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as stream:
        stream.write(msgspec.json.encode(info))
    temporary.rename(file)


def read_connection(name: str) -> ConnectionInfo | None:
    """Return how to reach the farm `name`; `None` when it does not run.

    Raises:
        FarmError: it runs on another host, or the file is not to be trusted or understood.
        ValueError: not a name for a farm.
    """
    paths = farm_paths(name)
    recorded = _read_record(paths)
    info = _read_file(recorded) if recorded else None
    if info is None:
        info = _read_file(paths.connection_file)
    if info is None:
        return None
    if info.boot_id == boot_id() and process_alive(info.supervisor_pid, info.supervisor_started):
        return info
    if info.host != host_name():
        raise FarmError(
            f"farm {name!r} runs on {info.host}, this is {host_name()}",
            hint=f"work with it there; if it is no more, remove {recorded or paths.connection_file}",
        )
    return None  # a dead farm's


def last_connection(paths: FarmPaths) -> ConnectionInfo | None:
    """Return what the farm has published last, whether it runs or not; `None` when that is not known."""
    try:
        return _read_file(_read_record(paths) or paths.connection_file)
    except FarmError:
        return None


def remove_connection(paths: FarmPaths) -> None:
    """Remove the published file, if there is one, and its record in the store."""
    recorded = _read_record(paths)
    if recorded:
        recorded.unlink(missing_ok=True)
    if paths.lock.exists():
        _write_record(paths, b"")


def _write_record(paths: FarmPaths, content: bytes) -> None:
    # in place: the lock is on the inode, so the file can never be replaced
    fd = os.open(paths.lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, 0)
        os.write(fd, content)
    finally:
        os.close(fd)


def _read_record(paths: FarmPaths) -> Path | None:
    try:
        content = paths.lock.read_bytes()
        file = msgspec.json.decode(content, type=_LockContent).connection_file
    except (OSError, *_NOT_UNDERSTOOD):
        return None  # no store yet, or its farm has not said
    return Path(file) if file else None


def _read_file(file: Path) -> ConnectionInfo | None:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FarmError(f"cannot read {file}: {error.strerror}", hint=f"remove {file}") from error
    with open(fd, "rb") as stream:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise FarmError(
                f"{file} is not a file of this user alone (user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o})",
                hint="whoever can write it could make you run code: remove it, unless you know where it is from",
            )
        content = stream.read(_SIZE_LIMIT)
    try:
        return msgspec.json.decode(content, type=ConnectionInfo)
    except _NOT_UNDERSTOOD as error:
        raise FarmError(
            f"{file} is not understood: {error}",
            hint=f"it may be of another version of taskfc_ext (this is Python {sys.version.split()[0]}); "
            "stop that farm with the version that started it, or remove the file",
        ) from error
