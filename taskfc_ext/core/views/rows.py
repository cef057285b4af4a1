"""Batches, runs and rows of tasks, as subscribers receive them.

A task that a worker holds and has not started is shown as before its dispatch, since it may come back in that state.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

import msgspec

from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.lending import waits_of, waits_text
from taskfc_ext.core.state.reasons import shown_text
from taskfc_ext.core.state.subscribers import Facts
from taskfc_ext.core.state.task import Batch as TaskBatch
from taskfc_ext.core.state.task import Task, end_state
from taskfc_ext.core.views.listing import engine_info, progress_of, workers_info
from taskfc_ext.core.views.waiting import back_off_left, queued_text
from taskfc_ext.protocol.client_messages import Ended
from taskfc_ext.protocol.payloads import decode_failure
from taskfc_ext.protocol.records import Submitted
from taskfc_ext.protocol.rows import Row, columns_of, rows_of
from taskfc_ext.protocol.snapshots import MAX_AFTER, MESSAGE_CHARS, Batch, Counts, Note, QueueDelta, QueueSnapshot, Run
from taskfc_ext.protocol.states import State, StateCode

CODES = {state: StateCode[state.name] for state in State}

N_FINISHED = 1000
"""Finished tasks in a snapshot, the newest: some pages of a table. Reading them takes 10 ms, 40 if each was
submitted alone."""


def runs_of(segments: Iterable[tuple[int, int, StateCode, bool]]) -> list[Run]:
    """Return `segments`, ascending and disjoint, with neighbours of the same state joined."""
    runs: list[Run] = []
    first, end, state, held = -1, -1, StateCode.WAITING, False
    for begin, n, code, is_held in segments:
        if begin == end and code is state and is_held is held:
            end += n
            continue
        if end > first:
            runs.append(Run(first, end - first, state, held))
        first, end, state, held = begin, begin + n, code, is_held
    if end > first:
        runs.append(Run(first, end - first, state, held))
    return runs


# tasks that have not ended


def row_of(farm: Farm, task: Task, now: Now) -> Row | None:
    """Return the row of an unfinished task; `None` if its state is all there is."""
    runs = task.state is State.RUNNING
    past = task.history
    begun = task.attempts if runs or not task.lease else task.attempts - 1
    if not begun and _is_plain(farm, task):
        return None  # the usual case
    return Row(
        taskid=task.taskid,
        state=CODES[task.state],
        worker=task.worker if runs else past.avoid if past is not None else -1,
        attempts=begun,
        started=task.started if runs else 0.0,
        completed=0.0,
        seconds=0.0,
        note=_note_of(farm, task, now),
    )


def _is_plain(farm: Farm, task: Task) -> bool:
    """Return whether a task that has not begun has no note."""
    past, taskid = task.history, task.taskid
    quiet = past is None or not (past.not_before is not None or past.deaths)
    steered = taskid in farm.held or taskid in farm.moved or farm.stop_cause(task) is not None
    return quiet and not steered and not farm.refusals.reasons_of(taskid) and not shown_text(farm, taskid)


def _note_of(farm: Farm, task: Task, now: Now) -> Note | None:
    past = task.history
    left = back_off_left(farm, task, now)
    message = ""
    if left is not None and past is not None:
        message = f"retry {past.retries} of {task.spec.retries}"
    elif text := queued_text(farm, task, shown_text(farm, task.taskid)):
        message = text
    elif farm.waits is not None:
        message = waits_text(farm, task, waits_of(farm, task))
    note = Note(
        message=message[:MESSAGE_CHARS],
        progress=progress_of(farm, task),
        held=task.taskid in farm.held,
        stopping=farm.stop_cause(task) is not None,
        not_before=None if left is None else now.wall + left,
        deaths=past.deaths if past is not None else 0,
        priority=farm.moved.get(task.taskid),
    )
    return None if note == _NOTHING else note


_NOTHING = Note()


def batch_of_tasks(batch: TaskBatch) -> Batch:
    """Return a batch as subscribers receive it."""
    return _batch(batch, batch.n, batch.submitted)


def batch_of_record(record: Submitted) -> Batch:
    """Return the batch of a submission as subscribers receive it."""
    return _batch(record, len(record.bodies), record.wall)


def _batch(source: TaskBatch | Submitted, n: int, submitted: float) -> Batch:
    parents = (*source.after, *source.inputs)
    return Batch(
        first=source.first,
        n=n,
        label=source.spec.label,
        name=source.name,
        owner=source.owner,
        submitted=submitted,
        priority=source.spec.priority,
        after=tuple(dict.fromkeys(parents[:MAX_AFTER])),
        n_after=len(parents) if len(parents) > MAX_AFTER else 0,
        retry_of=source.retry_of,
    )


def facts_of(farm: Farm) -> Facts:
    """Return the farm-wide counts and the workers."""
    counts = farm.counts
    return Facts(
        counts=Counts(
            waiting=counts[State.WAITING],
            scheduled=counts[State.SCHEDULED],
            running=counts[State.RUNNING],
            succeeded=counts[State.SUCCEEDED],
            failed=counts[State.FAILED],
            aborted=counts[State.ABORTED],
            n_ended=farm.n_ended,
        ),
        n_workers=farm.n_workers,
        workers=tuple(workers_info(farm)),
        engine=engine_info(farm),
        no_room=farm.no_room.text if farm.no_room is not None else "",
    )


# tasks that have ended


def code_of_end(reason: str) -> StateCode:
    """Return the state of a task that ended for `reason`."""
    return CODES[end_state(reason)] if reason else StateCode.SUCCEEDED


def ended_row(record: Ended, row: int) -> Row:
    """Return the row of a finished task."""
    reason = record.reasons[row]
    note = None
    if reason:
        value = record.values[row]
        message = decode_failure(value).summary if isinstance(value, bytes) and value else ""
        note = Note(reason=reason, message=message.strip().partition("\n")[0][:MESSAGE_CHARS])
    return Row(
        record.ids[row],
        code_of_end(reason),
        record.workers[row],
        record.attempts[row],
        0.0,
        record.completed,
        record.seconds[row],
        note,
    )  # positional arguments: there may be thousands in a delta


def with_finished(
    snapshot: QueueSnapshot,
    more: tuple[QueueDelta, ...],
    newest: Iterable[tuple[Ended, int]],
    batch_of: Callable[[int], Submitted],
) -> QueueSnapshot:
    """Return `snapshot` with finished tasks of the store.

    Args:
        snapshot: the unfinished tasks, with room for some more.
        more: the deltas that follow at once.
        newest: rows of ends, the newest first. Ends after the snapshot are among them: the next delta reports
            these.
        batch_of: returns the submission of a task.
    """
    is_live = _membership(snapshot, *more)
    rows = list(rows_of(snapshot.rows))
    batches = {batch.first: batch for batch in snapshot.batches}
    for record, row in newest:
        if is_live(record.ids[row]):
            continue
        rows.append(ended_row(record, row))
        submitted = batch_of(record.ids[row])
        if submitted.first not in batches:
            batches[submitted.first] = batch_of_record(submitted)
    return msgspec.structs.replace(
        snapshot, rows=columns_of(rows), batches=tuple(batches[first] for first in sorted(batches))
    )


def _membership(*messages: QueueSnapshot | QueueDelta) -> Callable[[int], bool]:
    """Return a function that tells whether a task is named in `messages`."""
    rows = {taskid for message in messages for taskid in message.rows.ids}
    runs = sorted((run.first, run.first + run.n) for message in messages for run in message.runs)

    def is_named(taskid: int) -> bool:
        at = bisect_right(runs, (taskid, taskid + 2**60)) - 1
        return taskid in rows or (at >= 0 and runs[at][0] <= taskid < runs[at][1])

    return is_named
