"""Conversion between the columns of `Rows` and one `Row` for each task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from taskfc_ext.protocol.snapshots import Note, Rows
from taskfc_ext.protocol.states import FINISHED_CODES, StateCode

_STATES = {int(code): code for code in StateCode}  # calling the enum for each row would cost most of the time


class Row(NamedTuple):
    """One task of `Rows`; its docstring describes the columns."""

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
        """True if the task has ended."""
        return self.state in FINISHED_CODES


def rows_of(rows: Rows) -> Iterator[Row]:
    """Yield the tasks in `rows`."""
    columns = rows.ids, rows.states, rows.workers, rows.attempts, rows.started, rows.completed, rows.seconds
    note_of = rows.notes.get
    for taskid, state, worker, attempts, started, completed, seconds in zip(*columns, strict=True):
        yield Row(taskid, _STATES[state], worker, attempts, started, completed, seconds, note_of(taskid))


def columns_of(rows: Iterable[Row]) -> Rows:
    """Return `rows` as columns, by ascending id."""
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
