"""Completing what the core sends with what only the store has: values, finished tasks, code."""

from __future__ import annotations

import operator
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import assert_never

import msgspec

from taskfc_ext.core.effects import (
    Recall,
    SendCode,
    SendDetails,
    SendEnded,
    SendFailure,
    SendList,
    SendLog,
    SendOutputs,
    SendRun,
    SendSnapshot,
    SendSubmission,
    ToComplete,
)
from taskfc_ext.core.events import Recalled
from taskfc_ext.core.handlers.requests import details_answer, outputs_answer
from taskfc_ext.core.handlers.retry_request import dependants_of
from taskfc_ext.core.journal.endings import rows_of
from taskfc_ext.core.state.task import LIVE, end_state
from taskfc_ext.core.views.rows import N_FINISHED, with_finished
from taskfc_ext.drivers.store import Store
from taskfc_ext.lru import ByteLRU
from taskfc_ext.protocol.client_messages import Changed, Ended, ErrorKind, Refused, Reply, Watching
from taskfc_ext.protocol.ids import MAX_FRAME
from taskfc_ext.protocol.infos import SubmittedTask, TaskInfo
from taskfc_ext.protocol.payloads import Failure, Payload, decode_failure, size_of
from taskfc_ext.protocol.records import Submitted
from taskfc_ext.protocol.worker_messages import Code, Run

LOOK_BACK = 20_000
"""Finished tasks that a filtered list looks through, newest first, so that one question cannot stop the farm."""

_CODE_BYTES = 16 * 2**20
"""Bytes of code that is kept in memory, for the next worker that needs it."""

_FINAL = "final"  # the version of what a finished task shows


_READ_AT_MOST = 16 * 2**20
"""Bytes of results that are read for a snapshot, which shows none of them: they stand between what it shows."""

_MOST_AT_ONCE = MAX_FRAME - 2**20
"""Bytes of one answer: a frame less what stands around them."""


