"""The files of a farm: its store, its sockets, its connection file."""

from __future__ import annotations

import os
import re
import stat
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from taskfc_ext.drivers.files import make_private_folder
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.limits import FARM_NAME

_CONNECTION_FILE = re.compile(r"taskfc-(.+)\.json")

MEMORY_FOLDER = re.compile(r"[0-9a-f]{8}\.memory")
"""Names of the folders of farms that keep their tasks in memory only: the tag is before the dot."""

SOCKET_PATH_LIMIT = 103 if sys.platform == "darwin" else 107
"""Bytes of the path of a Unix socket, without the final zero, that the kernel accepts."""

_LONGEST = "01234567.c"  # a socket

NETWORK_FILE_SYSTEMS = frozenset(
    (
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "s3fs",
        "smb3",
        "smbfs",
        "sshfs",
    )
)
"""Types of file systems whose locks and mapped files are not reliable enough for SQLite."""


@dataclass(frozen=True)
class FarmPaths:
    """The files of one farm.

    Attributes:
        tag: identifies this store among those of this user, in names of sockets and in the environment of workers.
        store: the folder that outlives the processes.
        sockets: the folder for sockets and pages of all the user's farms; names of files begin with the tag.
        note: why the store is not in its usual place; else empty.
        memory: the folder of the journal and its payloads where the farm keeps them in memory; `None`: the store is.
    """

    name: str
    tag: str
    store: Path
    sockets: Path
    note: str = ""
    memory: Path | None = None

    @property
    def data(self) -> Path:
        """The folder of the journal, its payloads and its reserve."""
        return self.memory or self.store

    @property
    def journal(self) -> Path:
        """The SQLite file."""
        return self.data / "journal.sqlite"

    @property
    def payloads(self) -> Path:
        """Folder of the journal's large payloads."""
        return payloads_of(self.journal)

    @property
    def uploads(self) -> Path:
        """Folder with a folder of each client and worker, for the large payloads that it sends."""
        return uploads_of(self.journal)

    @property
    def reserve(self) -> Path:
        """The room that is kept for small records."""
        return reserve_of(self.journal)

    @property
    def lock(self) -> Path:
        """The lock file, held by supervisor and controller; never removed, since a lock belongs to the inode."""
        return self.store / "lock"

    @property
    def options(self) -> Path:
        """The `FarmOptions`, for a restart."""
        return self.store / "options.json"

    @property
    def stops(self) -> Path:
        """The number of stops, as text."""
        return self.store / "stops"

    @property
    def idle_stop(self) -> Path:
        """A file that exists if the farm has stopped because nobody used it."""
        return self.store / "idle_stop"

    @property
    def next_worker(self) -> Path:
        """The id of the next worker, as text."""
        return self.store / "next_worker"

    @property
    def supervisor_log(self) -> Path:
        """The supervisor's log."""
        return self.store / "supervisor.log"

    @property
    def controller_log(self) -> Path:
        """The controller's log."""
        return self.store / "controller.log"

    @property
    def bridge_log(self) -> Path:
        """The log of the bridge to an engine."""
        return self.store / "bridge.log"

    def worker_log(self, worker: int) -> Path:
        """The log of a worker: what its process writes outside the captured output of its tasks."""
        return self.store / f"worker-{worker}.log"

    @property
    def clients(self) -> Path:
        """The controller's socket for clients."""
        return self.sockets / f"{self.tag}.c"

    @property
    def workers(self) -> Path:
        """The controller's socket for workers."""
        return self.sockets / f"{self.tag}.w"

    def page(self, worker: int) -> Path:
        """The worker's progress page."""
        return self.sockets / f"{self.tag}.p{worker}"

    @property
    def connection_file(self) -> Path:
        """The usual place of the connection file, for when the store does not record another one."""
        from jupyter_core.paths import jupyter_runtime_dir  # slow, and seldom needed

        try:
            folder = Path(jupyter_runtime_dir())
        except RuntimeError:  # no home folder; the store is in XDG_STATE_HOME
            folder = self.store.parent
        return folder / f"taskfc-{self.name}.json"

    @property
    def written(self) -> tuple[Path, ...]:
        """The folders in which a farm writes."""
        return self.store, self.data, self.sockets, self.connection_file.parent


def is_in_memory(path: Path) -> bool:
    """Return whether a path is the folder of a farm that keeps its tasks in memory only, or below one."""
    return any(MEMORY_FOLDER.fullmatch(part) for part in path.parts)


def payloads_of(journal: Path) -> Path:
    """Return the folder of the large payloads of `journal`."""
    return journal.with_name(journal.name + "-payloads")


def log_of(journal: Path) -> Path:
    """Return SQLite's log of `journal`, which has what the database does not have yet."""
    return journal.with_name(journal.name + "-wal")


def log_index_of(journal: Path) -> Path:
    """Return SQLite's index of the log of `journal`."""
    return journal.with_name(journal.name + "-shm")


def witness_of(journal: Path) -> Path:
    """Return the file beside `journal` that tells how far the journal has to go."""
    return journal.with_name(journal.name + "-witness")


def uploads_of(journal: Path) -> Path:
    """Return the folder of the large payloads that are on their way to `journal`; both are on one file system."""
    return journal.with_name(journal.name + "-uploads")


def reserve_of(journal: Path) -> Path:
    """Return the file that keeps room for small records of `journal`."""
    return journal.with_name(journal.name + "-reserve")


