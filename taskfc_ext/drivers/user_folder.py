"""Which files are the user's own, beside the notebook or the script and elsewhere, and whether one has changed."""

from __future__ import annotations

import itertools
import os
import sysconfig
import time
from collections.abc import Sequence

from taskfc_ext.location import FOLDER

_GRAIN_NS = 50_000_000
"""A file may change again without another time on it for as long as the file system's clock stands: 4 ms, often."""

_INSTALLED = ("site-packages", "dist-packages")
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")

# not the prefix itself, which may be /usr, and /usr/src/app somebody's; other environments have signs
_STANDARD = tuple(
    [os.path.join(place, "") for place in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), FOLDER)]
)

_HIDDEN = f"{os.sep}."
"""In folders of such names tools keep what is theirs: `.vscode`, for one, its debugger, on the module path."""

_unique = itertools.count(1)

Stamp = tuple[int, int, int, int]
"""Time of the last change in ns, size, inode; and a number that is in no other stamp while another could be equal."""

GONE: Stamp = 0, -1, 0, 0


def stamp_of(path: str) -> Stamp:
    """Return what differs when the file has changed; `GONE` for none. A change of a moment ago equals nothing."""
    try:
        found = os.stat(path)
    except OSError:
        return GONE
    is_young = time.time_ns() - found.st_mtime_ns < _GRAIN_NS
    return found.st_mtime_ns, found.st_size, found.st_ino, next(_unique) if is_young else 0


class UserCode:
    """The user's own code: all in the folder of the notebook or the script, and what the module path leads to.

    That is `../src`, say, and the projects of editable installs. What pip and conda install is not the user's own.

    Args:
        folder: an absolute path; "" for none.
        path: the module path, absolute; empty for the folder alone.
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
        """Whether `file`, an absolute path, is the user's own; with a separator at its end: whether a folder is.

        Args:
            beyond_path: also if no entry of the module path leads to it: an editable install has finders of its own.
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
    """Whether something was installed into an entry of the module path: `pip install --target`."""
    try:
        with os.scandir(entry) as found:
            return any(item.name.endswith(".dist-info") for item in found)
    except OSError:
        return True


def is_installed(place: str) -> bool:
    """Whether a folder is part of an environment, of Python, or of this package."""
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
