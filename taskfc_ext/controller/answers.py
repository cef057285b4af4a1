"""Completing what the core sends with what only the store has: values, finished tasks, code."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import assert_never

import msgspec

from taskfc_ext.core.effects import SendCode, SendEnded, SendList, SendLog, SendOutputs, SendRun
from taskfc_ext.core.endings import rows_of
from taskfc_ext.core.requests import outputs_answer
from taskfc_ext.core.task_state import LIVE, end_state
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol.client_messages import Ended, Reply, TaskInfo
from taskfc_ext.protocol.payloads import Payload, decode_failure
from taskfc_ext.protocol.worker_messages import Code, Run

LOOK_BACK = 20_000
"""Finished tasks that a filtered list looks through, newest first, so that one question cannot stop the farm."""

_SMALL = 2**20
"""Bytes of a code that is kept in memory, for the next worker that needs it."""

_N_SMALL = 64

_FINAL = "final"  # the version of what a finished task shows


class Answers:
    """Reads the store on behalf of the core, after the commit.

    Args:
        store: what was committed.
        is_known: whether there is such a task, and it was not cleared.
    """

    def __init__(self, store: Store, is_known: Callable[[int], bool]) -> None:
        self._store = store
        self._is_known = is_known
        self._small_code: OrderedDict[bytes, Payload] = OrderedDict()

    def complete_for_worker(self, message: SendCode | SendRun) -> Code | Run:
        """Return `message` with its code or its inputs."""
        match message:
            case SendCode(digest):
                return Code(digest, self._code(digest))
            case SendRun(run, inputs):
                values = self._values(inputs)
                # One is missing only if the task has ended and it was cleared in this very turn: nobody runs this.
                return msgspec.structs.replace(run, inputs=tuple(values.get(taskid, b"") for taskid in inputs))
            case _:
                assert_never(message)

    def complete_for_client(self, message: SendEnded | SendList | SendLog | SendOutputs) -> list[Ended | Reply]:
        """Return the messages that `message` stands for."""
        match message:
            case SendEnded(ids):
                return [rows_of(record, rows) for record, rows in self._store.ended(ids)]
            case SendList():
                return [Reply(message.seq, self._list(message))]
            case SendLog(seq, taskid):
                texts = (record.outputs.get(taskid, ()) for record, _ in self._store.ended([taskid]))
                return [Reply(seq, next(texts, ()))]
            case SendOutputs(seq, taskid, known):
                shown = (record.displays.get(taskid, ()) for record, _ in self._store.ended([taskid]))
                return [Reply(seq, outputs_answer(next(shown, ()), _FINAL, known))]
            case _:
                assert_never(message)

    def _values(self, taskids: tuple[int, ...]) -> dict[int, Payload]:
        return {record.ids[row]: record.values[row] for record, rows in self._store.ended(taskids) for row in rows}

    def _code(self, digest: bytes) -> Payload:
        code = self._small_code.get(digest)
        if code is None:
            code = self._store.code(digest)
            if isinstance(code, bytes) and len(code) <= _SMALL:
                self._small_code[digest] = code
                if len(self._small_code) > _N_SMALL:
                    self._small_code.popitem(last=False)
        return code

    def _list(self, message: SendList) -> list[TaskInfo]:
        finished: list[TaskInfo] = []
        only_live = message.states is not None and set(message.states) <= {state.value for state in LIVE}
        if not only_live:
            room = message.limit - len(message.live)
            for record, row in self._candidates(message):
                if len(finished) >= room:
                    break
                info = self._finished_info(record, row)
                if _passes(info, message):
                    finished.append(info)
        return sorted((*finished, *message.live), key=operator.attrgetter("taskid"))

    def _candidates(self, message: SendList) -> Iterator[tuple[Ended, int]]:
        if message.taskids is not None:
            for record, rows in self._store.ended(message.taskids):
                for row in rows:
                    if self._is_known(record.ids[row]):
                        yield record, row
            return
        n = 0
        for record in self._store.newest_ended():
            for row in reversed(range(len(record.ids))):
                if self._is_known(record.ids[row]):  # a cleared one stands there for as long as others share its record
                    yield record, row
            n += len(record.ids)
            if n > LOOK_BACK:
                return

    def _finished_info(self, record: Ended, row: int) -> TaskInfo:
        batch = self._store.batch_of(record.ids[row])
        reason = record.reasons[row]
        value = record.values[row]
        message = decode_failure(value).message if reason and isinstance(value, bytes) and value else ""
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
        )


def _passes(info: TaskInfo, message: SendList) -> bool:
    return (
        (message.states is None or info.state in message.states)
        and (message.name is None or info.name == message.name)
        and (message.owner is None or info.owner == message.owner)
    )
