"""The store: an SQLite journal of records, committed before any message that depends on them is sent.

A row holds one record, which is one batch, so a commit costs the same for one task and for a thousand. Records are
written in the controller's own thread (a writer thread gained nothing); only the upkeep of the file has another one.
Large payloads are files: `stage` writes them before the records that refer to them. A `Cleared` removes its tasks' data
at once, except from rows that other tasks share. A `Baseline` removes all rows that a replay does not need any more.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from taskfc_ext.drivers.clearing import (
    BASELINE,
    BLOCK_BITS,
    BROADCASTED,
    CLEARING,
    ENDED,
    SUBMITTED,
    Clearing,
    record_at,
    without_bodies,
)
from taskfc_ext.drivers.paths import payloads_of, uploads_of
from taskfc_ext.drivers.payload_files import LARGE, PayloadFiles, number_of
from taskfc_ext.drivers.upkeep import CHECKPOINT_BYTES, Upkeep
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import Payload, PayloadRef, Upload, size_of
from taskfc_ext.protocol.records import (
    AbortAsked,
    AbortsAsked,
    Baseline,
    Began,
    BroadcastDeath,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    Dropped,
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

SCHEMA_VERSION = 2

_BUSY_TIMEOUT = 60.0
"""Seconds that a commit waits for the upkeep of the file."""

_KINDS: Final[dict[type, int]] = {
    Submitted: SUBMITTED,
    Ended: ENDED,
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
    Broadcasted: BROADCASTED,
    BroadcastDeath: 14,
    BroadcastsCleared: 15,
    Dropped: 16,
    Baseline: BASELINE,
    AbortsAsked: 18,
}
_DEFINE = _KINDS[Define]

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value);
CREATE TABLE journal(seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, first INTEGER, last INTEGER, body BLOB NOT NULL);
CREATE INDEX submitted ON journal(first) WHERE kind = 1 AND first IS NOT NULL;
CREATE INDEX hollow ON journal(seq) WHERE first IS NULL;
CREATE TABLE ended(block INTEGER, seq INTEGER, PRIMARY KEY(block, seq)) WITHOUT ROWID;
CREATE TABLE code(digest BLOB PRIMARY KEY, body BLOB, file INTEGER, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files(number INTEGER PRIMARY KEY, taskid INTEGER);
CREATE INDEX files_of ON files(taskid) WHERE taskid IS NOT NULL;
"""
# A row of the journal whose `first` is NULL holds no result or submission: the next baseline replaces it.