class Answers:
    """Reads the store on behalf of the core, after the commit.

    Args:
        store: what was committed.
        is_known: whether there is such a task, and it was not cleared.
    """

    def __init__(self, store: Store, is_known: Callable[[int], bool]) -> None:
        self._store = store
        self._is_known = is_known
        self._recent_code: ByteLRU[bytes, bytes] = ByteLRU(_CODE_BYTES, n_kept=0)

    def complete_for_worker(self, message: SendCode | SendRun) -> Code | Run:
        """Return `message` with its code or its inputs."""
        match message:
            case SendCode(digest):
                return Code(digest, self._code(digest))
            case SendRun(run, inputs):
                values = self._values(inputs)
                # One is missing only if the task has ended and it was cleared in this very turn: nobody runs this.
                whole = tuple(values.get(taskid, b"") for taskid in inputs)
                return msgspec.structs.replace(run, bodies=self._whole(run.bodies), inputs=whole)
            case _:
                assert_never(message)

    def complete_for_client(self, message: ToComplete) -> list[Ended | Reply | Refused | Watching | Changed]:
        """Return the messages that `message` stands for."""
        match message:
            case SendEnded(ids):
                return [self.whole(rows_of(record, rows)) for record, rows in self._store.ended(ids)]
            case SendList():
                return [Reply(message.seq, self._list(message))]
            case SendLog(seq, taskid):
                texts = (record.outputs.get(taskid, ()) for record, _ in self._store.ended([taskid]))
                return [Reply(seq, next(texts, ()))]
            case SendFailure(seq, taskid):
                return [Reply(seq, self._failure(taskid))]
            case SendSubmission():
                return [self._submission(message)]
            case SendOutputs(seq, taskid, known):
                shown = (record.displays.get(taskid, ()) for record, _ in self._store.ended([taskid]))
                return [Reply(seq, outputs_answer(next(shown, ()), _FINAL, known))]
            case SendDetails():
                return [self._details(message)]
            case SendSnapshot(seq, snapshot, more):
                whole = with_finished(snapshot, more, self._newest(), self._store.facts_of)
                return [Watching(seq, whole), *(Changed(delta) for delta in more)]
            case _:
                assert_never(message)

    def whole(self, record: Ended) -> Ended:
        """Return `record` with the values that stand in files."""
        return msgspec.structs.replace(record, values=self._whole(record.values))

    def _whole(self, payloads: Iterable[Payload]) -> tuple[bytes, ...]:
        return tuple(map(self._store.payload, payloads))

    def recalled(self, recall: Recall) -> Recalled:
        """Return what the store holds of the task that is to run again, and of those that failed because of it."""
        failed_with: dict[int, int] = {}
        for record, rows in self._store.ended(recall.dependants):
            for row in rows:
                value = self._store.payload(record.values[row])
                parent = decode_failure(value).parent if value else None
                if parent is not None:  # else it was cleared in this very turn
                    failed_with[record.ids[row]] = parent
        batches: dict[int, tuple[Submitted, list[int]]] = {}
        for taskid in (recall.request.taskid, *dependants_of(recall.roots, failed_with)):
            if self._is_known(taskid):  # else it was cleared in this very turn
                batch = self._store.batch_of(taskid)
                batches.setdefault(batch.first, (batch, []))[1].append(taskid)
        for first, (batch, taskids) in batches.items():
            again = {taskid - first for taskid in taskids}
            bodies = tuple(body if at in again else b"" for at, body in enumerate(batch.bodies))
            bodies = self._store.stage_again(bodies)
            batches[first] = msgspec.structs.replace(batch, bodies=bodies), taskids
        return Recalled(
            recall.session, recall.request, tuple((batch, tuple(taskids)) for batch, taskids in batches.values())
        )

    def _failure(self, taskid: int) -> Failure | None:
        for record, (row,) in self._store.ended([taskid]):
            value = self._store.payload(record.values[row])
            if record.reasons[row] and value:
                return msgspec.structs.replace(decode_failure(value), pickled=None)
        return None

    def _details(self, message: SendDetails) -> Reply | Refused:
        taskid = message.taskid
        if not self._is_known(taskid):
            return _cleared_just_now(message.seq, taskid)
        ((record, (row,)),) = self._store.ended([taskid])
        printed, displays = record.outputs.get(taskid, ()), record.displays.get(taskid, ())
        info = self._finished_info(record, row)
        details = details_answer(info, printed, displays, _FINAL, message, self._failure(taskid))
        return Reply(message.seq, details)

    def _submission(self, message: SendSubmission) -> Reply | Refused:
        taskid = message.taskid
        if not self._is_known(taskid):
            return _cleared_just_now(message.seq, taskid)
        batch = self._store.batch_of(taskid)
        inputs: dict[int, Payload] = {}
        for record, rows in self._store.ended(batch.inputs):
            inputs |= {record.ids[row]: record.values[row] for row in rows if not record.reasons[row]}
        for parent in batch.inputs:
            if parent not in inputs or not self._is_known(parent):
                why = "has not succeeded" if self._is_known(parent) else "was cleared"
                text = f"task {taskid} takes the result of task {parent}, which {why}"
                return Refused(message.seq, ErrorKind.RESULT_EXPIRED, text, value={"taskids": [parent]})
        submission = SubmittedTask(
            taskid=taskid,
            name=batch.name,
            spec=batch.spec,
            code=self._code(batch.spec.code),
            body=batch.bodies[taskid - batch.first],
            inputs=tuple(inputs[parent] for parent in batch.inputs),
        )
        size = sum(map(size_of, (submission.code, submission.body, *submission.inputs)))
        if size > _MOST_AT_ONCE:
            text = f"task {taskid} was submitted with {size:,} bytes; {_MOST_AT_ONCE:,} can be sent at once"
            return Refused(message.seq, ErrorKind.TOO_MUCH, text)
        body, inputs_whole = self._store.payload(submission.body), self._whole(submission.inputs)
        return Reply(message.seq, msgspec.structs.replace(submission, body=body, inputs=inputs_whole))

    def _values(self, taskids: tuple[int, ...]) -> dict[int, Payload]:
        found = self._store.ended(taskids)
        return {record.ids[row]: self._store.payload(record.values[row]) for record, rows in found for row in rows}

    def _code(self, digest: bytes) -> bytes:
        code = self._recent_code.get(digest)
        if code is None:
            try:
                code = self._store.code(digest)
            except KeyError:  # it was dropped in this very turn: who was to run it has ended
                return b""
            self._recent_code.put(digest, code, len(code))
        return code

    def _list(self, message: SendList) -> list[TaskInfo]:
        """Return the newest `limit` tasks that pass, by id: a task that ends late is not newer than its successors."""
        live = [info.taskid for info in message.live]  # ascending
        known, finished = set(live), list[TaskInfo]()
        only_live = message.states is not None and set(message.states) <= {state.value for state in LIVE}
        for record, row in () if only_live else self._candidates(message):
            taskid = record.ids[row]
            n_newer = len(finished) + len(live) - bisect(live, taskid)
            if n_newer >= message.limit and message.taskids is None:
                break  # those that follow are older still
            if taskid in known:
                continue  # it ended in this very turn, after the question
            info = self._finished_info(record, row)
            if _passes(info, message):
                finished.append(info)
        return sorted((*finished, *message.live), key=operator.attrgetter("taskid"))[-message.limit :]

    def _candidates(self, message: SendList) -> Iterator[tuple[Ended, int]]:
        """Yield ends of known tasks: of those that are named, in any order, else of the newest by id, these first."""
        if message.taskids is not None:
            for record, rows in self._store.ended(message.taskids):
                for row in rows:
                    if self._is_known(record.ids[row]):
                        yield record, row
            return
        for record, row in islice(self._store.ended_by_id(), LOOK_BACK):
            if self._is_known(record.ids[row]):  # a cleared one stands there for as long as others share its record
                yield record, row

    def _newest(self) -> Iterator[tuple[Ended, int]]:
        """Yield the newest finished tasks for a snapshot, fewer where these are spread wide or have large results."""
        left, n_bytes = N_FINISHED, 0
        for n_read, record in enumerate(self._store.newest_ended(), start=1):
            for row in reversed(range(len(record.ids))):
                if left and self._is_known(record.ids[row]):
                    left -= 1
                    yield record, row
            n_bytes += sum(len(value) for value in record.values if isinstance(value, bytes))
            if not left or n_read >= 2 * N_FINISHED or n_bytes > _READ_AT_MOST:
                return

    def _finished_info(self, record: Ended, row: int) -> TaskInfo:
        batch = self._store.facts_of(record.ids[row])
        reason = record.reasons[row]
        value = self._store.payload(record.values[row]) if reason else b""
        message = decode_failure(value).message if value else ""
        return TaskInfo(
            taskid=record.ids[row],
            name=batch.name,
            label=batch.spec.label,
            state=end_state(reason).value,
            reason=reason,
            worker=record.workers[row],
            attempts=record.attempts[row],
            priority=batch.spec.priority,
            submitted=record.submitted[row],
            completed=record.completed,
            elapsed=record.seconds[row],
            owner=batch.owner,
            message=message,
            retry_of=batch.retry_of[record.ids[row] - batch.first] if batch.retry_of else None,
        )


def _cleared_just_now(seq: int, taskid: int) -> Refused:
    text = f"task {taskid} was cleared just now"
    return Refused(seq, ErrorKind.UNKNOWN_TASK, text, value={"taskids": [taskid]})


def _passes(info: TaskInfo, message: SendList) -> bool:
    return (
        info.taskid not in message.left_out
        and (message.states is None or info.state in message.states)
        and (message.name is None or info.name == message.name)
        and (message.owner is None or info.owner == message.owner)
    )
