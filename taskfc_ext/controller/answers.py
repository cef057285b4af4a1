"""Completion of the core's messages with data of the store: values, finished tasks, code."""

from __future__ import annotations

import logging
import operator
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import assert_never

import msgspec

from taskfc_ext.core.effects import (
    Recall,
    SendCode,
    SendDetails,
    SendEnded,
    SendList,
    SendLog,
    SendOutputs,
    SendRun,
    SendSnapshot,
    SendSubmission,
    SendUnfinished,
    ToComplete,
)
from taskfc_ext.core.events import Recalled
from taskfc_ext.core.handlers.requests import details_answer, outputs_answer
from taskfc_ext.core.handlers.retry_request import find_failed_because_of
from taskfc_ext.core.journal.endings import failed_unseen, select_rows
from taskfc_ext.core.state.task import end_state
from taskfc_ext.core.views.rows import N_FINISHED, with_finished
from taskfc_ext.drivers.store import Store
from taskfc_ext.errors import StorageFull, StoreError
from taskfc_ext.lru import ByteLRU
from taskfc_ext.protocol.batches import chunks
from taskfc_ext.protocol.client_messages import Changed, Ended, ErrorKind, GetDetails, Refused, Reply, Watching
from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.protocol.infos import Details, SubmittedTask, TaskInfo
from taskfc_ext.protocol.limits import MAX_FRAME
from taskfc_ext.protocol.owners import is_called
from taskfc_ext.protocol.payloads import (
    Failure,
    Payload,
    PayloadRef,
    Reason,
    bytes_outside_files,
    decode_failure,
    size_of,
)
from taskfc_ext.protocol.records import Submitted
from taskfc_ext.protocol.spec import Kind, is_from
from taskfc_ext.protocol.states import UNFINISHED
from taskfc_ext.protocol.worker_messages import Code, Run

logger = logging.getLogger(__name__)

_Question = SendLog | SendSubmission | SendOutputs | SendDetails | SendSnapshot

_DAMAGED = PayloadRef("0", 1)
"""Stands for a payload that is damaged: there is never such a file."""

_READ_AT_ONCE = 1024
"""Results that are in memory at once for one client that asks for many; each has less than 64 KB, or is a file."""

MAX_SCANNED = 20_000
"""Finished tasks that a filtered list searches, newest first, so that one request cannot stop the farm."""

_ROWS_OF_PART, _BYTES_OF_PART = 100, 256 * 2**10
"""Finished tasks that one part of the work on a list looks at, and bytes of results that it reads with them: a
millisecond, after which others have their turn."""

_ROWS_OF_RECORD = 6
"""A record costs as much time as so many finished tasks of the same record."""

_CODE_BYTES = 16 * 2**20
"""Bytes of code in memory, for the next worker that needs it."""

_FINAL = "final"
"""The version of a finished task's displays."""

_MAX_READ = 16 * 2**20
"""Bytes of results that are read for a snapshot. It shows none of them, but they are in the same records."""

_MAX_ANSWER = MAX_FRAME - 2**20
"""Bytes of payload in one answer: a frame less its other fields."""