class Store:
    """The journal of one farm. Only the process that holds the farm's lock writes it.

    Args:
        path: the database file, which is made if it is missing. Large payloads are in a folder beside it.

    Raises:
        StoreError: it belongs to another version, is damaged, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            self._db.execute(f"PRAGMA journal_size_limit={CHECKPOINT_BYTES}")
            self._db.execute("PRAGMA secure_delete=FAST")  # the next compaction removes the content of free pages
            self._prepare()
            self._next_seq = self._one("SELECT max(seq) FROM journal") + 1
            base = self._one(f"SELECT max(seq) FROM journal WHERE first IS NULL AND kind = {BASELINE}")
            files = {number for (number,) in self._db.execute("SELECT number FROM files")}
            is_untidy = self._one("PRAGMA freelist_count") > 0
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(path, error) from error
        except StoreError:
            self._db.close()
            raise
        self._files = PayloadFiles(payloads_of(path), uploads_of(path))
        self._files.begin(files)
        self._clearing = Clearing(self._db, base)
        self._written = 0
        self._upkeep = Upkeep(path)
        self._without_bodies = lru_cache(maxsize=256)(self._read_without_bodies)
        if is_untidy:
            self._upkeep.after_commit(0, cleared=True)

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"the store {self.path} has schema version {version}; this taskfc_ext has {SCHEMA_VERSION}",
                hint="use the version that wrote it, start another name, or delete it with `taskfc start --fresh`",
            )

    def use_cleared_check(self, knows: Callable[[int], bool]) -> None:
        """Use `knows`, which returns whether a task exists and is not cleared. The core has it after the replay."""
        self._clearing.knows = knows

    def _one(self, query: str) -> int:
        """Return the number that `query` finds; 0: none."""
        row = self._db.execute(query).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    # writing

    def stage(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        """Return `payloads` with a file of the store in place of each large one. The next commit drops unused files.

        Raises:
            UploadGone: the file of an `Upload` is not there.
            OSError: the disk is full.
        """
        return tuple([self._stage(payload) for payload in payloads])

    def _stage(self, payload: Payload) -> Payload:
        if isinstance(payload, Upload):
            return self._files.adopt(payload)
        if isinstance(payload, bytes) and len(payload) >= LARGE:
            return self._files.write(payload)
        return payload

    def stage_again(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        """Return the payloads of a record for use in another record: each file gets a second one."""
        return tuple(self._files.again(body) if isinstance(body, PayloadRef) else body for body in payloads)

    def commit(self, records: Iterable[Record]) -> None:
        """Append `records` in one transaction; when this returns, they survive the death of any process.

        Raises:
            sqlite3.Error: nothing was written.
        """
        records = list(records)
        execute = self._db.execute
        is_clearing = False
        execute("BEGIN IMMEDIATE")
        try:
            for at, record in enumerate(records):
                self._append(record)
                if isinstance(record, CLEARING):
                    is_clearing = True
                    self._clearing.apply(record, records[at + 1 :], self._next_seq - 1)
            execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended the transaction already
                execute("ROLLBACK")
            self._clearing.gone.clear()
            raise
        self._files.remove_later(self._clearing.gone)
        self._clearing.gone.clear()
        self.unstage()
        self._upkeep.after_commit(self._written, cleared=is_clearing)
        self._written = 0

    def unstage(self) -> None:
        """Remove the staged files that no record refers to."""
        if self._files.staged:
            self._files.remove(list(self._files.staged))

    def remove_cleared(self) -> None:
        """Remove the files of tasks that were cleared before the last call, which was seconds ago."""
        self._files.remove_old()

    def _append(self, record: Record) -> None:
        seq = self._next_seq
        self._next_seq += 1
        kind = _KINDS[type(record)]
        execute = self._db.execute
        if isinstance(record, Define):
            self._keep_code(record)
            execute("INSERT INTO journal VALUES (?, ?, NULL, NULL, ?)", (seq, kind, record.digest))
            return
        first, last = _span(record)
        body = encode_record(record)
        self._written += len(body)
        execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", (seq, kind, first, last, body))
        if isinstance(record, Ended):
            blocks = {taskid >> BLOCK_BITS for taskid in record.ids}
            self._db.executemany("INSERT INTO ended VALUES (?, ?)", [(block, seq) for block in blocks])
            if self._files.staged:
                self._keep_files(record.ids, record.values)
        elif isinstance(record, Submitted) and self._files.staged:
            self._keep_files(range(record.first, record.first + len(record.bodies)), record.bodies)

    def _keep_code(self, record: Define) -> None:
        body: Payload | None = record.body
        size, number = size_of(record.body), None
        known = self._db.execute("SELECT 1 FROM code WHERE digest = ?", (record.digest,)).fetchone()
        if known is not None:
            return
        if isinstance(body, bytes) and size >= LARGE:
            body = self._files.write(body)
        if isinstance(body, PayloadRef) and number_of(body) in self._files.staged:
            number, body = number_of(body), None
            self._keep_file(number, None)
        self._db.execute("INSERT INTO code VALUES (?, ?, ?, ?)", (record.digest, body, number, size))
        self._written += size

    def _keep_files(self, taskids: Iterable[int], payloads: Iterable[Payload]) -> None:
        for taskid, payload in zip(taskids, payloads, strict=True):
            if isinstance(payload, PayloadRef) and number_of(payload) in self._files.staged:
                self._keep_file(number_of(payload), taskid)

    def _keep_file(self, number: int, taskid: int | None) -> None:
        self._db.execute("INSERT INTO files VALUES (?, ?)", (number, taskid))
        self._files.staged.discard(number)

    # reading

    def records(self) -> Iterator[Record]:
        """Yield all records from the last baseline on, in the order of their commits.

        Raises:
            StoreError: a record is damaged.
        """
        last = 0
        sizes = dict(self._db.execute("SELECT digest, size FROM code"))
        try:
            query = "SELECT seq, kind, body FROM journal WHERE seq >= ? ORDER BY seq"
            for seq, kind, body in self._db.execute(query, (self._clearing.base,)):
                yield Define(body, _stands_for(body, sizes)) if kind == _DEFINE else decode_record(body)
                last = seq
        except (ValueError, sqlite3.Error) as error:
            raise StoreError(f"the store {self.path} is damaged after record {last}: {error}") from error

    def code(self, digest: bytes) -> Payload:
        """Return the code body under `digest`; a large one stands in a file.

        Raises:
            KeyError: there is none.
        """
        row = self._db.execute("SELECT body, file, size FROM code WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise KeyError(digest.hex())
        body, number, size = row
        return PayloadRef(f"{number:x}", size) if body is None else bytes(body)

    def payload(self, payload: Payload) -> bytes:
        """Return the content of a record's `payload`."""
        assert not isinstance(payload, Upload)  # records hold none
        return payload if isinstance(payload, bytes) else self._files.read(payload)

    def find_ended(self, taskids: Iterable[int]) -> Iterator[tuple[Ended, list[int]]]:
        """Yield the records with the ends of `taskids`, each with the rows of these tasks; each task once."""
        missing: dict[int, set[int]] = {}
        for taskid in taskids:
            missing.setdefault(taskid >> BLOCK_BITS, set()).add(taskid)
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
        """Yield the `Ended` records, newest first."""
        for (body,) in self._db.execute("SELECT body FROM journal WHERE kind = ? ORDER BY seq DESC", (ENDED,)):
            record = decode_record(body)
            assert isinstance(record, Ended)
            yield record

    def ended_by_id(self) -> Iterator[tuple[Ended, int]]:
        """Yield the ends of tasks, each as a record and a row in it, by descending task id.

        A record is read when the first of its tasks is due, since results may be large.
        """
        block = 2**62
        while (block := self._block_before(block)) >= 0:
            query = (
                "SELECT j.seq, j.last FROM ended e JOIN journal j ON j.seq = e.seq WHERE e.block = ? "
                "ORDER BY j.last DESC"
            )
            due: list[tuple[int, int, int, Ended]] = []  # a heap, by -task id
            for seq, last in self._db.execute(query, (block,)).fetchall():
                while due and -due[0][0] > last:  # no unread record has a larger id
                    _, _, row, record = heapq.heappop(due)
                    yield record, row
                record = record_at(self._db, seq, Ended)
                for row, taskid in enumerate(record.ids):
                    if taskid >> BLOCK_BITS == block:
                        heapq.heappush(due, (-taskid, seq, row, record))
            while due:
                _, _, row, record = heapq.heappop(due)
                yield record, row

    def _block_before(self, block: int) -> int:
        """Return the last block of ids below `block` with ended tasks; -1: none."""
        (found,) = self._db.execute("SELECT max(block) FROM ended WHERE block < ?", (block,)).fetchone()
        return -1 if found is None else int(found)

    def batch_of(self, taskid: int) -> Submitted:
        """Return the submission of a task that is not cleared.

        Raises:
            KeyError: there is no such task.
        """
        return record_at(self._db, self._seq_of(taskid), Submitted)

    def batch_without_bodies(self, taskid: int) -> Submitted:
        """Return the submission of a task that is not cleared, with empty arguments.

        Raises:
            KeyError: there is no such task.
        """
        return self._without_bodies(self._seq_of(taskid))

    def _seq_of(self, taskid: int) -> int:
        query = "SELECT seq, last FROM journal WHERE kind = 1 AND first IS NOT NULL AND first <= ? "
        row = self._db.execute(query + "ORDER BY first DESC LIMIT 1", (taskid,)).fetchone()
        if row is None or row[1] < taskid:
            raise KeyError(taskid)
        return int(row[0])

    def _read_without_bodies(self, seq: int) -> Submitted:
        record = record_at(self._db, seq, Submitted)
        bodies = (b"",) * len(record.bodies)
        return msgspec.structs.replace(record, spec=without_bodies(record.spec), bodies=bodies)

    def close(self) -> None:
        """Close the store; all committed records are in the file."""
        self._upkeep.close()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()


def _stands_for(digest: bytes, sizes: Mapping[bytes, int]) -> PayloadRef:
    """Return the stand-in for a code body in a replay, which needs only its size."""
    return PayloadRef(digest.hex(), sizes.get(digest, 0))


def _span(record: Record) -> tuple[int | None, int | None]:
    """Return the smallest and the largest task id in `record`."""
    match record:
        case Submitted():
            return record.first, record.first + len(record.bodies) - 1
        case Leased() | Requeued() | Ended() | Cleared() | Held() | Moved() | AbortsAsked() if record.ids:
            return min(record.ids), max(record.ids)
        case AbortAsked():
            return record.taskid, record.taskid
        case _:
            return None, None


def _unusable(path: Path, error: sqlite3.Error) -> StoreError:
    hint = "move the file away to start with an empty store; `taskfc start --fresh` does that"
    return StoreError(f"the store {path} cannot be used: {error}", hint=hint)
