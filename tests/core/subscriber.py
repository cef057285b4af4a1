"""Reference subscriber: knows of a queue only the messages to subscribers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from taskfc_ext.core.effects import SendSnapshot
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.views.rows import with_finished
from taskfc_ext.protocol.client_messages import Changed, Ended
from taskfc_ext.protocol.records import Record, Submitted
from taskfc_ext.protocol.snapshots import Batch, Note, QueueDelta, QueueSnapshot
from taskfc_ext.protocol.states import FINISHED_CODES, StateCode

NOTHING_MORE = (-1, 0, 0.0, 0.0, 0.0, None)


class Subscriber:
    """Keeps each task as (state, worker, attempts, started, completed, seconds, note)."""

    def __init__(self) -> None:
        self.seq = -1
        self.tasks: dict[int, tuple] = {}
        self.batches: dict[int, Batch] = {}
        self.whole: tuple = ()
        self.workers: tuple = ()

    def receive(self, message: SendSnapshot | Changed, farm: Farm, records: Sequence[Record]) -> None:
        """Apply a message of the core, completed from a store with these `records`."""
        if isinstance(message, Changed):
            assert message.delta.seq == self.seq + 1, "a gap"
            self.apply(message.delta)
        elif isinstance(message, SendSnapshot):
            self.tasks, self.batches = {}, {}
            newest = (each for each in newest_ends(records) if farm.knows(each[0].ids[each[1]]))
            self.apply(
                with_finished(message.snapshot, message.more, newest, lambda taskid: submission(records, taskid))
            )
            for delta in message.more:
                assert delta.seq == self.seq + 1, "a gap"
                self.apply(delta)

    def apply(self, message: QueueSnapshot | QueueDelta) -> None:
        self.seq = message.seq
        self.whole = message.counts, message.n_workers
        if message.workers is not None:
            self.workers = message.workers
        for batch in message.batches:
            self.batches[batch.first] = batch
        received = self._read_rows(message)
        self.tasks.update(received)
        if isinstance(message, QueueDelta):
            for first, n in message.cleared:
                for taskid in range(first, first + n):
                    assert taskid not in received, f"task {taskid} is sent and cleared"
                    self.tasks.pop(taskid, None)

    def _read_rows(self, message: QueueSnapshot | QueueDelta) -> dict[int, tuple]:
        received: dict[int, tuple] = {}
        for run in message.runs:
            for taskid in range(run.first, run.first + run.n):
                assert taskid not in received, f"task {taskid} is sent twice"
                received[taskid] = run.state, *NOTHING_MORE[:-1], Note(held=True) if run.held else None
        rows = message.rows
        assert list(rows.ids) == sorted(set(rows.ids))
        columns = rows.states, rows.workers, rows.attempts, rows.started, rows.completed, rows.seconds
        for taskid, *row in zip(rows.ids, *columns, strict=True):
            assert taskid not in received, f"task {taskid} is sent twice"
            received[taskid] = *row, _round_times(rows.notes.get(taskid))
        for taskid in received:
            assert any(first <= taskid < first + batch.n for first, batch in self.batches.items()), (
                f"task {taskid} of no batch"
            )
        return received

    def unfinished(self) -> dict[int, StateCode]:
        return {taskid: task[0] for taskid, task in self.tasks.items() if task[0] not in FINISHED_CODES}


def _round_times(note):
    """Return `note` with a time that can be compared: it is computed again each time."""
    if note is None or note.not_before is None:
        return note
    return msgspec.structs.replace(note, not_before=round(note.not_before, 3))


def newest_ends(records: Sequence[Record]) -> Iterable[tuple[Ended, int]]:
    for record in reversed(records):
        if isinstance(record, Ended):
            for row in reversed(range(len(record.ids))):
                yield record, row


def submission(records: Sequence[Record], taskid: int) -> Submitted:
    return next(r for r in records if isinstance(r, Submitted) and r.first <= taskid < r.first + len(r.bodies))
