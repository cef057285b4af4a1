"""Examination of a store: everything in it that is damaged, row by row. It changes nothing, also beside a running farm.

A start ends at the first damage that it meets, and does not read the bodies of finished tasks. Here each row is read,
each damage is listed, and each payload file is compared with its recorded size and check sum. All rows are those of one
moment.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from taskfc_ext.drivers.connection_file import boot_id
from taskfc_ext.drivers.journal import Journal, damage, refuse_lost_journal, unreadable
from taskfc_ext.drivers.paths import log_index_of, log_of, payloads_of, witness_of
from taskfc_ext.drivers.payload_files import find_fault, number_of, refs_in
from taskfc_ext.drivers.schema import BASELINE, MIGRATIONS, READABLE, SCHEMA_VERSION, read_schema
from taskfc_ext.drivers.witness import Note, find_loss, read_witness
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.payloads import PayloadRef
from taskfc_ext.protocol.records import Record

_BUSY_TIMEOUT = 10.0
"""Seconds that a read waits for a running farm's upkeep of the file."""


@dataclass
class Examination:
    """The result of an examination.

    Attributes:
        version: of the schema; 0: there is no journal yet, or its version cannot be read.
        n_records: rows of the journal that are whole.
        n_files: payload files that are there as they were recorded.
        damages: facts for which a start refuses the store, or for which it will when it reads that row.
        lost_files: facts about payload files: a start ignores them, and the readers of their tasks see them.
        notes: facts that are no damage, such as what was lost when the system went down.
        note: the witness; `None`: there is none, or it is damaged.
    """

    version: int = 0
    n_records: int = 0
    n_files: int = 0
    damages: list[str] = field(default_factory=list)
    lost_files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    note: Note | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.damages or self.lost_files)


def examine(journal: Path, *, is_idle: bool) -> Examination:
    """Examine the store of `journal`; `is_idle`: its lock is held, so that nobody writes it meanwhile.

    Raises:
        OSError: a file cannot be read.
    """
    found = Examination(note=read_witness(witness_of(journal)))  # first: the journal may be ahead of it, not behind
    try:
        refuse_lost_journal(journal)
        if journal.exists() and journal.stat().st_size:
            with _open_reading(journal, is_idle=is_idle) as db:
                _Examiner(db, journal, found).examine(is_idle=is_idle)
    except StoreError as error:
        _add_damage(found, journal, error)
    except sqlite3.Error as error:
        _add_damage(found, journal, unreadable(journal, error))
    return found


def _add_damage(found: Examination, journal: Path, error: StoreError) -> None:
    fact = error.message.removeprefix(damage(journal, "").message)
    if fact not in found.damages:
        found.damages.append(fact)


