"""The schema of a store's database, and the migrations from earlier ones."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from taskfc_ext.drivers.row_checks import Totals, check_code, check_file, check_row
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.records import decode_record

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 4

READABLE = (3, SCHEMA_VERSION)
"""The versions with the tables of now. References to payload files have no check sums in version 3."""

SUBMITTED, ENDED, DEFINED, BROADCASTED, BASELINE = 1, 2, 9, 13, 17
"""Kinds of rows. Rows of the first two kinds are read until their tasks are cleared."""

BLOCK_BITS = 10
"""Results are indexed by blocks of 2**10 task ids: a row for each task would cost the controller four times as much."""

TABLES: Final = {
    "meta": "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    # bodies last: the other columns are read without the pages of long bodies
    "journal": (
        "CREATE TABLE journal("
        "seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, first INTEGER, last INTEGER, sum BLOB NOT NULL, totals BLOB, "
        "body BLOB NOT NULL)"
    ),
    "code": (
        "CREATE TABLE code(digest BLOB PRIMARY KEY, file INTEGER, size INTEGER NOT NULL, sum BLOB NOT NULL, "
        "body BLOB) WITHOUT ROWID"
    ),
    "files": "CREATE TABLE files(number INTEGER PRIMARY KEY, taskid INTEGER)",
    # derived from the journal
    "ended": "CREATE TABLE ended(block INTEGER, seq INTEGER, PRIMARY KEY(block, seq)) WITHOUT ROWID",
    "submitted": "CREATE INDEX submitted ON journal(first) WHERE kind = 1 AND first IS NOT NULL",
    "hollow": "CREATE INDEX hollow ON journal(seq) WHERE first IS NULL",
    "files_of": "CREATE INDEX files_of ON files(taskid) WHERE taskid IS NOT NULL",
}
"""The statement for each table and index.

A row of the journal whose `first` is NULL holds no result or submission: the next baseline replaces it. `sum` is the
row's check. `totals` is in the last row of each transaction: the packed `Totals` after it. `meta` has the name of this
store among all under "identity".
"""

IDENTITY_BYTES = 16

_BUSY_TIMEOUT = 60.0
"""Seconds that a commit waits for the upkeep of the file."""

_PROGRESS_EVERY = 2.0
"""Seconds between two lines of the log while a large store is migrated."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a store's database.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def connect_again(path: Path, log_bytes: int, *, is_synced: bool) -> sqlite3.Connection:
    """Open a store's database once more, as `set_up` does.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    db = connect(path)
    try:
        set_up(db, log_bytes, is_synced=is_synced)
    except BaseException:
        db.close()
        raise
    return db


def set_up(db: sqlite3.Connection, log_bytes: int, *, is_synced: bool = False) -> None:
    """Set up a new connection, whose log keeps at most `log_bytes` after it was moved into the database.

    `is_synced`: each commit is written to the disk.
    """
    db.execute("PRAGMA cell_size_check=ON")
    read_schema(db)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={'FULL' if is_synced else 'NORMAL'}")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute(f"PRAGMA journal_size_limit={log_bytes}")
    db.execute("PRAGMA secure_delete=FAST")  # the next compaction removes the content of free pages


def read_schema(db: sqlite3.Connection) -> None:
    """Read the schema, which the first statement does in any case.

    Raises:
        sqlite3.Error: it is damaged, also where the message of SQLite quotes a part of it that is no text.
    """
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError("malformed database schema") from error


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new database, or migrate those of an earlier version, in one transaction.

    Raises:
        StoreError: it belongs to a later version, or is damaged.
        sqlite3.Error: it is damaged.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version and version not in MIGRATIONS:
        raise StoreError(
            f"the store {path} has schema version {version}; this taskfc_ext has {SCHEMA_VERSION}",
            hint="use the version that wrote it, start another name, or put it aside with `taskfc start --fresh`",
        )
    db.execute("BEGIN IMMEDIATE")
    try:
        if not version:
            _make_tables(db, TABLES)
        while version and version != SCHEMA_VERSION:
            version = MIGRATIONS[version](db, path)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _make_tables(db: sqlite3.Connection, names: Iterable[str]) -> None:
    for name in names:
        db.execute(TABLES[name])
    db.execute("INSERT INTO meta VALUES ('identity', ?)", (os.urandom(IDENTITY_BYTES),))


def _add_checks(db: sqlite3.Connection, path: Path) -> int:
    """Migrate from version 2, whose rows have no checks and whose `meta` is empty."""
    (n_rows,) = db.execute("SELECT count(*) FROM journal").fetchone()
    logger.info("migrating %s to schema version 3: %d rows", path, n_rows)
    (problem,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if problem != "ok":  # there are no checks yet that could notice it later
        raise StoreError(f"the store {path} is damaged: {problem}")
    totals, progress = Totals(), _Progress(n_rows)
    (last,) = db.execute("SELECT max(seq) FROM journal").fetchone()
    totals.next_seq = (last or 0) + 1

    def check_old_row(seq: int, kind: int, first: int | None, last: int | None, body: bytes) -> bytes:
        progress.step()
        if kind != DEFINED:
            decode_record(body)
        check = check_row(seq, kind, first, last, body)
        totals.rows.add(check)
        return check

    def check_old_code(key: bytes, file: int | None, size: int, body: bytes | None) -> bytes:
        check = check_code(key, file, size, body)
        totals.code.add(check)
        return check

    db.create_function("check_old_row", 5, check_old_row)
    db.create_function("check_old_code", 4, check_old_code)
    for index in ("submitted", "hollow"):
        db.execute(f"DROP INDEX {index}")
    for table in ("journal", "code"):
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_2")
    db.execute("DROP TABLE meta")
    _make_tables(db, ("meta", "journal", "code"))
    db.execute(
        "INSERT INTO journal SELECT seq, kind, first, last, check_old_row(seq, kind, first, last, body), NULL, body "
        "FROM journal_2 ORDER BY seq"
    )
    db.execute(
        "INSERT INTO code SELECT digest, file, size, check_old_code(digest, file, size, body), body "
        "FROM code_2 ORDER BY digest"
    )
    for number, taskid in db.execute("SELECT number, taskid FROM files"):
        totals.files.add(check_file(number, taskid))
    for table in ("journal", "code"):
        db.execute(f"DROP TABLE {table}_2")
    for name in ("submitted", "hollow"):
        db.execute(TABLES[name])
    db.execute("UPDATE journal SET totals = ? WHERE seq = ?", (totals.pack(), last))
    logger.info("migrated %s to schema version 3", path)
    return 3


def _know_check_sums(db: sqlite3.Connection, path: Path) -> int:
    """Migrate from version 3; see `READABLE`. Its references stay without check sums."""
    return 4


MIGRATIONS: Final[dict[int, Callable[[sqlite3.Connection, Path], int]]] = {2: _add_checks, 3: _know_check_sums}
"""For each earlier version, a function that brings its tables to a later one and returns that."""


class _Progress:
    """Lines of the log during long work on `n` rows."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._done = 0
        self._next = time.monotonic() + _PROGRESS_EVERY

    def step(self) -> None:
        """Count one more row."""
        self._done += 1
        if self._done % 1000 == 0 and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_EVERY
            logger.info("migrated %d of %d rows", self._done, self._n)
