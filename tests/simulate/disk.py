"""The virtual disk, and a store on it: transactions of encoded records, of which a power cut takes the last ones.

A transaction is there as a whole or not at all: that is SQLite's promise, which `tests/drivers` and the crash tests
check on real files. Everything above it is real: records are encoded when they are written and decoded when they are
read, a replay begins at the last baseline, and what is cleared cannot be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from taskfc_ext.drivers.clearing import CLEARING, without_bodies
from taskfc_ext.drivers.room import RESERVE
from taskfc_ext.errors import StorageFull, StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import Payload, PayloadRef
from taskfc_ext.protocol.records import (
    Baseline,
    Cleared,
    Dropped,
    Record,
    Submitted,
    decode_record,
    encode_record,
)


class Disk:
    """The disk of one machine.

    Attributes:
        is_full: whether nothing more can be written, but what fits into the place of the reserve.
        has_reserve: whether the reserve is there.
        n_fit: transactions that still fit.
        transactions: the committed ones: encoded records each.
        on_commit: called with the decoded records of each new transaction.
    """

    def __init__(self) -> None:
        self.is_full, self.has_reserve, self.n_fit = False, True, 0
        self.transactions: list[list[bytes]] = []
        self.code: dict[bytes, bytes] = {}
        self.submitted: dict[int, tuple[int, int]] = {}  # task -> its place: transaction, row
        self.ended: dict[int, tuple[int, int]] = {}
        self.base = (0, 0)
        self.on_commit: Callable[[Sequence[Record]], None] = lambda records: None

    def write(self, records: Sequence[Record]) -> None:
        """Append a transaction."""
        encoded = [encode_record(record) for record in records]
        self.transactions.append(encoded)
        decoded = [decode_record(body) for body in encoded]
        self._note(len(self.transactions) - 1, decoded)
        self.on_commit(decoded)

    def cut_off(self, n: int) -> None:
        """Lose the last `n` transactions, as a power cut does before they are synced."""
        del self.transactions[len(self.transactions) - n :]
        code = dict(self.code)
        self.code, self.submitted, self.ended, self.base = {}, {}, {}, (0, 0)
        for at, encoded in enumerate(self.transactions):
            self._note(at, [decode_record(body) for body in encoded])
        assert all(self.code[digest] == code[digest] for digest in self.code.keys() & code.keys())

    def _note(self, at: int, records: Sequence[Record]) -> None:
        for row, record in enumerate(records):
            match record:
                case Submitted():
                    for taskid in range(record.first, record.first + len(record.bodies)):
                        self.submitted[taskid] = at, row
                case Ended():
                    self.ended.update(dict.fromkeys(record.ids, (at, row)))
                case Define():
                    self.code.setdefault(record.digest, bytes(record.body))  # type: ignore[arg-type]
                case Dropped():
                    for digest in record.digests:
                        self.code.pop(digest, None)
                case Cleared():
                    for taskid in record.ids:
                        self.submitted.pop(taskid, None)
                        self.ended.pop(taskid, None)
                case Baseline():
                    self.base = at, row

    def record_at(self, place: tuple[int, int]) -> Any:
        """Return the record at this place."""
        return decode_record(self.transactions[place[0]][place[1]])

    def replay(self) -> Iterator[Record]:
        """Yield the records from the last baseline on; code bodies are replaced by their sizes."""
        at, row = self.base
        for number, encoded in enumerate(self.transactions[at:]):
            for body in encoded[row if number == 0 else 0 :]:
                record = decode_record(body)
                if isinstance(record, Define):
                    size = len(self.code.get(record.digest, b""))
                    record = Define(record.digest, PayloadRef(record.digest.hex(), size))
                yield record


class VirtualReserve:
    """Stands in for a `Reserve`: given back, it has room for a few transactions."""

    size = RESERVE

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self._disk.has_reserve

    def free_beside(self) -> int:
        """Return the free bytes."""
        return 0 if self._disk.is_full else 10**12

    def make(self) -> bool:
        """Make it, if there is room; return whether it is there."""
        self._disk.has_reserve |= not self._disk.is_full
        return self._disk.has_reserve

    def give_back(self) -> bool:
        """Give it back; return whether it was there."""
        had, self._disk.has_reserve = self._disk.has_reserve, False
        self._disk.n_fit += 3 if had else 0
        return had

    def has_room_beside(self) -> bool:
        """Return whether something can be written."""
        return not self._disk.is_full


class VirtualUsage:
    """Stands in for the `Usage` of a store from which nothing is removed."""

    n_cleared = 0


class VirtualStore:
    """Stands in for a `Store`: one controller's view of the disk.

    Args:
        before, after: called before and after each commit; they may kill the controller.
    """

    path = Path("/proc/journal")  # a folder that always has as many free bytes: none

    def __init__(self, disk: Disk, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._disk, self._before, self._after = disk, before, after
        self.reserve = VirtualReserve(disk)
        self.usage = VirtualUsage()

    def use_checks(self, knows: Callable[[int], bool], has_ended: Callable[[int], bool]) -> None:
        """Ignore them: nothing is removed here."""

    def restore_code(self, digest: bytes, payload: Payload) -> None:
        """Do nothing: no file is ever removed here."""

    def stage(self, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
        """Return `payloads`: none is large."""
        return tuple(payloads)

    stage_again = stage

    def unstage(self) -> None:
        """Remove nothing."""

    def commit(self, records: Iterable[Record]) -> None:
        """Append `records` in one transaction."""
        self._before()
        if self._disk.is_full:
            if not self._disk.n_fit:
                raise StorageFull("the disk is full")
            self._disk.n_fit -= 1
        written = list(records)
        self._disk.write(written)
        self.usage.n_cleared += any(isinstance(record, CLEARING) for record in written)
        self._after()

    def remove_cleared(self) -> None:
        """Remove nothing: there are no files."""

    def end(self, *, is_regular: bool) -> None:
        """Close it: nothing is to be done."""

    def records(self) -> Iterator[Record]:
        """Yield the records of a replay."""
        return self._disk.replay()

    def code(self, digest: bytes) -> Payload:
        """Return the code body under `digest`."""
        return self._disk.code[digest]

    def payload(self, payload: Payload) -> bytes:
        """Return the content of a payload."""
        assert isinstance(payload, bytes)
        return payload

    def find_ended(self, taskids: Iterable[int]) -> Iterator[tuple[Ended, list[int]]]:
        """Yield the records with the ends of `taskids`, each with the rows of these tasks."""
        wanted: dict[tuple[int, int], set[int]] = {}
        for taskid in taskids:
            if taskid in self._disk.ended:
                wanted.setdefault(self._disk.ended[taskid], set()).add(taskid)
        for place in sorted(wanted):
            record = self._disk.record_at(place)
            yield record, [row for row, taskid in enumerate(record.ids) if taskid in wanted[place]]

    def newest_ended(self) -> Iterator[Ended]:
        """Yield the `Ended` records, newest first."""
        for place in sorted(set(self._disk.ended.values()), reverse=True):
            yield self._disk.record_at(place)

    def ended_by_id(self) -> Iterator[tuple[Ended, int]]:
        """Yield the ends of tasks by descending task id."""
        for taskid in sorted(self._disk.ended, reverse=True):
            record = self._record_of(taskid, self._disk.ended)
            yield record, record.ids.index(taskid)

    def batch_of(self, taskid: int) -> Submitted:
        """Return the submission of a task that is not cleared."""
        record: Submitted = self._record_of(taskid, self._disk.submitted)
        return record

    def _record_of(self, taskid: int, places: dict[int, tuple[int, int]]) -> Any:
        if taskid not in places:  # it was cleared while the records were read
            raise StoreError(f"a record of task {taskid} is missing")
        return self._disk.record_at(places[taskid])

    def batch_without_bodies(self, taskid: int) -> Submitted:
        """Return the submission of a task, with empty arguments."""
        batch = self.batch_of(taskid)
        bodies = (b"",) * len(batch.bodies)
        return msgspec.structs.replace(batch, spec=without_bodies(batch.spec), bodies=bodies)