@contextmanager
def _open_reading(journal: Path, *, is_idle: bool) -> Iterator[sqlite3.Connection]:
    """Open a database for one reading transaction, in which no file but the index of its log changes.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    log, index = log_of(journal), log_index_of(journal)
    # without a log SQLite would make one, unless it is told that nobody writes
    needs_log = log.exists() and (not is_idle or log.stat().st_size > 0)
    is_new_index = is_idle and not index.exists()
    how = "mode=ro" if needs_log else "immutable=1"
    address = f"file:{quote(os.fsencode(journal))}?{how}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)) as db:
            db.execute("PRAGMA cell_size_check=ON")
            db.execute("BEGIN")
            read_schema(db)
            yield db
    finally:
        if is_new_index:
            index.unlink(missing_ok=True)


class _Examiner:
    """Reader of all tables of one store, in one transaction.

    Args:
        db: the connection, within the transaction.
        path: of the journal.
        found: takes what is found.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, found: Examination) -> None:
        self._db = db
        self._path = path
        self._found = found
        self._journal = Journal(db, path)
        self._files: dict[int, tuple[PayloadRef, bytes | None]] = {}  # by number, and with the digest of code

    def examine(self, *, is_idle: bool) -> None:
        """Read everything.

        Raises:
            StoreError: something cannot be read at all.
            sqlite3.Error: the same.
        """
        found = self._found
        (found.version,) = self._db.execute("PRAGMA user_version").fetchone()
        if found.version not in READABLE:
            self._examine_other_version()
            return
        is_loaded = False
        try:
            self._journal.load()
            is_loaded = True
        except StoreError as error:
            self._add(error)
        self._examine_rows(self._expected_seq(is_loaded))
        self._examine_code()
        if is_loaded:
            self._examine_witness()
        self._examine_files(is_idle=is_idle)

    def _add(self, error: StoreError) -> None:
        _add_damage(self._found, self._path, error)

    def _examine_other_version(self) -> None:
        version = self._found.version
        if version not in MIGRATIONS:
            self._found.damages.append(f"it has schema version {version}; this taskfc_ext has {SCHEMA_VERSION}")
            return
        self._found.notes.append(f"the next start migrates it to schema version {SCHEMA_VERSION}: its rows lack checks")
        problems = [line for (line,) in self._db.execute("PRAGMA integrity_check")]
        if problems != ["ok"]:
            self._found.damages.extend(problems)

    def _expected_seq(self, is_loaded: bool) -> int:
        """Return the number of the next record, as far as it is known; else 0."""
        if is_loaded:
            return self._journal.totals.next_seq
        return self._found.note.next_seq if self._found.note is not None else 0

    def _examine_rows(self, next_seq: int) -> None:
        ((base,),) = self._query("SELECT max(seq) FROM journal WHERE kind = ? AND first IS NULL", BASELINE)
        due = max(1, base or 0)  # no row from the baseline on is ever deleted
        for seq, record in self._rows():
            if seq > due:
                self._add_gap(due, seq)
            due = max(due, seq + 1)
            if record is not None:
                self._found.n_records += 1
                if not isinstance(record, Define):
                    self._files |= {number_of(ref): (ref, None) for ref in refs_in(record)}
        if due < next_seq:
            self._add_gap(due, next_seq)

    def _rows(self) -> Iterator[tuple[int, Record | None]]:
        """Yield the number and the record of each row; `None` in place of a damaged one."""
        last = 0
        while True:
            try:
                for seq, record in self._journal.iterate("WHERE seq > ? ORDER BY seq", (last,)):
                    last = seq
                    yield seq, record
                return
            except StoreError as error:
                self._add(error)
                if isinstance(error.__cause__, sqlite3.Error):  # the rest is out of reach
                    return
            ((last,),) = self._query("SELECT min(seq) FROM journal WHERE seq > ?", last)
            yield last, None

    def _add_gap(self, first: int, end: int) -> None:
        gone = f"row {first} is gone" if end - first == 1 else f"rows {first} to {end - 1} are gone"
        if gone not in self._found.damages:
            self._found.damages.append(gone)

    def _examine_code(self) -> None:
        for key, number, size in self._db.execute("SELECT digest, file, size FROM code").fetchall():
            try:
                self._journal.code(key)
            except StoreError as error:
                self._add(error)
                continue
            if number is not None:
                self._files[number] = PayloadRef(f"{number:x}", size), key

    def _examine_witness(self) -> None:
        identity = self._query("SELECT value FROM meta WHERE key = ?", "identity") or [(b"",)]
        loss = find_loss(self._found.note, Note(identity[0][0], boot_id(), self._journal.packed))
        if loss is not None:
            (self._found.damages if loss.is_damage else self._found.notes).append(loss.fact)

    def _examine_files(self, *, is_idle: bool) -> None:
        of_tasks = dict(self._query("SELECT number, taskid FROM files ORDER BY number"))
        folder = payloads_of(self._path)
        facts = {number: self._compare(folder, number) for number in of_tasks}
        self._found.n_files = sum(not fact for fact in facts.values())
        if not is_idle:  # a clear may have removed some meanwhile
            self._db.execute("COMMIT")
            left = {number for (number,) in self._query("SELECT number FROM files")}
            facts = {number: fact for number, fact in facts.items() if number in left}
        for number, fact in facts.items():
            if fact:
                owner = "a code body" if of_tasks[number] is None else f"task {of_tasks[number]}"
                self._found.lost_files.append(f"the payload file {number:x} of {owner} {fact}")
        if is_idle:
            self._note_unused(folder, {f"{number:x}" for number in of_tasks})

    def _compare(self, folder: Path, number: int) -> str:
        """Return what is wrong with a file; else empty."""
        path = folder / f"{number:x}"
        if number not in self._files:  # a damaged row records nothing
            return "" if path.exists() else "is gone"
        return find_fault(path, *self._files[number])

    def _note_unused(self, folder: Path, used: set[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            unused = sorted(set(os.listdir(folder)) - used)
            if unused:
                self._found.notes.append(f"the next start removes payload files without a task: {len(unused)}")

    def _query(self, text: str, *values: int | str) -> list[tuple[Any, ...]]:
        return self._db.execute(text, values).fetchall()
