"""The store: an SQLite journal of records, committed before anything that depends on them is said.

A row holds one record, that is one batch, so a commit costs the same for one task and for a thousand. Records are
written in the controller's own thread (a writer thread gained nothing); only checkpoints of the write-ahead log run
elsewhere, since they can take 20 ms.
"""

from __future__ import annotations

import heapq
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.records import (
    AbortAsked,
    Began,
    BroadcastDeath,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    Held,
    Leased,
    Moved,
    Record,
    Requeued,
    Retried,
    StopAsked,
    Submitted,
    decode_record,
    encode_record,
)

SCHEMA_VERSION = 1

_BLOCK = 10
"""Results are indexed by blocks of 2**10 task ids: a row for each task would cost four times the controller's work."""

_CHECKPOINT_BYTES = 16 * 2**20

_KINDS: Final[dict[type, int]] = {
    Submitted: 1,
    Ended: 2,
    Leased: 3,
    Requeued: 4,
    AbortAsked: 5,
    Cleared: 6,
    Began: 7,
    StopAsked: 8,
    Define: 9,
    Held: 10,
    Moved: 11,
    Retried: 12,
    Broadcasted: 13,
    BroadcastDeath: 14,
    BroadcastsCleared: 15,
}
_SUBMITTED, _ENDED, _DEFINE = _KINDS[Submitted], _KINDS[Ended], _KINDS[Define]

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value);
CREATE TABLE journal(seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, first INTEGER, last INTEGER, body BLOB NOT NULL);
CREATE INDEX submitted ON journal(first) WHERE kind = 1;
CREATE TABLE ended(block INTEGER, seq INTEGER, PRIMARY KEY(block, seq)) WITHOUT ROWID;
CREATE TABLE code(digest BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""


class Store:
    """The journal of one farm. One process, the one that holds the farm's lock, writes it.

    Args:
        path: the database file; made when it does not exist.

    Raises:
        StoreError: it is another version's, damaged, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            self._prepare()
            row = self._db.execute("SELECT max(seq) FROM journal").fetchone()
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(path, error) from error
        except StoreError:
            self._db.close()
            raise
        self._next_seq = (row[0] or 0) + 1
        self._checkpoints = _Checkpoints(path)
        self._batch_of = lru_cache(maxsize=256)(self._read_submitted)

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"the store {self.path} has schema version {version}; this taskfc_ext has {SCHEMA_VERSION}",
                hint="use the taskfc_ext that wrote it, or start another name",
            )

    # writing

    def commit(self, records: Iterable[Record]) -> None:
        """Append `records` in one transaction; they survive the death of any process when this returns.

        Raises:
            sqlite3.Error: nothing was written.
        """
        execute = self._db.execute
        execute("BEGIN IMMEDIATE")
        try:
            for record in records:
                self._append(record)
            execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended it already
                execute("ROLLBACK")
            raise
        self._checkpoints.consider()

    def _append(self, record: Record) -> None:
        seq = self._next_seq
        self._next_seq += 1
        kind = _KINDS[type(record)]
        execute = self._db.execute
        if isinstance(record, Define):
            execute("INSERT OR IGNORE INTO code VALUES (?, ?)", (record.digest, record.body))
            execute("INSERT INTO journal VALUES (?, ?, NULL, NULL, ?)", (seq, kind, record.digest))
            return
        first, last = _span(record)
        execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", (seq, kind, first, last, encode_record(record)))
        if isinstance(record, Ended):
            blocks = {taskid >> _BLOCK for taskid in record.ids}
            self._db.executemany("INSERT INTO ended VALUES (?, ?)", [(block, seq) for block in blocks])
        elif isinstance(record, Cleared):
            self._forget(record)

    def _forget(self, record: Cleared) -> None:
        """Empty the rows that speak of cleared tasks only; those shared with others stay as they are."""
        cleared = set(record.ids)
        for block in {taskid >> _BLOCK for taskid in cleared}:
            rows = self._db.execute(
                "SELECT j.seq, j.first, j.last FROM ended e JOIN journal j ON j.seq = e.seq WHERE e.block = ?", (block,)
            ).fetchall()
            for seq, first, last in rows:
                # Any `first` that is not cleared settles it without a look at the body, as it does for most of them.
                if first in cleared and last in cleared and cleared.issuperset(self._ended(seq).ids):
                    self._hollow(seq)

    def _ended(self, seq: int) -> Ended:
        (body,) = self._db.execute("SELECT body FROM journal WHERE seq = ?", (seq,)).fetchone()
        record = decode_record(body)
        assert isinstance(record, Ended)
        return record

    def _hollow(self, seq: int) -> None:
        """Take values and outputs, which are the bulk, out of the `Ended` in row `seq`; the replay needs the rest."""
        record = self._ended(seq)
        hollow = msgspec.structs.replace(record, values=(b"",) * len(record.ids), outputs={}, displays={})
        self._db.execute("UPDATE journal SET body = ? WHERE seq = ?", (encode_record(hollow), seq))
        blocks = {taskid >> _BLOCK for taskid in record.ids}
        self._db.executemany("DELETE FROM ended WHERE block = ? AND seq = ?", [(block, seq) for block in blocks])

    # reading

    def records(self) -> Iterator[Record]:
        """Yield everything in the order in which it was committed.

        Raises:
            StoreError: a record is damaged.
        """
        last = 0
        try:
            for seq, kind, body in self._db.execute("SELECT seq, kind, body FROM journal ORDER BY seq"):
                yield Define(body, b"") if kind == _DEFINE else decode_record(body)
                last = seq
        except (ValueError, sqlite3.Error) as error:
            raise StoreError(f"the store {self.path} is damaged after record {last}: {error}") from error

    def code(self, digest: bytes) -> Payload:
        """Return the code body under `digest`.

        Raises:
            KeyError: there is none.
        """
        row = self._db.execute("SELECT body FROM code WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise KeyError(digest.hex())
        body: bytes = row[0]
        return body

    def ended(self, taskids: Iterable[int]) -> Iterator[tuple[Ended, list[int]]]:
        """Yield records with the rows in them that hold the ends of `taskids`, each task once."""
        missing: dict[int, set[int]] = {}
        for taskid in taskids:
            missing.setdefault(taskid >> _BLOCK, set()).add(taskid)
        for block, wanted in missing.items():
            query = (
                "SELECT j.body FROM ended e JOIN journal j ON j.seq = e.seq "
                "WHERE e.block = ? AND j.last >= ? AND j.first <= ? ORDER BY e.seq"
            )
            for (body,) in self._db.execute(query, (block, min(wanted), max(wanted))).fetchall():
                record = decode_record(body)
                assert isinstance(record, Ended)
                rows = [row for row, taskid in enumerate(record.ids) if taskid in wanted]
                if rows:
                    yield record, rows
                    wanted.difference_update(record.ids[row] for row in rows)
                if not wanted:
                    break

    def newest_ended(self) -> Iterator[Ended]:
        """Yield the records of ends, the newest first."""
        for (body,) in self._db.execute("SELECT body FROM journal WHERE kind = ? ORDER BY seq DESC", (_ENDED,)):
            record = decode_record(body)
            assert isinstance(record, Ended)
            yield record

    def ended_by_id(self) -> Iterator[tuple[Ended, int]]:
        """Yield the ends of tasks, each as a record and a row in it, the largest task id first.

        A record is read when the first of its tasks is due: results may be large.
        """
        block = 2**62
        while (block := self._block_before(block)) >= 0:
            query = (
                "SELECT j.seq, j.last FROM ended e JOIN journal j ON j.seq = e.seq WHERE e.block = ? "
                "ORDER BY j.last DESC"
            )
            due: list[tuple[int, int, int, Ended]] = []  # a heap, by -task id
            for seq, last in self._db.execute(query, (block,)).fetchall():
                while due and -due[0][0] > last:  # nothing that is still to be read can be newer
                    _, _, row, record = heapq.heappop(due)
                    yield record, row
                record = self._ended(seq)
                for row, taskid in enumerate(record.ids):
                    if taskid >> _BLOCK == block:
                        heapq.heappush(due, (-taskid, seq, row, record))
            while due:
                _, _, row, record = heapq.heappop(due)
                yield record, row

    def _block_before(self, block: int) -> int:
        """Return the last block of ids below `block` in which tasks have ended, or -1."""
        (found,) = self._db.execute("SELECT max(block) FROM ended WHERE block < ?", (block,)).fetchone()
        return -1 if found is None else int(found)

    def batch_of(self, taskid: int) -> Submitted:
        """Return the submission that `taskid` was part of.

        Raises:
            KeyError: there is none.
        """
        row = self._db.execute(
            "SELECT seq FROM journal WHERE kind = 1 AND first <= ? ORDER BY first DESC LIMIT 1", (taskid,)
        ).fetchone()
        if row is None:
            raise KeyError(taskid)
        return self._batch_of(row[0])

    def _read_submitted(self, seq: int) -> Submitted:
        (body,) = self._db.execute("SELECT body FROM journal WHERE seq = ?", (seq,)).fetchone()
        record = decode_record(body)
        assert isinstance(record, Submitted)
        return record

    def close(self) -> None:
        """Close the store; everything committed is in the file."""
        self._checkpoints.close()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()


class _Checkpoints:
    """Moves the write-ahead log into the database, in a thread and with a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._thread: threading.Thread | None = None
        self._commits = 0

    def consider(self) -> None:
        """Begin a checkpoint when the log has grown large; looks at its size now and then only."""
        self._commits += 1
        if self._commits % 256 or (self._thread is not None and self._thread.is_alive()):
            return
        if self._wal.stat().st_size > _CHECKPOINT_BYTES:
            self._thread = threading.Thread(target=self._run, name="taskfc-checkpoint", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            db = sqlite3.connect(self._path, timeout=1.0)
            try:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                db.close()
        except sqlite3.Error:
            pass  # the log stays long until the next one succeeds: slower to open, never wrong

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()


def _span(record: Record) -> tuple[int | None, int | None]:
    """Return the smallest and the largest task id that `record` speaks of."""
    match record:
        case Submitted():
            return record.first, record.first + len(record.bodies) - 1
        case Leased() | Requeued() | Ended() | Cleared() | Held() | Moved() if record.ids:
            return min(record.ids), max(record.ids)
        case AbortAsked():
            return record.taskid, record.taskid
        case _:
            return None, None


def _unusable(path: Path, error: sqlite3.Error) -> StoreError:
    hint = "move the file away to start empty; `taskfc start --fresh` does that"
    return StoreError(f"the store {path} cannot be used: {error}", hint=hint)
