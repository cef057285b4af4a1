"""The queue of a farm as a subscriber keeps it, to serve its own subscribers. Pure: no clock, no I/O.

It takes snapshots and deltas in, and gives out messages that the controller could have sent. A task without a row
takes one byte.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from taskfc_ext.protocol.infos import EngineInfo, WorkerInfo
from taskfc_ext.protocol.rows import Row, columns_of, rows_of
from taskfc_ext.protocol.snapshots import MAX_BATCHES, MAX_ROWS, Batch, Counts, QueueDelta, QueueSnapshot, Run
from taskfc_ext.protocol.states import FINISHED_CODES, StateCode

KEPT = 2000
"""The newest finished tasks that are kept: enough to scroll through. `%task history` has the others."""

ENDS = 61
"""Seconds whose ends are counted, one number each: a minute, and the current second."""

_HELD = 8
"""Added to the state code of a held task."""

_RUN = re.compile(rb"([\x01-\x0e])\1*", re.DOTALL)


class QueueModel:
    """The queue of one controller.

    Attributes:
        seq: the number of the last message.
        wall: the controller's clock in that message, in seconds.
        counts: the number of tasks in each state.
        n_workers: the wanted number of workers.
        workers: the present workers.
        engine: the engine that has them; `None`: they are processes of this machine.
        no_room: as in `QueueSnapshot`.
    """

    def __init__(self) -> None:
        self.seq: int | None = None
        self.farm = ""
        self.incarnation = 0
        self.wall = 0.0
        self.counts = Counts()
        self.n_workers = 0
        self.workers: tuple[WorkerInfo, ...] = ()
        self.engine: EngineInfo | None = None
        self.no_room = ""
        self._batches: list[Batch] = []
        self._newest: set[int] = set()  # first ids of the batches of `wall`: their tasks may come in the next message
        self._n_batches_kept = 0  # after the last removal of empty batches
        self._first = 0  # the task id of the first byte of `_states`
        self._states = bytearray()  # 0: unknown or cleared
        self._rows: dict[int, Row] = {}
        self._finished: dict[int, None] = {}  # in the order of their ends
        self._ends: deque[tuple[int, int]] = deque()  # (second, ends in it)

    def apply(self, message: QueueSnapshot | QueueDelta) -> bool:
        """Apply `message`; return whether that was possible: after a gap only a snapshot is."""
        if isinstance(message, QueueSnapshot):
            self._begin(message)
        elif self.seq is None or message.seq != self.seq + 1:
            return False
        else:
            self._count_ends(message)
            if message.wall != self.wall:  # all parts of one update have the same time
                self._newest.clear()
                if len(self._batches) > 2 * self._n_batches_kept + MAX_BATCHES:  # rare enough to cost little
                    self._drop_empty_batches()
        self.seq, self.wall, self.counts, self.n_workers = message.seq, message.wall, message.counts, message.n_workers
        self.engine = message.engine
        self.no_room = message.no_room
        if message.workers is not None:
            self.workers = message.workers
        for batch in message.batches:
            self._add(batch)
        for run in message.runs:
            self._set_run(run)
        for row in rows_of(message.rows):
            self._set_row(row)
        if isinstance(message, QueueDelta):
            for first, n in message.cleared:
                self._forget(range(first, first + n))
        surplus = len(self._finished) - KEPT
        if surplus > 0:  # all at once: taking the first key of a dict repeatedly is quadratic
            self._forget(tuple(islice(self._finished, surplus)))
        return True

    def messages(self, since: float = 0.0) -> list[QueueSnapshot | QueueDelta]:
        """Return the messages for a new subscriber: a snapshot, and deltas if one message is too small.

        The next delta of the controller follows the last of them.

        Args:
            since: seconds since the last message of a live controller. A subscriber sets its clock by the snapshot.
        """
        if self.seq is None:
            return []
        self._drop_empty_batches()
        rows, runs, batches = self.rows(), list(self._runs()), self._batches
        n_parts = max(1, _n_parts(rows, MAX_ROWS), _n_parts(runs, MAX_BATCHES), _n_parts(batches, MAX_BATCHES))
        first_seq = self.seq - n_parts + 1
        wall = self.wall + since
        snapshot = QueueSnapshot(
            seq=first_seq,
            farm=self.farm,
            incarnation=self.incarnation,
            wall=wall,
            counts=self.counts,
            n_workers=self.n_workers,
            workers=self.workers,
            engine=self.engine,
            no_room=self.no_room,
            batches=tuple(batches[:MAX_BATCHES]),
            runs=tuple(runs[:MAX_BATCHES]),
            rows=columns_of(rows[:MAX_ROWS]),
            ends=self.ends(since),
        )
        more = [
            QueueDelta(
                seq=first_seq + part,
                farm=self.farm,
                wall=wall,
                counts=self.counts,
                n_workers=self.n_workers,
                engine=self.engine,
                no_room=self.no_room,
                batches=tuple(batches[part * MAX_BATCHES : (part + 1) * MAX_BATCHES]),
                runs=tuple(runs[part * MAX_BATCHES : (part + 1) * MAX_BATCHES]),
                rows=columns_of(rows[part * MAX_ROWS : (part + 1) * MAX_ROWS]),
            )
            for part in range(1, n_parts)
        ]
        return [snapshot, *more]

    def ends(self, since: float = 0.0) -> tuple[int, ...]:
        """Return how many tasks ended in each of the last `ENDS` seconds, the last one `since` seconds after `wall`."""
        if not self._ends:
            return ()
        end = int(self.wall + since) + 1
        counted = dict(self._ends)
        return tuple(counted.get(second, 0) for second in range(end - ENDS, end))

    def rows(self) -> list[Row]:
        """Return the rows, by id."""
        return [self._rows[taskid] for taskid in sorted(self._rows)]

    def batch_of(self, taskid: int) -> Batch | None:
        """Return the batch of `taskid`, if it is known."""
        found = _covering(self._batches, taskid)
        return self._batches[found] if found is not None else None

    def state_of(self, taskid: int) -> StateCode | None:
        """Return the state of a task; `None` if it is unknown."""
        index = taskid - self._first
        code = self._states[index] if 0 <= index < len(self._states) else 0
        return StateCode(code & ~_HELD) if code else None

    # inside

    def _begin(self, snapshot: QueueSnapshot) -> None:
        end = int(snapshot.wall) + 1
        if snapshot.ends:
            self._ends = deque(enumerate(snapshot.ends, start=end - len(snapshot.ends)))
        elif not self._ends:  # not counted yet: the rows have the newest ends
            counted = Counter(int(wall) for wall in snapshot.rows.completed if wall)
            self._ends = deque((second, counted[second]) for second in sorted(counted) if end - ENDS <= second < end)
        self.farm, self.incarnation = snapshot.farm, snapshot.incarnation
        self._batches, self._rows, self._finished, self._newest = [], {}, {}, set()
        self._first, self._states = 0, bytearray()

    def _count_ends(self, delta: QueueDelta) -> None:
        n, second = delta.counts.n_ended - self.counts.n_ended, int(delta.wall)
        if n > 0:
            if self._ends and self._ends[-1][0] == second:
                n += self._ends.pop()[1]
            self._ends.append((second, n))
        while self._ends and self._ends[0][0] <= second - ENDS:
            self._ends.popleft()

    def _add(self, batch: Batch) -> None:
        if _covering(self._batches, batch.first) is None:
            insort(self._batches, batch, key=attrgetter("first"))
            self._newest.add(batch.first)

    def _set_run(self, run: Run) -> None:
        self._reach(run.first, run.first + run.n)
        begin = run.first - self._first
        self._states[begin : begin + run.n] = bytes((run.state | _HELD if run.held else run.state,)) * run.n
        tasks = range(run.first, run.first + run.n)
        if self._rows:
            for taskid in tasks if run.n < len(self._rows) else [taskid for taskid in self._rows if taskid in tasks]:
                self._rows.pop(taskid, None)
        if run.state in FINISHED_CODES:
            self._finished.update(dict.fromkeys(tasks))

    def _set_row(self, row: Row) -> None:
        self._reach(row.taskid, row.taskid + 1)
        self._states[row.taskid - self._first] = row.state
        self._rows[row.taskid] = row
        if row.is_finished:
            self._finished[row.taskid] = None

    def _forget(self, taskids: range | tuple[int, ...]) -> None:
        for taskid in taskids:
            index = taskid - self._first
            if 0 <= index < len(self._states):
                self._states[index] = 0
            self._rows.pop(taskid, None)
            self._finished.pop(taskid, None)

    def _reach(self, first: int, end: int) -> None:
        """Make room for the states of `first` to `end` - 1."""
        if not self._states:
            self._first = first
        elif first < self._first:
            self._states[:0] = bytes(self._first - first)
            self._first = first
        if end - self._first > len(self._states):
            self._states.extend(bytes(end - self._first - len(self._states)))

    def _runs(self) -> Iterator[Run]:
        plain = bytearray(self._states)
        for taskid in self._rows:
            plain[taskid - self._first] = 0
        for found in _RUN.finditer(plain):
            code = found[1][0]
            state, is_held = StateCode(code & ~_HELD), bool(code & _HELD)
            yield Run(self._first + found.start(), found.end() - found.start(), state, is_held)

    def _drop_empty_batches(self) -> None:
        """Remove batches without tasks, and the leading bytes of cleared tasks."""
        states, first = self._states, self._first
        self._batches = [
            batch
            for batch in self._batches
            if batch.first in self._newest
            or any(states[max(0, batch.first - first) : max(0, batch.first - first + batch.n)])
        ]
        self._n_batches_kept = len(self._batches)
        n_gone = len(states) - len(states.lstrip(b"\0"))
        del states[:n_gone]
        self._first += n_gone


def merge(before: QueueDelta, after: QueueDelta) -> QueueDelta:
    """Return one delta in place of two, numbered as `before`, for a subscriber that is slower than the farm.

    Only the newest `MAX_ROWS` finished tasks keep their rows; of the others it has the state.
    """
    rows, ids = {row.taskid: row for row in rows_of(before.rows)}, before.rows.ids
    for run in after.runs:  # there may be as many runs as rows
        for taskid in ids[bisect_left(ids, run.first) : bisect_left(ids, run.first + run.n)]:
            rows.pop(taskid, None)
    rows |= {row.taskid: row for row in rows_of(after.rows)}
    finished = sorted((row for row in rows.values() if row.is_finished), key=attrgetter("completed", "taskid"))
    surplus = [rows.pop(row.taskid) for row in finished[: max(0, len(finished) - MAX_ROWS)]]
    return replace(
        after,
        seq=before.seq,
        workers=before.workers if after.workers is None else after.workers,
        batches=before.batches + after.batches,
        runs=before.runs + after.runs + tuple(Run(row.taskid, 1, row.state) for row in surplus),
        rows=columns_of(rows.values()),
        cleared=before.cleared + after.cleared,
    )


def _n_parts(items: list[Any], most: int) -> int:
    """Return the number of messages for `items`, with `most` in each."""
    return -(-len(items) // most)


def _covering(batches: list[Batch], taskid: int) -> int | None:
    """Return the index of the batch that has `taskid`, in `batches` sorted by id."""
    index = bisect_right(batches, taskid, key=attrgetter("first")) - 1
    if index < 0 or taskid >= batches[index].first + batches[index].n:
        return None
    return index
