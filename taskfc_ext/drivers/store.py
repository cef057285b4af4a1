"""The store: an SQLite journal of records, committed before any message that depends on them is sent.

A row holds one record, which is one batch, so a commit costs the same for one task and for a thousand. Records are
written in the controller's own thread (a writer thread gained nothing); only the upkeep of the file has another one.
Large payloads are files: `stage` writes them before the records that refer to them. A `Cleared` removes its tasks' data
at once, except from rows that other tasks share. A `Baseline` removes all rows that a replay does not need any more.
"""

from __future__ import annotations

import heapq
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from time import monotonic

import msgspec

from taskfc_ext.drivers.clearing import CLEARING, Clearing, without_bodies
from taskfc_ext.drivers.connection_file import boot_id
from taskfc_ext.drivers.files import open_private, sync_path
from taskfc_ext.drivers.journal import Journal, is_damage, refuse_lost_journal, unreadable
from taskfc_ext.drivers.kinds import KINDS, span_of
from taskfc_ext.drivers.paths import log_index_of, log_of, payloads_of, reserve_of, uploads_of, witness_of
from taskfc_ext.drivers.payload_files import LARGE, PayloadFiles, number_of
from taskfc_ext.drivers.rescue import JournalFiles
from taskfc_ext.drivers.room import FindingNoRoom, Reserve, is_io_error, refuse_full_disk
from taskfc_ext.drivers.schema import BLOCK_BITS, ENDED, connect, connect_again, prepare, set_up
from taskfc_ext.drivers.upkeep import CHECKPOINT_BYTES, Upkeep
from taskfc_ext.drivers.usage import Usage
from taskfc_ext.drivers.witness import Note, Witness, find_loss, read_witness
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import Payload, PayloadRef, Upload, size_of
from taskfc_ext.protocol.records import Record, Submitted, encode_record


