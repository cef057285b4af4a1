"""The part of a submission's context that means something on another machine than the client's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

_ENVIRONMENTS = ("site-packages", "dist-packages")
_own_path = list(sys.path)


def path_here(path: Iterable[str]) -> list[str]:
    """Return the module path for a client's `path`: its folders that are here, then this environment's own path.

    The client's standard library and installed packages are not used: they may be of another version, or for another
    system. Its own modules travel by themselves; the folders matter where both machines share a file system.
    """
    theirs = [entry for entry in path if os.path.isdir(entry) and not _is_installed(entry)]
    return [*theirs, *[entry for entry in _own_path if entry not in theirs]]


def _is_installed(folder: str) -> bool:
    """Return whether a folder of a module path belongs to an installed Python."""
    parts = folder.split(os.sep)
    return any(name in parts for name in _ENVIRONMENTS) or parts[-1].startswith("python3") or "lib-dynload" in parts


class PrivateFolder:
    """The working directory of tasks whose own one is not on this machine. Made on first use.

    Args:
        path: the folder; whoever has started this process removes it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._told: set[str] = set()

    def enter(self, missing: str) -> None:
        """Change to it; say so once for each missing folder, in the output of the task."""
        os.makedirs(self._path, mode=0o700, exist_ok=True)
        os.chdir(self._path)
        if missing not in self._told:
            self._told.add(missing)
            sys.stderr.write(f"{missing} is not on {os.uname().nodename}: this task works in an empty folder\n")
