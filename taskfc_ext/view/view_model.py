"""A queue as a viewer keeps it, to hand it on to whoever begins to look later. Pure: no clock, no I/O.

It is made of what the controller says, and says the same again: its messages are ones that the controller could have
sent. Of a task with nothing to tell it keeps a byte.
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

from taskfc_ext.protocol.infos import WorkerInfo
from taskfc_ext.protocol.rows import FINISHED, Row, columns_of, rows_of
from taskfc_ext.protocol.snapshots import (
    MAX_BATCHES,
    MAX_ROWS,
    Batch,
    Counts,
    QueueDelta,
    QueueSnapshot,
    Run,
    StateCode,
)

KEPT = 2000
"""Finished tasks that are kept, the newest: more than anybody scrolls through. `%task history` has the others."""

ENDS = 61
"""Seconds for which ends are counted, one number a second: a minute, and the second that is not over yet."""

_HELD = 8
"""Beside the state of a task that is held."""

_RUN = re.compile(rb"([\x01-\x0e])\1*", re.DOTALL)


class QueueModel:
    """The queue of one controller.

    Attributes:
        seq: of the last message.
        wall: the controller's clock then, in seconds.
        counts: of all its tasks.
        n_workers: how many it should have.
        workers: those that it has.
    """

    def __init__(self) -> None:
        self.seq: int | None = None
        self.farm = ""
        self.incarnation = 0
        self.wall = 0.0
        self.counts = Counts()
        self.n_workers = 0
        self.workers: tuple[WorkerInfo, ...] = ()
        self._batches: list[Batch] = []
        self._newest: set[int] = set()  # batches told at `wall`: of their tasks the next message may tell
        self._n_batches_kept = 0  # when those of which no task is left were forgotten last
        self._first = 0  # the id that the first byte of `_states` stands for
        self._states = bytearray()  # 0: not known, or forgotten
        self._rows: dict[int, Row] = {}
        self._finished: dict[int, None] = {}  # in the order of their ends
        self._ends: deque[tuple[int, int]] = deque()  # (second, ends in it)

    def apply(self, message: QueueSnapshot | QueueDelta) -> bool:
        """Take `message` in; return whether that was possible: after a gap only a snapshot helps."""
        if isinstance(message, QueueSnapshot):
            self._begin(message)
        elif self.seq is None or message.seq != self.seq + 1:
            return False
        else:
            self._count_ends(message)
            if message.wall != self.wall:  # what is told in parts has one time
                self._newest.clear()
                if len(self._batches) > 2 * self._n_batches_kept + MAX_BATCHES:  # so seldom that it costs little
                    self._drop_empty_batches()
        self.seq, self.wall, self.counts, self.n_workers = message.seq, message.wall, message.counts, message.n_workers
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
        if surplus > 0:  # all at once: to look for the first of a dict again and again is quadratic
            self._forget(tuple(islice(self._finished, surplus)))
        return True

    def messages(self, since: float = 0.0) -> list[QueueSnapshot | QueueDelta]:
        """Return what brings a new viewer here: a snapshot, and, where one message cannot hold it all, deltas.

        The delta that comes next from the controller follows the last of them. `since`: seconds for which a controller
        that lives has said nothing. A viewer tells the time by what it is sent first, and nothing else may come soon.
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
                batches=tuple(batches[part * MAX_BATCHES : (part + 1) * MAX_BATCHES]),
                runs=tuple(runs[part * MAX_BATCHES : (part + 1) * MAX_BATCHES]),
                rows=columns_of(rows[part * MAX_ROWS : (part + 1) * MAX_ROWS]),
            )
            for part in range(1, n_parts)
        ]
        return [snapshot, *more]

    def ends(self, since: float = 0.0) -> tuple[int, ...]:
        """Return how many tasks ended in each of the last `ENDS` seconds, oldest first.

        The last is that of `wall`, and of `since` seconds after that.
        """
        if not self._ends:
            return ()
        end = int(self.wall + since) + 1
        counted = dict(self._ends)
        return tuple(counted.get(second, 0) for second in range(end - ENDS, end))

    def rows(self) -> list[Row]:
        """Return the tasks of which there is more to tell than their state, by id."""
        return [self._rows[taskid] for taskid in sorted(self._rows)]

    def batch_of(self, taskid: int) -> Batch | None:
        """Return the submission that `taskid` was part of."""
        found = _covering(self._batches, taskid)
        return self._batches[found] if found is not None else None

    def state_of(self, taskid: int) -> StateCode | None:
        """Return the state of a task; `None` when it is not known here."""
        index = taskid - self._first
        code = self._states[index] if 0 <= index < len(self._states) else 0
        return StateCode(code & ~_HELD) if code else None

    # inside

    def _begin(self, snapshot: QueueSnapshot) -> None:
        end = int(snapshot.wall) + 1
        if snapshot.ends:
            self._ends = deque(enumerate(snapshot.ends, start=end - len(snapshot.ends)))
        elif not self._ends:  # nobody has counted yet: the newest ends are among the rows
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
        if run.state in FINISHED:
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
        """Forget batches, and the states before all others, of which no task is left."""
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
    """Return one delta, numbered as `before`, that says what both say, for whoever cannot take them as they come.

    Of finished tasks no more than `MAX_ROWS` keep their rows, the newest; of the others it says the state.
    """
    rows, ids = {row.taskid: row for row in rows_of(before.rows)}, before.rows.ids
    for run in after.runs:  # of which there may be as many as there are rows
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
    """Return how many messages `items` need, `most` in each."""
    return -(-len(items) // most)


def _covering(batches: list[Batch], taskid: int) -> int | None:
    """Return the index of the batch in `batches`, by id, that has `taskid`."""
    index = bisect_right(batches, taskid, key=attrgetter("first")) - 1
    if index < 0 or taskid >= batches[index].first + batches[index].n:
        return None
    return index