class Answers:
    """Reader of the store on behalf of the core, after the commit.

    Args:
        store: the store.
        is_known: returns whether a task exists and is not cleared.
    """

    def __init__(self, store: Store, is_known: Callable[[int], bool]) -> None:
        self._store = store
        self._is_known = is_known
        self._recent_code: ByteLRU[bytes, bytes] = ByteLRU(_CODE_BYTES, n_kept=0)

    def complete_for_worker(self, message: SendCode | SendRun) -> Code | Run:
        """Return `message` with its code or its inputs. In the place of damaged ones stands a file that is not there.

        So the task fails, with this reason.
        """
        match message:
            case SendCode(digest):
                try:
                    return Code(digest, self._code(digest))
                except StoreError as error:
                    logger.error("code for a worker: %s", error)
                    return Code(digest, _DAMAGED)
            case SendRun(run, inputs):
                values = self._values(inputs)
                # A value is missing only if the task has ended and was cleared in this turn: no worker runs it.
                whole = tuple(values.get(taskid, b"") for taskid in inputs)
                return msgspec.structs.replace(run, inputs=whole)
            case _:
                assert_never(message)

    def complete_for_client(self, message: ToComplete) -> Iterable[Ended | Reply | Refused | Watching | Changed | None]:
        """Return the messages that `message` stands for: a refusal if the part of the store is damaged.

        Results are read when they are taken from it. A list is made in parts, with a `None` after each.
        """
        if isinstance(message, SendEnded):
            return chain.from_iterable(map(self._ends, chunks(message.ids, _READ_AT_ONCE)))
        if isinstance(message, SendUnfinished):
            return map(self._list_unfinished, (message,))
        if isinstance(message, SendList):
            return self._list(message)
        try:
            return self._complete(message)
        except StoreError as error:
            return [_refuse_damaged(message.seq, error)]

    def _ends(self, ids: Sequence[int]) -> list[Ended]:
        """Return the ends of tasks; of a task whose end is damaged, one that says so."""
        try:
            return [select_rows(record, rows) for record, rows in self._store.find_ended(ids)]
        except StoreError as error:
            if len(ids) > 1:
                middle = len(ids) // 2
                return [*self._ends(ids[:middle]), *self._ends(ids[middle:])]
            logger.error("the end of task %d: %s", ids[0], error)
            return [_damaged_end(ids[0], error)]

    def _list_unfinished(self, message: SendUnfinished) -> Reply | Refused:
        """Return the ids that are left; a refusal if a result was cleared before it was read."""
        cleared = [taskid for taskid in message.finished if not self._is_known(taskid)]
        return _cleared_just_now(message.seq, *cleared) if cleared else Reply(message.seq, list(message.unfinished))

    def _complete(self, message: _Question) -> list[Ended | Reply | Refused | Watching | Changed]:
        match message:
            case SendLog(seq, taskid):
                texts = (record.outputs.get(taskid, ()) for record, _ in self._store.find_ended([taskid]))
                return [Reply(seq, next(texts, ()))]
            case SendSubmission():
                return [self._submission(message)]
            case SendOutputs(seq, taskid, known):
                shown = (record.displays.get(taskid, ()) for record, _ in self._store.find_ended([taskid]))
                return [Reply(seq, outputs_answer(next(shown, ()), _FINAL, known))]
            case SendDetails(asked, live):
                return [self._details(asked, live)]
            case SendSnapshot(seq, snapshot, more):
                whole = with_finished(snapshot, more, self._newest_ended(), self._store.batch_without_bodies)
                return [Watching(seq, whole), *(Changed(delta) for delta in more)]
            case _:
                assert_never(message)

    def recall(self, recall: Recall) -> Recalled | Refused:
        """Return the submissions of the task to be retried and of the tasks that failed because of it."""
        try:
            return self._recall(recall)
        except StorageFull:
            raise
        except StoreError as error:
            return _refuse_damaged(recall.request.seq, error)

    def _recall(self, recall: Recall) -> Recalled:
        failed_with: dict[int, int] = {}
        for record, rows in self._store.find_ended(recall.dependants):
            for row in rows:
                value = self._store.payload(record.values[row])
                parent = decode_failure(value).parent if value else None
                if parent is not None:  # else it was cleared in this turn
                    failed_with[record.ids[row]] = parent
        batches: dict[int, tuple[Submitted, list[int]]] = {}
        for taskid in (recall.request.taskid, *find_failed_because_of(recall.roots, failed_with)):
            if self._is_known(taskid):  # else it was cleared in this turn
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

    def _failure_of(self, record: Ended, row: int) -> Failure | None:
        """Return why a task has no value; `None` if it has one."""
        value = self._store.payload(record.values[row]) if record.reasons[row] else b""
        return decode_failure(value) if value else None

    def _details(self, asked: GetDetails, live: Details | None) -> Reply | Refused:
        taskid = asked.taskid
        if not self._is_known(taskid):
            return _cleared_just_now(asked.seq, taskid)
        details = self._finished_details(asked) if live is None else live
        return Reply(asked.seq, self._with_source(details, taskid, asked.source))

    def _finished_details(self, asked: GetDetails) -> Details:
        """Return the details of a finished task, without its source."""
        taskid = asked.taskid
        ((record, (row,)),) = self._store.find_ended([taskid])
        printed, displays = record.outputs.get(taskid, ()), record.displays.get(taskid, ())
        failure = self._failure_of(record, row)
        info = _finished_info(record, row, self._store.batch_without_bodies(taskid), failure)
        shown = None if failure is None else msgspec.structs.replace(failure, pickled=None)
        details = details_answer(info, printed, displays, _FINAL, asked, shown)
        if record.reasons[row]:
            return details
        return msgspec.structs.replace(details, size=size_of(record.values[row]))

    def _with_source(self, details: Details, taskid: int, most: int) -> Details:
        """Return `details` with at most so many characters of the task's source, if its code is one."""
        spec = self._store.batch_without_bodies(taskid).spec if most else None
        if spec is None or spec.kind not in (Kind.CELL, Kind.STRING):
            return details
        source = self._store.payload(self._code(spec.code)).decode("utf-8", "replace")
        return msgspec.structs.replace(details, source=source[:most], n_source_cut=max(0, len(source) - most))

    def _submission(self, message: SendSubmission) -> Reply | Refused:
        taskid = message.taskid
        if not self._is_known(taskid):
            return _cleared_just_now(message.seq, taskid)
        batch = self._store.batch_of(taskid)
        inputs: dict[int, Payload] = {}
        for record, rows in self._store.find_ended(batch.inputs):
            inputs |= {record.ids[row]: record.values[row] for row in rows if not record.reasons[row]}
        for parent in batch.inputs:
            if parent not in inputs or not self._is_known(parent):
                why = "has not succeeded" if self._is_known(parent) else "was cleared"
                text = f"task {taskid} takes the result of task {parent}, which {why}"
                return Refused(message.seq, ErrorKind.RESULT_EXPIRED, text, value={"taskids": [parent]})
        code, body = self._code(batch.spec.code), batch.bodies[taskid - batch.first]
        parts = (code, body, *(inputs[parent] for parent in batch.inputs))
        size = bytes_outside_files(parts)  # those in files are not sent
        if size > _MAX_ANSWER:
            text = f"task {taskid} was submitted with {size:,} bytes; {_MAX_ANSWER:,} can be sent at once"
            return Refused(message.seq, ErrorKind.TOO_MUCH, text)
        submission = SubmittedTask(
            taskid=taskid,
            name=batch.name,
            spec=batch.spec,
            code=code,
            body=body,
            inputs=tuple([inputs[parent] for parent in batch.inputs]),
        )
        return Reply(message.seq, submission)

    def _values(self, taskids: Sequence[int]) -> dict[int, Payload]:
        try:
            found = self._store.find_ended(taskids)
            return {record.ids[row]: record.values[row] for record, rows in found for row in rows}
        except StoreError as error:
            if len(taskids) > 1:
                return {taskid: value for each in taskids for taskid, value in self._values([each]).items()}
            logger.error("the value of task %d for a worker: %s", taskids[0], error)
            return {taskids[0]: _DAMAGED}

    def _code(self, digest: bytes) -> Payload:
        recent = self._recent_code.get(digest)
        if recent is not None:
            return recent
        try:
            code = self._store.code(digest)
        except KeyError:  # it was dropped in this turn, since its tasks have ended, or its key is damaged
            return _DAMAGED
        if isinstance(code, bytes):
            self._recent_code.put(digest, code, len(code))
        return code

    def _list(self, message: SendList) -> Iterator[Reply | Refused | None]:
        older, ended = list[TaskInfo](), list(message.taskids or ())
        for each in message.more:
            if each is None:
                yield None
            elif isinstance(each, TaskInfo):
                older.append(each)
            else:
                ended.append(each)
        live = (*reversed(older), *message.live)
        yield from self._list_all(
            message._replace(live=live, taskids=None if message.taskids is None else tuple(ended), more=())
        )

    def _list_all(self, message: SendList, tries: int = 3) -> Iterator[Reply | Refused | None]:
        """Yield the answer, with all live tasks in `message.live`, after a `None` for each part of the work."""
        n_cleared = self._store.usage.n_cleared
        try:
            yield from self._list_in_parts(message)
        except StoreError as error:
            if n_cleared == self._store.usage.n_cleared:
                yield _refuse_damaged(message.seq, error)
            elif tries:  # what it was about to read was cleared between two parts
                yield from self._list_all(message, tries - 1)
            else:
                yield from filter(None, self._list_all(message))  # in one part

    def _list_in_parts(self, message: SendList) -> Iterator[Reply | None]:
        """Yield `None` after each part of the work; at last the `limit` tasks with the highest ids that match."""
        live = [info.taskid for info in message.live]  # ascending
        known, finished = set(live), list[TaskInfo]()
        only_live = message.states is not None and set(message.states) <= set(UNFINISHED)
        for candidate in () if only_live else self._candidates(message):
            if candidate is None:
                yield None
                continue
            record, row = candidate
            taskid = record.ids[row]
            n_newer = len(finished) + len(live) - bisect(live, taskid)
            if n_newer >= message.limit and message.taskids is None:
                break  # the following ones are older still
            if taskid in known:
                continue  # it ended in this turn, after the request
            batch = self._store.batch_without_bodies(taskid)
            if not is_from(batch.origin, message.origin):
                continue
            info = _finished_info(record, row, batch, self._failure_of(record, row))
            if _passes(info, message):
                finished.append(info)
        found = sorted((*finished, *message.live), key=operator.attrgetter("taskid"))[-message.limit :]
        yield Reply(message.seq, found)

    def _candidates(self, message: SendList) -> Iterator[tuple[Ended, int] | None]:
        """Yield the ends of the requested tasks, in any order; without a request, those with the highest ids first.

        After each part of the work it yields `None`.
        """
        n_rows, n_bytes, last = 0, 0, None
        for record, row in self._ends_for(message):
            n_rows += 1
            if record is not last:
                last, n_rows, n_bytes = record, n_rows + _ROWS_OF_RECORD, n_bytes + _bytes_for_list(record)
            if n_rows >= _ROWS_OF_PART or n_bytes >= _BYTES_OF_PART:
                n_rows = n_bytes = 0
                yield None
            if self._is_known(record.ids[row]):  # a cleared task stays in a record that others share
                yield record, row

    def _ends_for(self, message: SendList) -> Iterator[tuple[Ended, int]]:
        if message.taskids is None:
            return islice(self._store.ended_by_id(), MAX_SCANNED)
        return ((record, row) for record, rows in self._store.find_ended(message.taskids) for row in rows)

    def _newest_ended(self) -> Iterator[tuple[Ended, int]]:
        """Yield the newest finished tasks for a snapshot; fewer if they are in many records or have large results."""
        left, n_bytes = N_FINISHED, 0
        for n_read, record in enumerate(self._store.newest_ended(), start=1):
            for row in reversed(range(len(record.ids))):
                if left and self._is_known(record.ids[row]):
                    left -= 1
                    yield record, row
            n_bytes += bytes_outside_files(record.values)
            if not left or n_read >= 2 * N_FINISHED or n_bytes > _MAX_READ:
                return


