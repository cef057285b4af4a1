"""Survey of the files of a farm: the bytes that they take, who else can reach them, and who holds the lock."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from taskfc_ext.drivers.aside import find_aside
from taskfc_ext.drivers.files import bytes_in
from taskfc_ext.drivers.paths import FarmPaths, log_of

_OTHERS = 0o077


@dataclass(frozen=True)
class Sizes:
    """Bytes of the files of one store.

    Attributes:
        journal: the database.
        log: what is not in the database yet.
        payloads: arguments and results that have files of their own.
        uploads: those on their way to the store.
        reserve: the room that is kept for small records; 0: it is not made.
        aside: of each store that was put aside, by its folder.
    """

    journal: int
    log: int
    payloads: int
    uploads: int
    reserve: int
    aside: dict[str, int]


def measure(paths: FarmPaths) -> Sizes:
    """Return the bytes that the files of a farm take."""
    return Sizes(
        journal=_size(paths.journal),
        log=_size(log_of(paths.journal)),
        payloads=bytes_in(paths.payloads),
        uploads=bytes_in(paths.uploads),
        reserve=_size(paths.reserve),
        aside={str(folder): bytes_in(folder) for folder in find_aside(paths)},
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def find_exposed(paths: FarmPaths) -> list[str]:
    """Return a line for each file and folder of a farm that is not its user's alone."""
    places = [paths.store.parent, paths.sockets, *_all_in(paths.store)]
    for folder in (*([paths.memory] if paths.memory else []), *find_aside(paths)):
        places += _all_in(folder)
    return [f"{place} {problem}" for place in places if (problem := _problem_of(place))]


def _all_in(folder: Path) -> Iterator[Path]:
    yield folder
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *names))


def _problem_of(path: Path) -> str:
    try:
        found = path.lstat()
    except OSError:  # it has vanished meanwhile
        return ""
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if found.st_uid != os.getuid():
        return f"belongs to user {found.st_uid}, not to {os.getuid()}"
    if found.st_mode & _OTHERS:
        return f"is open to other users (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def find_lock_holder(path: Path) -> int | None:
    """Return the process that has locked a file; `None` if nobody has, or the system does not tell."""
    with suppress(OSError, ValueError):
        found = path.stat()
        wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1:2] == ["FLOCK"] and words[5:6] == [wanted] and words[3] == "WRITE":
                return int(words[4])
    return None
