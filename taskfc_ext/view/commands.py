"""Carrying out the commands of a view: each becomes requests to the controller, and their answers a sentence.

The widget in the kernel and the Jupyter server share this module; they differ in the way they send requests.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol, assert_never

import msgspec

from taskfc_ext.errors import ControllerUnavailable, TaskFCError, UnknownTask, UnknownTasks
from taskfc_ext.protocol import client_messages as requests
from taskfc_ext.protocol.batches import chunks
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_IDS
from taskfc_ext.protocol.states import State
from taskfc_ext.text import as_sentence, one_line, plural, sentence
from taskfc_ext.view.messages import (
    Abort,
    Clear,
    Command,
    CommandAnswer,
    Hold,
    Move,
    Release,
    Retry,
    RetryFailed,
    Scale,
    Stop,
)
from taskfc_ext.view.wording import (
    HELD,
    KEPT,
    RELEASED,
    describe_abort,
    describe_clear,
    describe_retry,
    describe_scale,
    describe_steering,
    move_text,
)

Steered = Abort | Retry | Hold | Release | Move | Clear | RetryFailed | Scale | Stop
"""The commands that a controller carries out: all but `Start`, which is for a farm without one."""


class Ask(Protocol):
    """Sends a request and returns the plain data of its answer, as `Subscriber.ask` does."""

    async def __call__(self, kind: type[requests.Request], **fields: Any) -> Any:
        """Send a request of this kind.

        Raises:
            TaskFCError: it was refused, or the controller does not answer.
        """
        ...


async def carry_out(command: Steered, ask: Ask) -> CommandAnswer:
    """Carry out `command` as far as possible; the answer reports the rest, nothing is raised."""
    try:
        match command:
            case Abort(taskids=taskids):
                return await _abort(taskids, ask)
            case Retry(taskids=taskids):
                return await _retry(taskids, ask)
            case RetryFailed():
                found = await ask(requests.ListTasks, states=("failed",), not_retried=True, limit=MAX_IDS)
                failed = tuple(info.taskid for info in msgspec.convert(found, list[TaskInfo]))
                if not failed:
                    return CommandAnswer(ok=True, said="There are no failed tasks to retry.")
                return await _retry(failed, ask)
            case Hold(taskids=taskids):
                return await _hold(taskids, ask)
            case Release(taskids=taskids):
                return await _steer(taskids, ask, RELEASED, requests.Hold, held=False)
            case Move(taskids=taskids, priority=priority):
                return await _steer(taskids, ask, move_text(priority), requests.Move, priority=priority)
            case Clear(taskids=taskids):
                return await _clear(taskids, ask)
            case Scale(n=n):
                return CommandAnswer(ok=True, said=as_sentence(describe_scale(int(await ask(requests.Scale, n=n)), n)))
            case Stop():
                return await _stop(ask)
            case _:
                assert_never(command)
    except (TaskFCError, TypeError) as error:  # the controller may refuse the type of a field
        return CommandAnswer(ok=False, said=sentence(error))


def explain_mismatch(command: Command, farm: str, identity: str) -> str:
    """Return a sentence if `command` was meant for other processes than those of `identity`; else nothing."""
    if command.identity in ("", identity):
        return ""
    return f"Farm {farm} was restarted or has ended since this was requested: check its queue and repeat the command."


# several requests, each for some of the tasks


async def _abort(taskids: Sequence[int], ask: Ask) -> CommandAnswer:
    wanted = list(dict.fromkeys(taskids))
    running = await _find_running(wanted, ask)
    if len(wanted) == 1:
        try:
            await ask(requests.Abort, taskid=wanted[0])
        except UnknownTask as error:
            return CommandAnswer(ok=False, said=sentence(error))
        return CommandAnswer(ok=True, said=describe_abort(wanted, running))
    aborted: list[int] = []
    late: list[int] = []
    for some in chunks(wanted, MAX_BATCH):
        try:
            left = set(await ask(requests.AbortTasks, taskids=some))
        except TaskFCError as error:
            return _broken_off("Aborted", aborted, len(wanted), error)
        aborted += [taskid for taskid in some if taskid not in left]
        late += [taskid for taskid in some if taskid in left]
    return CommandAnswer(ok=bool(aborted), said=describe_abort(aborted, running, late))


async def _find_running(taskids: Sequence[int], ask: Ask) -> Collection[int]:
    """Return the tasks that run, as `find_running` does; all where none are listed: the abort is tried anyway."""
    try:
        found = await ask(requests.ListTasks, taskids=tuple(taskids), states=(State.RUNNING,), limit=MAX_IDS)
    except TaskFCError:
        return taskids
    return {info.taskid for info in msgspec.convert(found, list[TaskInfo])}


async def _retry(taskids: Sequence[int], ask: Ask) -> CommandAnswer:
    again: dict[int, int] = {}
    asked: list[int] = []
    refused: list[Exception] = []
    wanted = sorted(set(taskids))
    for taskid in wanted:  # in order: a retry brings the failed dependants, whose ids are larger
        if taskid in again:
            asked.append(taskid)
            continue
        try:
            pairs = await ask(requests.Retry, taskid=taskid)
        except ControllerUnavailable as error:
            return _broken_off("Retried", asked, len(wanted), error, tuple(again.items()))
        except TaskFCError as error:
            refused.append(error)
        else:
            again.update((old, new) for old, new in pairs)
            asked.append(taskid)
    if not asked:
        text = sentence(refused[0]) if len(refused) == 1 else as_sentence(f"nothing was done{_count_refused(refused)}")
        return CommandAnswer(ok=False, said=text)
    text = describe_retry(asked, again).removesuffix(".") + _count_refused(refused)
    return CommandAnswer(ok=True, said=as_sentence(text), retried=tuple(again.items()))


def _count_refused(refused: Sequence[Exception]) -> str:
    """Return the end of a sentence about tasks that cannot run again: the reason of one, the number of several."""
    if not refused:
        return ""
    if len(refused) == 1:
        return f"; {one_line(getattr(refused[0], 'message', refused[0]))}"
    return f"; {plural(len(refused), 'task')} cannot run again"


def _broken_off(
    verb: str, done: Sequence[int], n: int, error: TaskFCError, retried: tuple[tuple[int, int], ...] = ()
) -> CommandAnswer:
    text = sentence(error)
    if done:
        text = f"{verb} {len(done):,} of {plural(n, 'task')}, then: {text}"
    return CommandAnswer(ok=False, said=text, retried=retried)


# one request for all tasks


async def _steer(
    taskids: Sequence[int], ask: Ask, verb: str, kind: type[requests.Hold | requests.Move], **fields: Any
) -> CommandAnswer:
    wanted = tuple(dict.fromkeys(taskids))
    try:
        await ask(kind, taskids=wanted, **fields)
        ended: tuple[int, ...] = ()
    except UnknownTasks as error:
        ended = error.taskids
    return _steering_answer(verb, wanted, ended)


async def _hold(taskids: Sequence[int], ask: Ask) -> CommandAnswer:
    wanted = tuple(dict.fromkeys(taskids))
    ended: tuple[int, ...] = ()
    try:
        given = await ask(requests.Hold, taskids=wanted)
    except UnknownTasks as error:
        ended = error.taskids
        left = tuple(taskid for taskid in wanted if taskid not in set(ended))
        # the refusal does not name the tasks that a worker has; holding the others again changes nothing
        given = await ask(requests.Hold, taskids=left) if left else ()
    return _steering_answer(HELD, wanted, ended, given)


def _steering_answer(
    verb: str, wanted: Sequence[int], ended: Sequence[int], given: Sequence[int] = ()
) -> CommandAnswer:
    left = {*ended, *given}
    done = [taskid for taskid in wanted if taskid not in left]
    return CommandAnswer(ok=bool(done), said=describe_steering(verb, done, ended=ended, given=given))


async def _clear(taskids: Sequence[int] | None, ask: Ask) -> CommandAnswer:
    if taskids is None:
        return CommandAnswer(ok=True, said=describe_clear(int(await ask(requests.Clear))))
    wanted = tuple(dict.fromkeys(taskids))
    unknown: tuple[int, ...] = ()
    try:
        n_cleared = int(await ask(requests.Clear, taskids=wanted))
    except UnknownTasks as error:
        n_cleared, unknown = error.n_cleared, error.taskids
    n_kept = len(wanted) - n_cleared - len(unknown)
    return CommandAnswer(ok=bool(n_cleared), said=describe_clear(n_cleared, unknown=unknown, n_kept=n_kept))


# the farm


async def _stop(ask: Ask) -> CommandAnswer:
    await ask(requests.Stop)
    return CommandAnswer(ok=True, said=f"The farm stops; {KEPT}, unless that is in memory.")
