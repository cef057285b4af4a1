"""Removal of cleared data from a store: rows are emptied or deleted, and the files to remove are listed.

A row that will be replayed stays, without its bulk, until the next baseline. A row that several tasks share stays until
all of them are cleared; a large payload has a file of its own, which is removed at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from taskfc_ext.drivers.journal import Journal
from taskfc_ext.drivers.schema import BASELINE, BLOCK_BITS, BROADCASTED, ENDED, SUBMITTED
from taskfc_ext.protocol.client_messages import Ended
from taskfc_ext.protocol.records import (
    Baseline,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    Dropped,
    Expired,
    Record,
    Submitted,
)
from taskfc_ext.protocol.spec import Recovery, Spec

CLEARING = (Cleared, Expired, Dropped, Baseline, BroadcastsCleared)
"""Records that remove something from the store."""


class Clearing:
    """Remover of cleared data, within the store's transactions.

    Args:
        db: the store's connection.
        journal: the store's tables.

    Attributes:
        gone: numbers of files to remove after the commit.
        knows: returns whether a task exists and is not cleared.
    """

    def __init__(self, db: sqlite3.Connection, journal: Journal) -> None:
        self._db = db
        self._journal = journal
        self.gone: list[int] = []
        self.knows: Callable[[int], bool] = lambda taskid: True

    def use(self, db: sqlite3.Connection) -> None:
        """Use another connection to the store."""
        self._db = db

    def apply(self, record: Record, following: Sequence[Record], seq: int) -> None:
        """Remove what `record` names from the store.

        Args:
            record: one of `CLEARING`.
            following: the records after it in this transaction.
            seq: its row, which is the last one.
        """
        match record:
            case Cleared() | Expired():
                baseline = next((later for later in following if isinstance(later, Baseline)), None)
                if baseline is None or baseline.spans:  # else the baseline removes everything
                    ids = record.ids if isinstance(record, Cleared) else record.ids()
                    self._forget(set(ids), replayed=baseline is None)
            case Dropped():
                self._drop_code(record.digests)
            case BroadcastsCleared():
                self._forget_broadcasts()
            case Baseline():
                self._begin_anew(record, seq)

    def _drop_code(self, digests: Iterable[bytes]) -> None:
        # contexts hold the environment of a notebook, with its secrets
        self._db.execute("PRAGMA secure_delete=ON")
        for digest in digests:
            file = self._journal.delete_code(digest)
            if file is not None:
                self.gone.append(file)
        self._db.execute("PRAGMA secure_delete=FAST")

    def _begin_anew(self, record: Baseline, base: int) -> None:
        """Remove all rows before `record`, in row `base`, except those of tasks that are not cleared."""
        journal = self._journal
        if record.spans:
            journal.delete("first IS NULL AND seq < ?", (base,))
            journal.delete("seq > ? AND seq < ? AND kind NOT IN (?, ?)", (journal.base, base, SUBMITTED, ENDED))
        else:
            self.gone += journal.delete_files("taskid IS NOT NULL")
            self._db.execute("DELETE FROM ended")
            journal.delete("seq < ?", (base,))
        journal.base = base

    def _forget_broadcasts(self) -> None:
        """Remove code and names from all broadcasts; a replay needs the rest."""
        rows = list(self._journal.iterate("WHERE first IS NULL AND kind IN (?, ?)", (BROADCASTED, BASELINE)))
        for seq, record in rows:
            if isinstance(record, Baseline):
                hollow: Record = replace(record, broadcasts=tuple(map(_hollow_broadcast, record.broadcasts)))
            else:
                assert isinstance(record, Broadcasted)
                hollow = _hollow_broadcast(record)
            self._journal.hollow(seq, hollow)

    def _forget(self, cleared: set[int], *, replayed: bool) -> None:
        """Empty the rows that hold only cleared tasks, and remove the large payloads of cleared tasks.

        Args:
            cleared: the tasks that are cleared now, or have expired.
            replayed: the rows will be replayed, so they have to stay.
        """

        def is_cleared(taskid: int) -> bool:
            return taskid in cleared or not self.knows(taskid)

        for first, last in _runs(sorted(cleared)):
            self._forget_files(first, last)
            self._forget_submitted(first, last, is_cleared, replayed=replayed)
        for block in {taskid >> BLOCK_BITS for taskid in cleared}:
            rows = self._db.execute(
                "SELECT j.seq, j.first, j.last FROM ended e JOIN journal j ON j.seq = e.seq WHERE e.block = ?", (block,)
            ).fetchall()
            for seq, first, last in rows:
                # Most rows fail this check, which does not need the body.
                if is_cleared(first) and is_cleared(last):
                    record_of_row = self._journal.record(seq, Ended)
                    if all(map(is_cleared, record_of_row.ids)):
                        self._hollow_ended(seq, record_of_row, replayed=replayed)

    def _forget_files(self, first: int, last: int) -> None:
        self.gone += self._journal.delete_files("taskid BETWEEN ? AND ?", (first, last))

    def _forget_submitted(self, first: int, last: int, is_cleared: Callable[[int], bool], *, replayed: bool) -> None:
        rows = self._db.execute(
            "SELECT seq, first, last FROM journal WHERE kind = 1 AND first IS NOT NULL AND first <= ? AND first >= "
            "coalesce((SELECT max(first) FROM journal WHERE kind = 1 AND first IS NOT NULL AND first <= ?), ?)",
            (last, first, first),
        ).fetchall()
        for seq, its_first, its_last in rows:
            if is_cleared(its_last) and all(map(is_cleared, range(its_first, its_last + 1))):
                self._hollow_submitted(seq, replayed=replayed)

    def _hollow_submitted(self, seq: int, *, replayed: bool) -> None:
        """Remove all arguments from the `Submitted` in row `seq`; a replay needs the rest."""
        if not replayed:
            self._journal.delete("seq = ?", (seq,))
            return
        record = self._journal.record(seq, Submitted)
        spec = without_bodies(record.spec, keeps_label=False)
        self._journal.hollow(seq, replace(record, spec=spec, bodies=(b"",) * len(record.bodies)))

    def _hollow_ended(self, seq: int, record: Ended, *, replayed: bool) -> None:
        """Remove values and outputs, which are the bulk, from the `Ended` in row `seq`; a replay needs the rest."""
        if replayed:
            hollow = replace(record, values=(b"",) * len(record.ids), outputs={}, displays={})
            self._journal.hollow(seq, hollow)
        else:
            self._journal.delete("seq = ?", (seq,))
        self._journal.delete_ended(seq, record.ids)


def _runs(taskids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last id of each range of consecutive ids."""
    first = last = None
    for taskid in taskids:
        if first is None or last is None:
            first = last = taskid
        elif taskid == last + 1:
            last = taskid
        else:
            yield first, last
            first = last = taskid
    if first is not None and last is not None:
        yield first, last


def without_bodies(spec: Spec, *, keeps_label: bool = True) -> Spec:
    """Return `spec` without the arguments of its recovery; it still names its code."""
    if not keeps_label:  # the first line of a cell
        spec = replace(spec, label="")
    if spec.recovery is None:
        return spec
    return replace(spec, recovery=Recovery(without_bodies(spec.recovery.spec, keeps_label=keeps_label), b""))


def _hollow_broadcast(record: Broadcasted) -> Broadcasted:
    return replace(record, label="", code=b"", body=b"")
