"""Rescue of a store whose files a task, or a cleaner, has removed: open files outlive their names.

A controller writes on into a journal that has no name any more, and all of it is gone when it ends. So it compares
the names with its open files before a commit, and writes the journal again where the next controller looks for it.
The commits of the next `LOOK_EVERY` do without a comparison: they are in the open files, so the next look saves them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from taskfc_ext.drivers.files import make_private_folder, open_private, try_lock
from taskfc_ext.drivers.paths import log_index_of, log_of
from taskfc_ext.errors import StoreError, TaskFCError

_Identity = tuple[int, int] | None

LOOK_EVERY = 0.02
"""Seconds after a look at the names in which a commit needs none: two names cost 10 to 20 us, a commit 50."""


class StoreRemoved(TaskFCError):
    """The journal was removed, and is in its place again: open it again."""


class JournalFiles:
    """The names of the files of an open journal, in WAL mode.

    Args:
        path: the database file; both it and its log exist.

    Attributes:
        due: monotonic time from which a commit looks at the names first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = log_of(path)
        self._names = str(path), str(self._log)
        self._opened = tuple(map(_identity, self._names))
        self.due = 0.0

    def check(self, db: Callable[[], sqlite3.Connection]) -> None:
        """Check that the names lead to the open files.

        Args:
            db: returns the connection; called if they do not.

        Raises:
            StoreRemoved: they did not, and the journal was written again. No commit is lost.
            StoreError: they do not, and the journal could not be written again.
        """
        if tuple(map(_identity, self._names)) != self._opened:
            self._rescue(db())
        self.due = time.monotonic() + LOOK_EVERY

    def _rescue(self, db: sqlite3.Connection) -> None:
        path = self._path
        fact = f"the store {path} was removed or replaced while its farm ran"
        try:
            make_private_folder(path.parent)
            rescued = path.with_name(f"{path.name}-rescued")
            _write(db, rescued)
            for name in (self._log, log_index_of(path)):
                name.unlink(missing_ok=True)  # SQLite would add the old log to the new file
            rescued.rename(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{fact}, and cannot be written again: {error}") from error
        raise StoreRemoved(f"{fact}; it is written again, and opened by the next controller")


def _write(db: sqlite3.Connection, file: Path) -> None:
    file.unlink(missing_ok=True)
    os.close(open_private(file))
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        db.backup(copy)


class HeldLock:
    """The lock of a running farm.

    Args:
        path: the lock file.
        fd: a descriptor of it, which has the lock.

    Attributes:
        fd: the descriptor that has the lock now.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self.fd = fd

    def renew(self) -> bool:
        """Make and lock the file again if it was removed or replaced; return whether it was.

        Raises:
            StoreError: another process has locked the file that is there now.
            OSError: the file cannot be made.
        """
        found = os.fstat(self.fd)
        if _identity(str(self._path)) == (found.st_dev, found.st_ino):
            return False
        fd = open_private(self._path)
        if not try_lock(fd):
            os.close(fd)
            raise StoreError(f"the lock {self._path} was removed while its farm ran, and another farm has it now")
        os.close(self.fd)
        self.fd = fd
        return True


def _identity(name: str) -> _Identity:
    """Return what tells the file `name` from others; `None` if there is none."""
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino
