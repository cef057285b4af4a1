"""Stores that are put aside when a farm begins with an empty one, or is repaired. They are no farms, and in no list."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from taskfc_ext.drivers.files import make_private_folder
from taskfc_ext.drivers.paths import FarmPaths, witness_of

KEPT = 3
"""Stores of one farm that are kept aside: the newest."""

_STAMP = re.compile(r"\d{8}-\d{6}(-\d+)?")


def put_aside(paths: FarmPaths) -> Path | None:
    """Move all files of a store, whose lock the caller holds, to a folder aside; return it.

    The lock file stays, as locks are on the inode. Without a journal there is nothing to keep: then all other files are
    removed, and `None` is returned. The oldest stores aside are removed.

    Raises:
        OSError: a file cannot be moved.
    """
    shutil.rmtree(paths.uploads, ignore_errors=True)
    left = [path for path in paths.store.iterdir() if path != paths.lock]
    if not any(path.exists() for path in (paths.journal, paths.payloads, witness_of(paths.journal))):
        for path in left:
            if not path.is_dir():
                path.unlink(missing_ok=True)
        return None
    folder = _new_folder(paths)
    for path in sorted(left, key=lambda path: path == witness_of(paths.journal)):
        path.rename(folder / path.name)  # the witness last: until then, the rest is refused
    for old in find_aside(paths)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def find_aside(paths: FarmPaths) -> list[Path]:
    """Return the stores of a farm that were put aside, the oldest first."""
    prefix = f"{paths.name}."
    found = [
        path
        for path in _parent(paths).glob(f"{paths.name}.*")
        if path.is_dir() and _STAMP.fullmatch(path.name.removeprefix(prefix))
    ]
    return sorted(found, key=lambda path: (path.name[: len(prefix) + 15], len(path.name), path.name))


def remove_aside(paths: FarmPaths) -> None:
    """Remove the stores of a farm that were put aside."""
    for folder in find_aside(paths):
        shutil.rmtree(folder)


def _parent(paths: FarmPaths) -> Path:
    return paths.store.parent / ".old"  # no farm has this name


def _new_folder(paths: FarmPaths) -> Path:
    parent = _parent(paths)
    make_private_folder(parent)
    first = f"{paths.name}.{time.strftime('%Y%m%d-%H%M%S')}"
    same = [path.name.removeprefix(first) for path in find_aside(paths) if path.name.startswith(first)]
    folder = parent / f"{first}-{max(int(each[1:] or 1) for each in same) + 1}" if same else parent / first
    make_private_folder(folder)
    return folder
