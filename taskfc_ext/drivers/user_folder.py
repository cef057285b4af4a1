"""The user's own files, as opposed to installed ones, and the detection of changes in them."""

from __future__ import annotations

import itertools
import os
import sysconfig
import time
from collections.abc import Sequence

from taskfc_ext.location import FOLDER

_GRAIN_NS = 50_000_000
"""Nanoseconds within which a file may change twice with the same time stamp; file system clocks tick in 4 ms or so."""

_INSTALLED = ("site-packages", "dist-packages")
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")

# not the prefix itself: it may be /usr, and /usr/src/app the user's own. Other environments have marker files
_STANDARD = tuple(
    [os.path.join(place, "") for place in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), FOLDER)]
)

_HIDDEN = f"{os.sep}."
"""In hidden folders, tools keep their own modules: `.vscode` has a debugger, for example, on the module path."""

_unique = itertools.count(1)

Stamp = tuple[int, int, int, int]
"""Time of the last change in ns, size, inode; and a unique number if the file has changed just now, else 0."""

GONE: Stamp = 0, -1, 0, 0


def stamp_of(path: str) -> Stamp:
    """Return a stamp that differs after each change of the file; `GONE` if it does not exist."""
    try:
        found = os.stat(path)
    except OSError:
        return GONE
    is_young = time.time_ns() - found.st_mtime_ns < _GRAIN_NS
    return found.st_mtime_ns, found.st_size, found.st_ino, next(_unique) if is_young else 0


class UserCode:
    """The user's own code: the folder of the notebook or script, and the module path.

    The module path may lead to `../src`, for example, or to projects of editable installs. Code that pip or conda has
    installed is not the user's own.

    Args:
        folder: an absolute path; "": none.
        path: the absolute entries of the module path; empty: only the folder counts.
    """

    def __init__(self, folder: str, path: Sequence[str] = ()) -> None:
        self.folder = folder
        self.path = tuple(path)
        self._inside = os.path.join(folder, "") if folder else ""
        entries = {os.path.join(entry, "") for entry in path if len(entry) > 1}
        self._entries = sorted(entries, key=len, reverse=True)
        self._are_users: dict[str, bool] = {}
        self._are_installed: dict[str, bool] = {}

    def holds(self, file: str, *, beyond_path: bool = False) -> bool:
        """Return whether a file, or a folder with a separator at its end, is the user's own.

        Args:
            file: an absolute path.
            beyond_path: it need not be below an entry of the module path: editable installs have finders of their own.
        """
        if self._inside and file.startswith(self._inside) and not self._is_installed(os.path.dirname(file)):
            return True
        if not self.path:
            return False
        entry = next((entry for entry in self._entries if file.startswith(entry)), "")
        if not (self._is_users(entry) if entry else beyond_path and os.path.isabs(file)):
            return False
        place = os.path.dirname(file)
        return not (_HIDDEN in place or self._is_installed(place))

    def _is_installed(self, place: str) -> bool:
        known = self._are_installed.get(place)
        if known is None:
            known = self._are_installed[place] = is_installed(place)
        return known

    def _is_users(self, entry: str) -> bool:
        known = self._are_users.get(entry)
        if known is None:
            known = self._are_users[entry] = not _is_filled_by_pip(entry)
        return known


def _is_filled_by_pip(entry: str) -> bool:
    """Return whether `pip install --target` has installed into an entry of the module path."""
    try:
        with os.scandir(entry) as found:
            return any(item.name.endswith(".dist-info") for item in found)
    except OSError:
        return True


def is_installed(place: str) -> bool:
    """Return whether a folder is part of an environment, of Python, or of this package."""
    inside = os.path.join(place, "")
    parts = inside.split(os.sep)
    if inside.startswith(_STANDARD) or any(name in parts for name in _INSTALLED):
        return True
    while True:
        if any(os.path.exists(os.path.join(place, sign)) for sign in _ENVIRONMENTS):
            return True
        place, before = os.path.dirname(place), place
        if place == before:
            return False
