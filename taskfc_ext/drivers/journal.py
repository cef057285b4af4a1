"""The tables of a store. Each row is written with its check, and the check is compared whenever the row is read.

The sums of all checks change in the same transaction as the rows. `verify` compares them, and all that is derived from
the rows, when a store is opened; it does not read the bodies. Later on, a row that has to be there and is not found is
damage. So no read and no search is silently wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import ge
from pathlib import Path
from struct import error as StructError
from typing import TypeVar

from msgspec import MsgspecError

from taskfc_ext.drivers.paths import payloads_of, witness_of
from taskfc_ext.drivers.row_checks import MODULUS, Total, Totals, check_code, check_file, check_row
from taskfc_ext.drivers.schema import BASELINE, BLOCK_BITS, DEFINED, ENDED, SUBMITTED, TABLES
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import PayloadRef
from taskfc_ext.protocol.records import Record, Submitted, decode_record, encode_record

R = TypeVar("R", Submitted, Ended)

Row = tuple[int, int, int | None, int | None, bytes, bytes]
"""Columns of a row of the journal: seq, kind, first, last, sum, body."""

_NO_DAMAGE = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)
"""Codes of errors of the system, after which the content may be whole."""

_AT_ONCE = 10_000
"""Rows that are verified at once."""

_COLUMNS = "seq, kind, first, last, sum, body"


class Journal:
    """Reader and writer of the tables, within the transactions of a store.

    Args:
        db: the store's connection; its tables are made.
        path: of its database, for messages.

    Attributes:
        totals: the totals of the tables.
        packed: the same, packed, as they are after the last record of a transaction.
        base: the row of the last baseline; 0: there is none.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self.totals = Totals()
        self.packed = self.totals.pack()
        self.base = 0
        self._settled, self._settled_base = self.packed, self.base

    def use(self, db: sqlite3.Connection) -> None:
        """Use another connection to the store."""
        self._db = db

    # writing

    def settle(self) -> bytes:
        """Keep the totals after a commit, and return them packed."""
        self._settled, self._settled_base = self.packed, self.base
        return self.packed

    def roll_back(self) -> None:
        """Return to the totals of the last commit."""
        self.packed, self.base = self._settled, self._settled_base
        self.totals = Totals.unpack(self.packed)

    def insert(self, kind: int, first: int | None, last: int | None, body: bytes, *, is_last: bool) -> None:
        """Append a row, numbered `totals.next_seq`. With the last one of a transaction go the totals after it."""
        totals = self.totals
        seq = totals.next_seq
        check = check_row(seq, kind, first, last, body)
        totals.next_seq = seq + 1
        totals.rows.add(check)
        packed = None
        if is_last:
            packed = self.packed = totals.pack()
        row = (seq, kind, first, last, check, packed, body)
        self._db.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def index_ended(self, seq: int, taskids: Iterable[int]) -> None:
        """Enter the `Ended` in row `seq` into the index of ends."""
        self._db.executemany("INSERT INTO ended VALUES (?, ?)", [(block, seq) for block in blocks_of(taskids)])

    def hollow(self, seq: int, record: Record) -> None:
        """Replace the record in row `seq` by one without its bulk, which the next baseline removes."""
        kind, old = self._one_row("SELECT kind, sum FROM journal WHERE seq = ?", seq)
        body = encode_record(record)
        check = check_row(seq, kind, None, None, body)
        update = "UPDATE journal SET first = NULL, last = NULL, sum = ?, body = ? WHERE seq = ?"
        self._expect(self._db.execute(update, (check, body, seq)).rowcount, 1, f"row {seq}")
        self.totals.rows.remove(old)
        self.totals.rows.add(check)

    def delete(self, condition: str, values: Sequence[int]) -> None:
        """Delete the rows that meet `condition`, in SQL."""
        checks = self._db.execute(f"SELECT sum FROM journal WHERE {condition}", values).fetchall()
        n = self._db.execute(f"DELETE FROM journal WHERE {condition}", values).rowcount
        self._expect(n, len(checks), "the rows before a baseline")
        for (check,) in checks:
            self.totals.rows.remove(check)

    def delete_ended(self, seq: int, taskids: Iterable[int]) -> None:
        """Remove the `Ended` in row `seq` from the index of ends."""
        entries = [(block, seq) for block in blocks_of(taskids)]
        n = self._db.executemany("DELETE FROM ended WHERE block = ? AND seq = ?", entries).rowcount
        self._expect(n, len(entries), f"the index entries of row {seq}")

    def insert_code(self, key: bytes, file: int | None, size: int, body: bytes | None) -> None:
        """Insert a code body, which stands in the row or in a file."""
        check = check_code(key, file, size, body)
        self._db.execute("INSERT INTO code VALUES (?, ?, ?, ?, ?)", (key, file, size, check, body))
        self.totals.code.add(check)

    def delete_code(self, key: bytes) -> int | None:
        """Delete a code body if it is there; return the number of its file."""
        row = self._db.execute("SELECT file, sum FROM code WHERE digest = ?", (key,)).fetchone()
        if row is None:
            return None
        file, check = row
        self._expect(self._db.execute("DELETE FROM code WHERE digest = ?", (key,)).rowcount, 1, "a code body")
        self.totals.code.remove(check)
        if file is not None:
            self.delete_files("number = ?", (file,))
        return None if file is None else int(file)

    def insert_file(self, number: int, taskid: int | None) -> None:
        """Note a payload file; `taskid`: the task that goes with it."""
        self._db.execute("INSERT INTO files VALUES (?, ?)", (number, taskid))
        self.totals.files.add(check_file(number, taskid))

    def delete_files(self, condition: str, values: Sequence[int] = ()) -> list[int]:
        """Delete the rows of payload files that meet `condition`, in SQL; return their numbers."""
        rows = self._db.execute(f"SELECT number, taskid FROM files WHERE {condition}", values).fetchall()
        if rows:
            n = self._db.execute(f"DELETE FROM files WHERE {condition}", values).rowcount
            self._expect(n, len(rows), "rows of payload files")
        for number, taskid in rows:
            self.totals.files.remove(check_file(number, taskid))
        return [number for number, _ in rows]

    # reading

    def record(self, seq: int, kind: type[R]) -> R:
        """Return the record of type `kind` in row `seq`.

        Raises:
            StoreError: the row is damaged, or not there.
        """
        (record,) = self.records("WHERE seq = ?", (seq,)) or (None,)
        if not isinstance(record, kind):
            raise self.refuse(f"row {seq} is gone")
        return record

    def records(self, condition: str, values: Sequence[int] = ()) -> list[Record]:
        """Return the records of all rows that meet `condition`, in SQL.

        Raises:
            StoreError: a row is damaged.
        """
        return [record for _, record in self.iterate(condition, values)]

    def iterate(self, condition: str, values: Sequence[int] = ()) -> Iterator[tuple[int, Record]]:
        """Yield the rows that meet `condition`, in SQL, each as a number and a record.

        Raises:
            StoreError: a row is damaged.
        """
        try:
            for row in self._db.execute(f"SELECT {_COLUMNS} FROM journal {condition}", values):
                yield row[0], self._decode(row)
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error

    def _decode(self, row: Row) -> Record:
        seq, kind, first, last, _, body = row
        if not is_whole(row):
            tasks = "" if first is None else f", of tasks {first} to {last},"
            raise self.refuse(f"row {seq}{tasks} does not agree with its check")
        if kind == DEFINED:
            return Define(body, PayloadRef(body.hex(), 0))
        try:
            return decode_record(body)
        except MsgspecError as error:
            raise self.refuse(f"row {seq} is not understood: {error}") from error

    def code(self, key: bytes) -> tuple[bytes | None, int | None, int]:
        """Return a code body, or else its file, and its size.

        Raises:
            KeyError: there is none.
            StoreError: it is damaged.
        """
        query = "SELECT file, size, sum, body FROM code WHERE digest = ?"
        try:
            row = self._db.execute(query, (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error
        if row is None:
            raise KeyError(key.hex())
        file, size, check, body = row
        if check != check_code(key, file, size, body):
            raise self.refuse(f"the code {key.hex()} does not agree with its check")
        return body, file, size

    def query(self, text: str, values: Sequence[int] = ()) -> list[tuple[int, ...]]:
        """Return the rows of numbers that a query finds.

        Raises:
            StoreError: the database is damaged.
        """
        try:
            return self._db.execute(text, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error

    def refuse(self, fact: str) -> StoreError:
        """Return the error that says so."""
        return damage(self._path, fact)

    def _one_row(self, query: str, seq: int) -> tuple[int, bytes]:
        row = self._db.execute(query, (seq,)).fetchone()
        if row is None:
            raise self.refuse(f"row {seq} is gone")
        return row[0], row[1]

    def _expect(self, n: int, expected: int, what: str) -> None:
        if n != expected:
            raise self.refuse(f"{what}: {n} found, not {expected}")

    # verifying

    def load(self) -> None:
        """Read the totals and verify the tables against them, without the bodies.

        Raises:
            StoreError: something is damaged.
        """
        try:
            self._verify()
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error
        except (TypeError, ValueError, StructError) as error:  # a column has another type
            raise self.refuse(str(error)) from error

    def _verify(self) -> None:
        found = dict(self._db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        if found != TABLES:
            raise self.refuse("its tables are not those of its schema")
        for pragma, expected in (("auto_vacuum", 0), ("encoding", "UTF-8")):
            if self._db.execute(f"PRAGMA {pragma}").fetchone() != (expected,):
                raise self.refuse(f"its header is wrong: {pragma}")
        newest = self._db.execute("SELECT totals FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        if newest is not None:
            self.totals = Totals.unpack(newest[0] or b"")
            self.packed = self.totals.pack()
        self._verify_rows()
        self._verify_code()
        self._verify_files()
        self.settle()

    def _verify_rows(self) -> None:
        by_first = self._db.execute("SELECT seq, first FROM journal INDEXED BY submitted WHERE kind = 1 AND "
                                    "first IS NOT NULL ORDER BY first, seq")  # fmt: skip
        by_hollow = self._db.execute("SELECT seq FROM journal INDEXED BY hollow WHERE first IS NULL ORDER BY seq")
        rows = self._db.execute("SELECT seq, kind, first, last, sum FROM journal NOT INDEXED ORDER BY seq")
        n, total, before, ends = 0, 0, 0, 0
        while chunk := rows.fetchmany(_AT_ONCE):
            n += len(chunk)
            total += sum([int.from_bytes(row[4], "little") for row in chunk])
            seqs = [row[0] for row in chunk]
            if seqs[0] <= before or any(map(ge, seqs, seqs[1:])):
                raise self.refuse(f"the rows up to {seqs[-1]} are out of order")
            before = seqs[-1]
            hollow = [(row[0],) for row in chunk if row[2] is None]
            submitted = [(row[0], row[2]) for row in chunk if row[1] == SUBMITTED and row[2] is not None]
            # tasks are numbered in the order of their submissions; `fetchmany(0)` would take all rows
            if [*islice(by_hollow, len(hollow))] != hollow or [*islice(by_first, len(submitted))] != submitted:
                raise self.refuse(f"an index does not agree with the rows up to {before}")
            self.base = max(
                [seq for seq, kind, first, _, _ in chunk if kind == BASELINE and first is None] or [self.base]
            )
            ends += sum(
                [
                    hash((block, seq))
                    for seq, kind, first, last, _ in chunk
                    if kind == ENDED and first is not None
                    for block in self._blocks_of_row(seq, first, last)
                ]
            )
        if by_first.fetchone() is not None or by_hollow.fetchone() is not None:
            raise self.refuse("an index names rows that are gone")
        expected = self.totals.rows
        if (n, total % MODULUS) != (expected.n, expected.sum) or before + 1 != self.totals.next_seq:
            raise self.refuse(f"{expected.n} rows were written, and {n} are there or do not agree")
        self._verify_ended(ends)

    def _blocks_of_row(self, seq: int, first: int, last: int) -> Iterable[int]:
        """Return the blocks of the ids in an `Ended`; its columns tell them unless the ids are far apart."""
        low, high = first >> BLOCK_BITS, last >> BLOCK_BITS
        if low == high:
            return (low,)
        return (low, high) if high - low == 1 else blocks_of(self.record(seq, Ended).ids)

    def _verify_ended(self, expected: int) -> None:
        found, before = 0, (-1, -1)
        for entry in self._db.execute("SELECT block, seq FROM ended ORDER BY block, seq"):
            if entry <= before:
                raise self.refuse("the index of ends is out of order")
            before = entry
            found += hash(entry)
        if found != expected:
            raise self.refuse("the index of ends does not agree with the rows")

    def _verify_code(self) -> None:
        total, before = Total(), b""
        for key, check in self._db.execute("SELECT digest, sum FROM code ORDER BY digest"):
            if key <= before:
                raise self.refuse("the code is out of order")
            before = key
            total.add(check)
        if total != self.totals.code:
            raise self.refuse(f"{self.totals.code.n} code bodies were written, and {total.n} are there or differ")

    def _verify_files(self) -> None:
        total, of_tasks = Total(), []
        for number, taskid in self._db.execute("SELECT number, taskid FROM files NOT INDEXED ORDER BY number"):
            total.add(check_file(number, taskid))
            if taskid is not None:
                of_tasks.append((taskid, number))
        if total != self.totals.files:
            raise self.refuse(f"{self.totals.files.n} payload files were noted, and {total.n} are there or differ")
        query = "SELECT taskid, number FROM files INDEXED BY files_of WHERE taskid IS NOT NULL ORDER BY taskid, number"
        if sorted(of_tasks) != self._db.execute(query).fetchall():
            raise self.refuse("the index of payload files does not agree with the rows")

    def sizes_of_code(self) -> dict[bytes, int]:
        """Return the size of each code body."""
        return dict(self._db.execute("SELECT digest, size FROM code"))


def is_whole(row: Row) -> bool:
    """Return whether a row of the journal agrees with its check."""
    seq, kind, first, last, check, body = row
    try:
        return check == check_row(seq, kind, first, last, body)
    except (TypeError, StructError):  # a column has another type
        return False


def blocks_of(taskids: Iterable[int]) -> set[int]:
    """Return the blocks of the index of ends that name these tasks."""
    return {taskid >> BLOCK_BITS for taskid in taskids}


def damage(path: Path, fact: str) -> StoreError:
    """Return the error for a damaged store."""
    name = path.parent.name
    hint = (
        f"`taskfc repair {name}` keeps what can be read and names the rest; `taskfc start --fresh --name {name}` puts "
        "the store aside and begins with an empty one"
    )
    return StoreError(f"the store {path} is damaged: {fact}", hint=hint)


def refuse_lost_journal(path: Path) -> None:
    """Refuse a folder that has had a journal and has none now.

    Raises:
        StoreError: so it is.
    """
    if path.exists() and path.stat().st_size:
        return
    left = [each for each in (witness_of(path), payloads_of(path)) if each.exists()]
    if left:
        raise damage(path, f"the file is {'empty' if path.exists() else 'gone'}, and {left[0].name} is still there")


def unreadable(path: Path, error: sqlite3.Error) -> StoreError:
    """Return the error for a database that SQLite cannot read."""
    if is_damage(error):
        return damage(path, str(error))
    return StoreError(f"the store {path} cannot be used: {error}", hint=f"look at {path.parent} and its disk")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error of SQLite means damage of the database, and not a lack of the system."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NO_DAMAGE