class Store:
    """The journal of one farm. Only the process that holds the farm's lock writes it.

    Args:
        path: the database file, which is made if it is missing. Large payloads are in a folder beside it.
        is_synced: each commit is on the disk when `commit` returns, with the files that it refers to.

    Attributes:
        reserve: room for small records on a full disk, once it is made.
        usage: tells what the store takes, and which finished tasks take it for longest.
        warnings: a line for each loss that was noticed when the store was opened, and is no reason to refuse it.

    Raises:
        StorageFull: there is no room to open it.
        StoreError: it belongs to another version, is damaged, has lost something, or cannot be opened or written.
    """

    def __init__(self, path: Path, *, is_synced: bool = False) -> None:
        self.path = path
        self.reserve = Reserve(reserve_of(path))
        self._finding_no_room = FindingNoRoom(path.parent)
        self._is_synced = is_synced
        self._unsynced: list[int] = []  # files that the transaction refers to
        self.warnings: list[str] = []
        note = read_witness(witness_of(path))
        refuse_lost_journal(path)
        try:
            for file in (path, log_of(path), log_index_of(path)):
                if file == path or file.exists():
                    os.close(open_private(file))  # SQLite makes the others as this one
            self._db = connect(path)
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        except OSError as error:
            raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error
        try:
            set_up(self._db, CHECKPOINT_BYTES, is_synced=self._is_synced)
            prepare(self._db, path)
            self._journal = Journal(self._db, path)
            self._journal.load()
            self._witness = self._open_witness(note)
            files = {number for (number,) in self._db.execute("SELECT number FROM files")}
            (n_free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        except (sqlite3.Error, OSError, StoreError) as error:
            self._db.close()
            if (full := refuse_full_disk(path.parent, error)) is not None:
                raise full from error
            match error:
                case sqlite3.Error():
                    raise unreadable(path, error) from error
                case OSError():
                    hint = f"look at {path.parent} and its disk"
                    raise StoreError(f"{witness_of(path)} cannot be written: {error.strerror}", hint=hint) from error
            raise
        self._files = PayloadFiles(payloads_of(path), uploads_of(path))
        self._files.begin(files)
        self._clearing = Clearing(self._db, self._journal)
        self._has_ended: Callable[[int], bool] = lambda taskid: False
        self.usage = Usage(self._journal, self._files)
        self._written = 0
        self._has_failed = False
        self._names, self._upkeep = JournalFiles(path), Upkeep(path)
        self._without_bodies = lru_cache(maxsize=256)(self._read_without_bodies)
        if n_free:
            self._upkeep.after_commit(0, cleared=True)

    def _open_again(self) -> None:
        """Open the database again after a failed write: what a failed sync has left of its pages is not to be trusted.

        Raises:
            sqlite3.Error: it cannot be opened; the old connection stays, for those who read.
            StoreRemoved, StoreError: see `check_files`.
        """
        self.check_files()  # a file that is gone would be made anew
        db = connect_again(self.path, CHECKPOINT_BYTES, is_synced=self._is_synced)
        self._db.close()
        self._db = db
        self._has_failed = False
        self._journal.use(db)
        self._clearing.use(db)

    def _open_witness(self, note: Note | None) -> Witness:
        """Compare the journal with the last note of its witness, and begin a new note.

        Raises:
            StoreError: accepted tasks are missing, or it is another store's journal.
            OSError: the witness cannot be written.
        """
        (identity,) = self._db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone() or (b"",)
        now = Note(identity, boot_id(), self._journal.packed, synced=self._is_synced)
        loss = find_loss(note, now)
        if loss is not None and loss.is_damage:
            raise self._journal.refuse(loss.fact)
        if loss is not None:
            self.warnings.append(f"{self.path}: {loss.fact}")
        witness = Witness(witness_of(self.path), now)
        for folder in (self.path.parent, self.path.parent.parent) if self._is_synced else ():
            sync_path(folder)  # the journal and its folder may be new
        return witness

    def use_checks(self, knows: Callable[[int], bool], has_ended: Callable[[int], bool]) -> None:
        """Use what the core knows after the replay.

        Args:
            knows: returns whether a task exists and is not cleared.
            has_ended: returns whether a task has ended and is not cleared, so that its end has to be found.
        """
        self._clearing.knows = knows
        self._has_ended = has_ended

    # writing

    def stage(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        """Return `payloads` with a file of the store in place of each large one. The next commit drops unused files.

        Raises:
            UploadGone: the file of an `Upload` is not there.
            StorageFull: there is no room.
        """
        with self._finding_no_room:
            return tuple([self._stage(payload) for payload in payloads])

    def _stage(self, payload: Payload) -> Payload:
        if isinstance(payload, Upload):
            return self._files.adopt(payload)
        if isinstance(payload, bytes) and len(payload) >= LARGE:
            return self._files.write(payload)
        return payload

    def stage_again(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        """Return the payloads of a record for use in another record: each file gets a second one.

        Raises:
            StorageFull: there is no room.
        """
        with self._finding_no_room:
            return tuple(self._files.again(body) if isinstance(body, PayloadRef) else body for body in payloads)

    def commit(self, records: Iterable[Record]) -> None:
        """Append `records` in one transaction; when this returns, they survive the death of any process.

        Raises:
            StorageFull: there is no room. Nothing was written, and the same records can be committed later.
            StoreError: the store is damaged; nothing was written.
            sqlite3.Error: nothing was written.
            StoreRemoved: see `check_files`, which is left out in `LOOK_EVERY` after the last; nothing was written.
        """
        if monotonic() >= self._names.due:
            self.check_files()
        with self._finding_no_room:
            self._commit(list(records))

    def _commit(self, records: Sequence[Record]) -> None:
        if self._has_failed:
            self._open_again()
        journal, execute = self._journal, self._db.execute
        staged, first_file, is_clearing = self._files.staged.copy(), self._files.next_number, False
        try:
            execute("BEGIN IMMEDIATE")
            for at, record in enumerate(records, start=1):
                if isinstance(record, CLEARING):
                    is_clearing = True
                    self._clearing.apply(record, records[at:], journal.totals.next_seq)
                self._append(record, is_last=at == len(records))
            self._files.sync(self._unsynced)
            self._unsynced.clear()
            execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:  # a full disk may have ended the transaction already
                execute("ROLLBACK")
            journal.roll_back()
            self._unsynced.clear()
            self._clearing.gone.clear()
            self._files.remove(range(first_file, self._files.next_number))
            self._files.staged |= staged
            self._written = 0
            self.check_files()  # a file that is gone may be why, and nothing else may be opened in its place
            self._has_failed = is_io_error(error)
            if isinstance(error, sqlite3.Error) and is_damage(error):
                raise unreadable(self.path, error) from error
            raise
        self._witness.note(journal.settle())
        self._files.remove_later(self._clearing.gone)
        self._clearing.gone.clear()
        self.unstage()
        self._upkeep.after_commit(self._written, cleared=is_clearing)
        self.usage.n_written += self._written
        self.usage.n_cleared += is_clearing
        self._written = 0

    def check_files(self) -> None:
        """Check that the journal still has its name; else write it there again.

        Raises:
            StoreRemoved: it was removed, and all commits are in its place again, which this object does not use.
            StoreError: it was removed, and cannot be written again.
        """
        self._names.check(lambda: self._db)

    def unstage(self) -> None:
        """Remove the staged files that no record refers to."""
        if self._files.staged:
            self._files.remove(list(self._files.staged))

    def remove_cleared(self) -> None:
        """Remove the files of tasks that were cleared before the last call, which was seconds ago."""
        self._files.remove_old()

    def _append(self, record: Record, *, is_last: bool) -> None:
        """Insert the row of `record`, after all that goes with it."""
        kind, journal = KINDS[type(record)], self._journal
        if isinstance(record, Define):
            self._keep_code(record)
            return journal.insert(kind, None, None, record.digest, is_last=is_last)
        if isinstance(record, Ended):
            journal.index_ended(journal.totals.next_seq, record.ids)
            if self._files.staged:
                self._keep_files(record.ids, record.values)
        elif isinstance(record, Submitted) and self._files.staged:
            self._keep_files(range(record.first, record.first + len(record.bodies)), record.bodies)
        body = encode_record(record)
        self._written += len(body)
        return journal.insert(kind, *span_of(record), body, is_last=is_last)

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
        if isinstance(body, PayloadRef | Upload):
            raise ValueError(f"the code {record.digest.hex()} stands in a file that was not staged")
        self._journal.insert_code(record.digest, number, size, body)
        self._written += size

    def restore_code(self, digest: bytes, payload: Payload) -> None:
        """Make the file of known code again from `payload` if it is missing, as after a removal of the store."""
        if isinstance(payload, PayloadRef):
            query = "SELECT file FROM code WHERE digest = ? AND file IS NOT NULL"
            for (number,) in self._db.execute(query, (digest,)):
                self._files.restore(number, payload)

    def _keep_files(self, taskids: Iterable[int], payloads: Iterable[Payload]) -> None:
        for taskid, payload in zip(taskids, payloads, strict=True):
            if isinstance(payload, PayloadRef) and number_of(payload) in self._files.staged:
                self._keep_file(number_of(payload), taskid)

    def _keep_file(self, number: int, taskid: int | None) -> None:
        self._journal.insert_file(number, taskid)
        self._files.staged.discard(number)
        if self._is_synced:
            self._unsynced.append(number)

    # reading

    def records(self) -> Iterator[Record]:
        """Yield all records from the last baseline on, in the order of their commits.

        Raises:
            StoreError: a record is damaged.
        """
        due = max(1, self._journal.base)  # no row from the baseline on is ever deleted
        sizes = self._journal.sizes_of_code()
        for seq, record in self._journal.iterate("WHERE seq >= ? ORDER BY seq", (due,)):
            if seq != due:
                break
            due += 1
            yield Define(record.digest, _stands_for(record.digest, sizes)) if isinstance(record, Define) else record
        if due != self._journal.totals.next_seq:
            raise self._journal.refuse(f"row {due} is gone")

    def code(self, digest: bytes) -> Payload:
        """Return the code body under `digest`; a large one stands in a file.

        Raises:
            KeyError: there is none.
            StoreError: it is damaged.
        """
        body, number, size = self._journal.code(digest)
        if body is not None:
            return body
        if number is None:
            raise self._journal.refuse(f"the code {digest.hex()} stands nowhere")
        return PayloadRef(f"{number:x}", size)

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
                "SELECT j.seq FROM ended e JOIN journal j ON j.seq = e.seq "
                "WHERE e.block = ? AND j.last >= ? AND j.first <= ? ORDER BY e.seq"
            )
            for (seq,) in self._journal.query(query, (block, min(wanted), max(wanted))):
                record = self._journal.record(seq, Ended)
                rows = [row for row, taskid in enumerate(record.ids) if taskid in wanted]
                if rows:
                    yield record, rows
                    wanted.difference_update(record.ids[row] for row in rows)
                if not wanted:
                    break
            for taskid in filter(self._has_ended, sorted(wanted)):
                raise self._journal.refuse(f"the end of task {taskid} is in no row")

    def newest_ended(self) -> Iterator[Ended]:
        """Yield the `Ended` records with a task that is not cleared, newest first."""
        for _, record in self._journal.iterate("WHERE kind = ? AND first IS NOT NULL ORDER BY seq DESC", (ENDED,)):
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
            for seq, last in self._journal.query(query, (block,)):
                while due and -due[0][0] > last:  # no unread record has a larger id
                    _, _, row, record = heapq.heappop(due)
                    yield record, row
                record = self._journal.record(seq, Ended)
                for row, taskid in enumerate(record.ids):
                    if taskid >> BLOCK_BITS == block:
                        heapq.heappush(due, (-taskid, seq, row, record))
            while due:
                _, _, row, record = heapq.heappop(due)
                yield record, row

    def _block_before(self, block: int) -> int:
        """Return the last block of ids below `block` with ended tasks; -1: none."""
        ((found,),) = self._journal.query("SELECT max(block) FROM ended WHERE block < ?", (block,))
        return -1 if found is None else int(found)

    def batch_of(self, taskid: int) -> Submitted:
        """Return the submission of a task that is not cleared.

        Raises:
            KeyError: there is no such task.
        """
        return self._journal.record(self._seq_of(taskid), Submitted)

    def batch_without_bodies(self, taskid: int) -> Submitted:
        """Return the submission of a task that is not cleared, with empty arguments.

        Raises:
            KeyError: there is no such task.
        """
        return self._without_bodies(self._seq_of(taskid))

    def _seq_of(self, taskid: int) -> int:
        query = "SELECT seq, last FROM journal WHERE kind = 1 AND first IS NOT NULL AND first <= ? "
        rows = self._journal.query(query + "ORDER BY first DESC LIMIT 1", (taskid,))
        if not rows or rows[0][1] < taskid:
            if self._has_ended(taskid):
                raise self._journal.refuse(f"the submission of task {taskid} is in no row")
            raise KeyError(taskid)
        return int(rows[0][0])

    def _read_without_bodies(self, seq: int) -> Submitted:
        record = self._journal.record(seq, Submitted)
        bodies = (b"",) * len(record.bodies)
        return msgspec.structs.replace(record, spec=without_bodies(record.spec), bodies=bodies)

    def read_submissions(self) -> None:
        """Read all submissions of tasks that are not cleared.

        Raises:
            StoreError: one is damaged.
        """
        for _ in self._journal.iterate("WHERE kind = ? AND first IS NOT NULL", (KINDS[Submitted],)):
            pass

    def take_file(self, path: Path) -> bool:
        """Take over a payload file of the store before a repair; return whether it was there."""
        return self._files.take(path)

    def close(self) -> None:
        """Close the store; all committed records are in the file."""
        self._upkeep.close()
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # which syncs the file
        except sqlite3.Error:  # a full disk: the log keeps what the database lacks
            self._db.close()
            self._witness.abandon()
            return
        self._db.close()
        self._witness.close(self._journal.packed)


def _stands_for(digest: bytes, sizes: Mapping[bytes, int]) -> PayloadRef:
    """Return the stand-in for a code body in a replay, which needs only its size."""
    return PayloadRef(digest.hex(), sizes.get(digest, 0))
