"""The tasks of `Rows` one by one: into columns and out of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from taskfc_ext.protocol.snapshots import Note, Rows
from taskfc_ext.protocol.states import FINISHED_CODES, StateCode

_STATES = {int(code): code for code in StateCode}  # a call of the enum for each row costs more than all else


class Row(NamedTuple):
    """One task of `Rows`, which says what each of its columns is."""

    taskid: int
    state: StateCode
    worker: int
    attempts: int
    started: float
    completed: float
    seconds: float
    note: Note | None

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self.state in FINISHED_CODES


def rows_of(rows: Rows) -> Iterator[Row]:
    """Yield the tasks in `rows`."""
    columns = rows.ids, rows.states, rows.workers, rows.attempts, rows.started, rows.completed, rows.seconds
    note_of = rows.notes.get
    for taskid, state, worker, attempts, started, completed, seconds in zip(*columns, strict=True):
        yield Row(taskid, _STATES[state], worker, attempts, started, completed, seconds, note_of(taskid))


def columns_of(rows: Iterable[Row]) -> Rows:
    """Return `rows` by ascending id, as columns."""
    ordered = sorted(rows, key=itemgetter(0))
    if not ordered:
        return Rows()
    ids, states, workers, attempts, started, completed, seconds, _ = zip(*ordered, strict=True)
    return Rows(
        ids=ids,
        states=states,
        workers=workers,
        attempts=attempts,
        started=started,
        completed=completed,
        seconds=seconds,
        notes={row.taskid: row.note for row in ordered if row.note is not None},
    )