def farm_paths(name: str, *, environ: Mapping[str, str] = os.environ) -> FarmPaths:
    """Return the paths of the farm `name`. Touches no file.

    Raises:
        ValueError: not a farm name.
        StartFailed: there is no home folder, and no other folder is set.
    """
    if not re.fullmatch(FARM_NAME, name):
        raise ValueError(f"{name!r} is not a farm name: use 1 to 64 of A-Z a-z 0-9 . _ - and do not begin with a dot")
    root, note = _state_folder(environ) / "taskfc", ""
    file_system = network_file_system(root)
    local = Path("/var/tmp", f"taskfc-{os.getuid()}")  # not /tmp: it has to survive a boot
    if file_system and not network_file_system(local):
        note = f"{root} is on a network file system ({file_system}): the store is in {local} on this host"
        root = local
    store = root / name
    tag = blake2b(os.fsencode(store) + b"\0%d" % os.getuid(), digest_size=4).hexdigest()
    # unlike in a shared temporary folder, no other user can make this folder again after it was removed
    own = None if file_system else root / ".run"
    return FarmPaths(name=name, tag=tag, store=store, sockets=_sockets(environ, own), note=note)


def _state_folder(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME", "")
    # the XDG Base Directory Specification ignores relative paths: each process would find another folder
    if os.path.isabs(state):
        return Path(state)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:
        raise StartFailed(
            f"there is no home folder for user {os.getuid()}, who is not in the passwd database: set HOME, or "
            "XDG_STATE_HOME, to a folder of this user"
        ) from None


def _sockets(environ: Mapping[str, str], own: Path | None) -> Path:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        return Path(runtime, "taskfc")
    if own is not None and len(os.fsencode(own / _LONGEST)) <= SOCKET_PATH_LIMIT:
        return own
    from tempfile import gettempdir  # slow, and seldom needed

    return Path(gettempdir(), f"taskfc-{os.getuid()}")


def network_file_system(path: Path, *, mounts: str | None = None) -> str:
    """Return the type of the network file system that holds or would hold `path`; empty if it is local or unknown.

    `mounts` is the text of `/proc/self/mountinfo`.
    """
    while not path.exists() and path != path.parent:
        path = path.parent
    device = path.stat().st_dev
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2:3] == [wanted]:
            file_system = rest.split(" ", 1)[0]
            return file_system if file_system.removeprefix("fuse.") in NETWORK_FILE_SYSTEMS else ""
    return ""


def known_farms() -> list[str]:
    """Return the names of the farms that have a store or a connection file here."""
    default = farm_paths("default")
    stores = [path.name for path in _entries(default.store.parent) if path.is_dir()]
    found = (_CONNECTION_FILE.fullmatch(path.name) for path in _entries(default.connection_file.parent))
    names = {*stores, *(match[1] for match in found if match)}
    return sorted(name for name in names if re.fullmatch(FARM_NAME, name))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def prepare(paths: FarmPaths) -> None:
    """Make missing folders, and refuse folders that another user can read or write.

    Warns if the store is not in its usual place.

    Raises:
        StartFailed: a folder is refused or cannot be made; the hint says what to do.
    """
    if paths.note:
        warnings.warn(paths.note, stacklevel=2)
    longest = len(os.fsencode(paths.clients))
    if longest > SOCKET_PATH_LIMIT:
        raise StartFailed(
            f"{paths.clients} is {longest} bytes long, and a socket's path can have {SOCKET_PATH_LIMIT}",
            hint="set XDG_RUNTIME_DIR to a folder with a shorter path, of this user alone",
        )
    for folder, variable in (
        (paths.store.parent, "XDG_STATE_HOME"),
        (paths.store, "XDG_STATE_HOME"),
        (paths.sockets, "XDG_RUNTIME_DIR"),
    ):
        _private_folder(folder, variable)


def check_store(paths: FarmPaths) -> None:
    """Refuse a store that another user has made or can write to: it may have changed since `prepare`.

    Raises:
        StartFailed: the store is refused; the hint says what to do.
    """
    for folder in (paths.store.parent, paths.store, *([paths.memory] if paths.memory else [])):
        try:
            found = folder.lstat()
        except OSError as error:
            raise StartFailed(f"the store is gone: {folder}: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise StartFailed(
                f"{folder} is not a folder that only this user can write to",
                hint="its content is not safe: remove it, or set XDG_STATE_HOME to another folder",
            )


def _private_folder(folder: Path, variable: str) -> None:
    require_private_folder(folder, elsewhere=f"or set {variable} to another folder, of this user alone")


def require_private_folder(folder: Path, *, elsewhere: str) -> None:
    """Make a missing folder, and refuse one that another user can read or write.

    Args:
        folder: its path.
        elsewhere: the end of the hint, after a comma: how to have another folder.

    Raises:
        StartFailed: it is refused or cannot be made; the hint says what to do.
    """
    try:
        make_private_folder(folder)
        found = folder.lstat()
    except OSError as error:
        raise StartFailed(f"cannot make the folder {folder}: {error.strerror}", hint=f"make it, {elsewhere}") from error
    if stat.S_ISLNK(found.st_mode):
        # in a shared temporary folder, any user can put one at this path
        raise StartFailed(f"{folder} is a symbolic link", hint=f"remove it, {elsewhere}")
    if found.st_uid != os.getuid():
        raise StartFailed(
            f"{folder} belongs to user {found.st_uid}, not to {os.getuid()}", hint=f"remove it, {elsewhere}"
        )
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise StartFailed(f"other users can enter {folder} (mode {mode:o})", hint=f"chmod 700 {folder}")
