"""Messages to subscribers of the queue: a snapshot, then deltas, at most one in `PAUSE` seconds.

The records of an event name the changed tasks; `Farm.mark` names the ones that changed without a record. A delta is
made when it is sent, so it has the newest state, and all subscribers receive the same. Each has numbers of its own,
since the snapshot of one may need deltas that the others do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple, TypeVar

import msgspec

from taskfc_ext.core.effects import SendSnapshot, Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.reasons import refresh_shown
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.state.subscribers import Facts, Subscribers
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.views.rows import (
    CODES,
    N_FINISHED,
    batch_of_record,
    batch_of_tasks,
    code_of_end,
    ended_row,
    facts_of,
    row_of,
    runs_of,
)
from taskfc_ext.protocol.client_messages import Changed, Ended, Watch
from taskfc_ext.protocol.ids import spans_of
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.records import Cleared, Expired, Held, Moved, Record, Requeued, Submitted
from taskfc_ext.protocol.rows import Row, columns_of
from taskfc_ext.protocol.snapshots import MAX_BATCHES, MAX_ROWS, Batch, QueueDelta, QueueSnapshot, Rows, Run
from taskfc_ext.protocol.states import State, StateCode

PAUSE = 0.2
"""Seconds between two deltas: people read no more than five a second, and each costs as much as many tasks."""

T = TypeVar("T")

Span = tuple[int, int]
"""(first, n) of neighbours."""

Segment = tuple[int, int, StateCode, bool]
"""(first, n, state, whether they are held) of neighbours."""


class _Tasks(NamedTuple):
    """The part of a message that is about tasks."""

    batches: Sequence[Batch] = ()
    runs: Sequence[Run] = ()
    rows: Rows = Rows()
    cleared: tuple[Span, ...] = ()


# subscribers


def on_watch(farm: Farm, step: Step, client: ClientSession, message: Watch, now: Now) -> SendSnapshot:
    """Subscribe `client`; return its snapshot."""
    if farm.subscribers is None:
        farm.subscribers = Subscribers(seqs={}, facts=facts_of(farm), sent_at=now.mono)
        refresh_shown(farm)
    else:
        _push(farm, step, farm.subscribers, now)  # else the new subscriber would receive changes that its snapshot has
    subscribers = farm.subscribers
    seq = subscribers.seqs.get(client.session, 0)
    parts = _in_messages(_all_live(farm, now), MAX_BATCHES - N_FINISHED)
    first = QueueSnapshot(
        seq=seq,
        farm=farm.name,
        incarnation=farm.incarnation,
        wall=now.wall,
        counts=subscribers.facts.counts,
        n_workers=subscribers.facts.n_workers,
        workers=subscribers.facts.workers,
        engine=subscribers.facts.engine,
        no_room=subscribers.facts.no_room,
        batches=tuple(parts[0].batches),
        runs=tuple(parts[0].runs),
        rows=parts[0].rows,
    )
    more = tuple(_delta(farm, subscribers.facts, now, seq + i, part) for i, part in enumerate(parts[1:], start=1))
    subscribers.seqs[client.session] = seq + len(more)
    return SendSnapshot(message.seq, first, more)


def unsubscribe(farm: Farm, session: str) -> None:
    """Send nothing more to `session`."""
    if farm.subscribers is not None:
        farm.subscribers.seqs.pop(session, None)
        if not farm.subscribers.seqs:
            farm.subscribers = None


# deltas


def send_changes(farm: Farm, step: Step, now: Now) -> None:
    """Note the changes of the event in `step`, and send them, now or after the pause."""
    subscribers = farm.subscribers
    if subscribers is None:
        return
    for record in step.records:
        _note(subscribers, record)
    if now.mono >= subscribers.sent_at + PAUSE:
        _push(farm, step, subscribers, now)
    elif not subscribers.has_timer and (subscribers.has_changes or facts_of(farm) != subscribers.facts):
        subscribers.has_timer = True
        farm.set_timer(subscribers.sent_at + PAUSE, TimerKind.SUBSCRIBERS, 0)


def on_timer(farm: Farm) -> None:
    """Note that the pause is over: `send_changes`, which follows every event, sends the next delta."""
    if farm.subscribers is not None:
        farm.subscribers.has_timer = False


def _note(subscribers: Subscribers, record: Record) -> None:
    """Note the changes of `record` that subscribers see; the dispatch of a task is not among them."""
    match record:
        case Ended():
            values: tuple[Payload, ...] = ()  # values may be large
            if any(record.reasons):
                pairs = zip(record.values, record.reasons, strict=True)
                values = tuple([value if reason else b"" for value, reason in pairs])
            subscribers.ends.append(msgspec.structs.replace(record, values=values, outputs={}, displays={}))
        case Submitted():
            subscribers.batches.append(batch_of_record(record))
        case Requeued() | Held() | Moved():
            subscribers.changed.update(record.ids)
        case Cleared():
            subscribers.cleared.update(record.ids)
        case Expired():
            subscribers.cleared.update(record.ids())
        case _:
            pass


def _push(farm: Farm, step: Step, subscribers: Subscribers, now: Now) -> None:
    """Send all subscribers the changes, if there are any."""
    facts = facts_of(farm)
    refresh_shown(farm)
    tasks = _all_changed(farm, subscribers, now)
    subscribers.changed, subscribers.batches, subscribers.ends, subscribers.cleared = set(), [], [], set()
    if facts == subscribers.facts and not (tasks.batches or tasks.runs or tasks.rows.ids or tasks.cleared):
        return
    workers_too = facts.workers != subscribers.facts.workers
    subscribers.facts, subscribers.sent_at = facts, now.mono
    parts = _in_messages(tasks, MAX_BATCHES)
    for session, seq in subscribers.seqs.items():
        for i, part in enumerate(parts, start=1):
            last = i == len(parts)
            step.to_client(session, Changed(_delta(farm, facts, now, seq + i, part, workers_too=workers_too and last)))
        subscribers.seqs[session] = seq + len(parts)


def _delta(farm: Farm, facts: Facts, now: Now, seq: int, tasks: _Tasks, *, workers_too: bool = False) -> QueueDelta:
    return QueueDelta(
        seq=seq,
        farm=farm.name,
        wall=now.wall,
        counts=facts.counts,
        n_workers=facts.n_workers,
        workers=facts.workers if workers_too else None,
        engine=facts.engine,
        no_room=facts.no_room,
        batches=tuple(tasks.batches),
        runs=tuple(tasks.runs),
        rows=tasks.rows,
        cleared=tasks.cleared,
    )


def _in_messages(tasks: _Tasks, limit: int) -> list[_Tasks]:
    """Divide `tasks` into parts that fit in one message each, so that the batch of a task comes before the task."""
    if len(tasks.batches) <= limit and len(tasks.runs) <= limit:
        return [tasks]
    batches, runs = _chunks(tasks.batches, limit), _chunks(tasks.runs, limit)
    empty: list[Sequence[Run]] = [()] * (len(batches) - 1)
    parts = [_Tasks(*part) for part in zip_longest(batches, [*empty, *runs], fillvalue=())]
    parts[-1] = parts[-1]._replace(rows=tasks.rows, cleared=tasks.cleared)
    return parts


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[at : at + size] for at in range(0, len(items), size)] or [()]


# contents


def _all_live(farm: Farm, now: Now) -> _Tasks:
    """Return all unfinished tasks. 100,000 take some 25 ms, since few of them need a row."""
    odd = [
        task
        for task in farm.tasks.values()
        if task.attempts or (task.history is not None and task.state is not State.WAITING)  # else it only waits
    ]
    odd += [farm.tasks[taskid] for taskid in farm.held | farm.moved.keys() | farm.refusals.rejected.keys()]
    odd += [farm.tasks[taskid] for taskid in farm.resources.shown if taskid in farm.tasks]
    rows, segments = _rows_and_segments(farm, {task.taskid: task for task in odd}.values(), MAX_ROWS - N_FINISHED, now)
    batches = {task.batch.first: task.batch for task in farm.tasks.values()}
    covered = sorted([(row.taskid, 1) for row in rows] + [(first, n) for first, n, *_ in segments])
    live = spans_of(farm.tasks)
    segments += _as_segments(farm, _without(covered, live))
    return _Tasks([batch_of_tasks(batches[first]) for first in batches], runs_of(sorted(segments)), columns_of(rows))


def _all_changed(farm: Farm, subscribers: Subscribers, now: Now) -> _Tasks:
    """Return the changed tasks. Unfinished ones get a row before finished ones."""
    changed = (farm.tasks[taskid] for taskid in subscribers.changed if taskid in farm.tasks)
    rows, segments = _rows_and_segments(farm, changed, MAX_ROWS, now)
    cleared = {taskid for taskid in subscribers.cleared if 0 <= taskid < farm.next_id and not farm.knows(taskid)}
    _add_ended(rows, segments, subscribers.ends, cleared)
    gone = spans_of(cleared)
    if subscribers.batches:
        covered = sorted([(row.taskid, 1) for row in rows] + [(first, n) for first, n, *_ in segments] + list(gone))
        segments += _as_segments(farm, _without(covered, [(batch.first, batch.n) for batch in subscribers.batches]))
    return _Tasks(subscribers.batches, runs_of(sorted(segments)), columns_of(rows), gone)


def _add_ended(rows: list[Row], segments: list[Segment], ends: Sequence[Ended], cleared: set[int]) -> None:
    """Add finished tasks: rows while there is room, the newest ends first, and segments for the rest."""
    for record in reversed(ends):
        ids = record.ids
        left = len(ids)
        while left and len(rows) < MAX_ROWS:
            left -= 1
            if ids[left] not in cleared:
                rows.append(ended_row(record, left))
        if not left:
            continue
        first = ids[0]
        if not cleared and not any(record.reasons) and ids == tuple(range(first, first + len(ids))):
            segments.append((first, left, StateCode.SUCCEEDED, False))  # as nearly all are
        else:
            segments += [
                (taskid, 1, code_of_end(reason), False)
                for taskid, reason in zip(ids[:left], record.reasons[:left], strict=True)
                if taskid not in cleared
            ]


def _rows_and_segments(farm: Farm, tasks: Iterable[Task], limit: int, now: Now) -> tuple[list[Row], list[Segment]]:
    """Return at most `limit` of `tasks` as rows, running ones first, then the newest; the others as segments."""
    rows: list[Row] = []
    segments: list[Segment] = []
    for task in sorted(tasks, key=lambda task: (task.state is State.RUNNING, task.taskid), reverse=True):
        row = row_of(farm, task, now) if len(rows) < limit else None
        if row is None:
            segments.append((task.taskid, 1, CODES[task.state], task.taskid in farm.held))
        else:
            rows.append(row)
    return rows, segments


def _as_segments(farm: Farm, spans: Iterable[Span]) -> Iterator[Segment]:
    """Yield live tasks to which nothing has happened, by batch, since the state is the same in all of a batch."""
    for first, n in spans:
        taskid, end = first, first + n
        while taskid < end:
            task = farm.tasks[taskid]
            then = min(end, task.batch.first + task.batch.n)
            yield taskid, then - taskid, CODES[task.state], False
            taskid = then


def _without(covered: Sequence[Span], spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the parts of `spans` that are not in `covered`; both are ascending."""
    at = 0
    for first, n in spans:
        begin, end = first, first + n
        while at < len(covered) and covered[at][0] + covered[at][1] <= begin:
            at += 1
        while at < len(covered) and covered[at][0] < end:
            covered_first, covered_n = covered[at]
            if covered_first > begin:
                yield begin, covered_first - begin
            begin = max(begin, covered_first + covered_n)
            if covered_first + covered_n > end:
                break
            at += 1
        if begin < end:
            yield begin, end - begin