def _bytes_for_list(record: Ended) -> int:
    """Return the bytes that a list reads: those of the record itself, and of failures also what stands in files."""
    rows = zip(record.values, record.reasons, strict=True)
    return sum(size_of(value) for value, reason in rows if reason or isinstance(value, bytes))


def _finished_info(record: Ended, row: int, batch: Submitted, failure: Failure | None) -> TaskInfo:
    """Return a finished task as lists show it."""
    taskid, reason = record.ids[row], record.reasons[row]
    return TaskInfo(
        taskid=taskid,
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
        cell=batch.origin.cell,
        message=failure.summary if failure is not None else "",
        retry_of=batch.retry_of[taskid - batch.first] if batch.retry_of else None,
    )


def _refuse_damaged(seq: int, error: StoreError) -> Refused:
    logger.error("a request is refused: %s", error)
    return Refused(seq, ErrorKind.STORE, error.message, error.hint)


def _damaged_end(taskid: int, error: StoreError) -> Ended:
    text = f"task {taskid} has ended, but {error.message}"
    return failed_unseen((taskid,), Failure(Reason.ERROR, text, type_name="StoreError"))


def _cleared_just_now(seq: int, *taskids: int) -> Refused:
    which = f"task {taskids[0]} was" if len(taskids) == 1 else f"tasks {list_ids(taskids)} were"
    text = f"{which} cleared just now"
    return Refused(seq, ErrorKind.UNKNOWN_TASK, text, value={"taskids": list(taskids)})


def _passes(info: TaskInfo, message: SendList) -> bool:
    return (
        info.taskid not in message.left_out
        and (message.states is None or info.state in message.states)
        and (message.name is None or info.name == message.name)
        and (message.owner is None or is_called(info.owner, message.owner))
    )
