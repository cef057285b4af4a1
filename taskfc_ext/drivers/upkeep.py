"""Upkeep of a store's file, in a thread with a connection of its own: checkpoints, and compaction after a clear.

It does not change the store's content, and each step is a transaction: the process may die in any of them.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

from taskfc_ext.drivers.memory import MUCH, give_back_memory, resident
from taskfc_ext.drivers.paths import log_of

CHECKPOINT_BYTES = 16 * 2**20
"""Bytes of the write-ahead log at which it is moved into the database; it keeps this size."""

_CHECK_AFTER_BYTES = 4 * 2**20
_CHECK_AFTER_COMMITS = 256

TIDY_EVERY = 0.3
"""Seconds before each compaction: clears come in series, and commits wait while a compaction runs."""

MESSAGES_GONE_AFTER = 1.5
"""Seconds after a clear, after which the last messages with cleared data have left the memory of this process."""

_SMALL = 16 * 2**20
"""Bytes in use up to which a compaction, which rewrites them, is not noticeable (50 ms)."""

_MAX_VACUUM = 256 * 2**20
"""Bytes in use up to which a compaction is worth a second if it frees as much. Larger stores reuse their free pages."""


class Upkeep:
    """Upkeep of the database at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = log_of(path)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._commits = 0
        self._bytes = 0
        self._resident = resident()
        self._is_due = False
        self._is_untidy = False
        self._wake = threading.Event()

    def after_commit(self, n_bytes: int, *, cleared: bool = False) -> None:
        """Count a commit of about `n_bytes`. `cleared`: it removed data, whose traces have to go, too."""
        self._commits += 1
        self._bytes += n_bytes
        if cleared:
            self._begin(untidy=True)
        elif self._bytes > _CHECK_AFTER_BYTES or self._commits % _CHECK_AFTER_COMMITS == 0:
            self._bytes = 0
            with suppress(FileNotFoundError):  # it was removed, which the next look at its name finds
                if self._wal.stat().st_size > CHECKPOINT_BYTES:
                    self._begin(untidy=False)

    def join(self) -> None:
        """Wait until all due upkeep is done."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """End the thread after all due upkeep."""
        self._closing.set()
        self._wake.set()
        self.join()

    def _begin(self, *, untidy: bool) -> None:
        with self._lock:
            self._is_untidy |= untidy
            self._is_due = True
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="taskfc-upkeep", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            if self._is_untidy:
                self._closing.wait(TIDY_EVERY)
            with self._lock:
                tidy = self._is_untidy
                self._is_untidy = self._is_due = False
                self._wake.clear()
            self._maintain(tidy=tidy)
            if tidy and not self._closing.is_set() and self._has_grown():
                give_back_memory()
                self._wake.wait(MESSAGES_GONE_AFTER)
                give_back_memory()
            with self._lock:
                if not self._is_due:
                    self._thread = None
                    return

    def _has_grown(self) -> bool:
        """Return whether this process holds much more memory than when the store was opened."""
        return resident() - self._resident > 2 * MUCH

    def _maintain(self, *, tidy: bool) -> None:
        try:
            db = sqlite3.connect(self._path, timeout=1.0, isolation_level=None)
            try:
                _checkpoint(db, tidy=tidy)
            finally:
                db.close()
        except sqlite3.Error:
            pass  # the file stays long until the next upkeep: slower to open, but correct


def _checkpoint(db: sqlite3.Connection, *, tidy: bool) -> None:
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    if not tidy:
        return
    if _is_worth_moving(db):
        try:
            db.execute("VACUUM")
        except sqlite3.OperationalError:  # no room: what was cleared makes room for itself only
            pass
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log holds the earlier content of the pages


def _is_worth_moving(db: sqlite3.Connection) -> bool:
    free, pages, page_size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count", "page_size")
    )
    used = (pages - free) * page_size
    # even if no page is free: a page in use may contain rests of cleared data
    return bool(used <= _SMALL or (used <= _MAX_VACUUM and free * page_size >= used))
