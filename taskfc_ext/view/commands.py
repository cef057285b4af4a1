"""What a view can have done: a command becomes requests to the controller, and their answers a line for people.

The widget in the kernel and the Jupyter server both do it like this; they differ in how they ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, assert_never

import msgspec

from taskfc_ext.errors import ControllerUnavailable, TaskFCError, UnknownTask, UnknownTasks
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.ids import MAX_BATCH, MAX_IDS
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.states import UNFINISHED
from taskfc_ext.text import one_line, plural, sentence
from taskfc_ext.view.messages import (
    Abort,
    AnyCommand,
    Clear,
    CommandAnswer,
    Hold,
    Move,
    Release,
    Retry,
    RetryFailed,
    Scale,
    Stop,
)

Steered = Abort | Retry | Hold | Release | Move | Clear | RetryFailed | Scale | Stop
"""The commands that a controller carries out. Only `Start` is not among them: it needs one that is not there."""


class Ask(Protocol):
    """Sends a request and returns the plain data of its answer, as `Subscriber.ask` does."""

    async def __call__(self, kind: type[said.Request], **fields: Any) -> Any:
        """Ask.

        Raises:
            TaskFCError: it was refused, or nobody answers.
        """
        ...


async def carry_out(command: Steered, ask: Ask) -> CommandAnswer:
    """Have `command` done as far as it can be; what could not be done is said, never raised."""
    try:
        match command:
            case Abort(taskids=taskids):
                return await _abort(taskids, ask)
            case Retry(taskids=taskids):
                return await _retry(taskids, ask)
            case RetryFailed():
                found = await ask(said.ListTasks, states=("failed",), not_retried=True, limit=MAX_IDS)
                failed = tuple(info.taskid for info in msgspec.convert(found, list[TaskInfo]))
                if not failed:
                    return CommandAnswer(ok=True, said="There is no failed task that has not run again.")
                return await _retry(failed, ask)
            case Hold(taskids=taskids):
                return await _hold(taskids, ask)
            case Release(taskids=taskids):
                return await _steer(taskids, ask, "Released", said.Hold, held=False)
            case Move(taskids=taskids, priority=priority):
                moved = f"Gave priority {priority} to"
                return await _steer(taskids, ask, moved, said.Move, priority=priority)
            case Clear(taskids=taskids):
                return await _clear(taskids, ask)
            case Scale(n=n):
                return _scaled(int(await ask(said.Scale, n=n)), n)
            case Stop():
                return await _stop(ask)
            case _:
                assert_never(command)
    except (TaskFCError, TypeError) as error:  # a controller may find the type of a field wrong
        return CommandAnswer(ok=False, said=sentence(error))


def why_not_meant(command: AnyCommand, farm: str, identity: str) -> str:
    """Return a sentence if `command` means other processes than those of `identity`, which may be none."""
    if command.identity in ("", identity):
        return ""
    return f"Farm {farm} has been started anew, or has ended, since this was asked for; look again."


def _with_stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _tasks(taskids: Sequence[int]) -> str:
    """Return how several tasks are called: `task 7`, `3 tasks`."""
    return f"task {taskids[0]}" if len(taskids) == 1 else plural(len(taskids), "task")


# several requests, each for some of the tasks


async def _abort(taskids: Sequence[int], ask: Ask) -> CommandAnswer:
    wanted = list(dict.fromkeys(taskids))
    if len(wanted) == 1:
        try:
            await ask(said.Abort, taskid=wanted[0])
        except UnknownTask as error:
            return CommandAnswer(ok=False, said=sentence(error))
        return CommandAnswer(ok=True, said=f"{await _aborted(wanted, ask)}.")
    aborted: list[int] = []
    late: list[int] = []
    for first in range(0, len(wanted), MAX_BATCH):
        some = wanted[first : first + MAX_BATCH]
        try:
            left = set(await ask(said.AbortTasks, taskids=tuple(some)))
        except TaskFCError as error:
            return _broken_off("Aborted", aborted, len(wanted), error)
        aborted += [taskid for taskid in some if taskid not in left]
        late += [taskid for taskid in some if taskid in left]
    why = f"{_tasks(late)} had ended before, or {'was' if len(late) == 1 else 'were'} being aborted"
    if not aborted:
        return CommandAnswer(ok=False, said=f"Nothing was done: {why}.")
    return CommandAnswer(ok=True, said=f"{await _aborted(aborted, ask)}{'; ' + why if late else ''}.")


async def _aborted(taskids: Sequence[int], ask: Ask) -> str:
    """Return what has become of tasks whose abort was accepted: those that a worker has are stopping, for a while."""
    try:
        found = await ask(said.ListTasks, taskids=tuple(taskids), states=UNFINISHED, limit=MAX_IDS)
    except TaskFCError:  # the aborts hold all the same
        return f"Told {_tasks(taskids)} to stop"
    stopping = [info.taskid for info in msgspec.convert(found, list[TaskInfo])]
    ended = sorted({*taskids}.difference(stopping))
    parts = [f"aborted {_tasks(ended)}"] if ended else []
    if stopping:
        parts.append(f"told {_tasks(stopping)} to stop")
    return "; ".join(parts).capitalize()


async def _retry(taskids: Sequence[int], ask: Ask) -> CommandAnswer:
    again: dict[int, int] = {}
    asked: list[int] = []
    refused: list[Exception] = []
    wanted = sorted(set(taskids))
    for taskid in wanted:  # one after the other: what depends on a task comes along, and has a larger id
        if taskid in again:
            asked.append(taskid)
            continue
        try:
            pairs = await ask(said.Retry, taskid=taskid)
        except ControllerUnavailable as error:
            return _broken_off("Ran again", asked, len(wanted), error, tuple(again.items()))
        except TaskFCError as error:
            refused.append(error)
        else:
            again.update((old, new) for old, new in pairs)
            asked.append(taskid)
    answer = _done("Ran again", asked, refused, "cannot run again")
    if asked:
        more = len(again) - len(asked)
        along = f", with {plural(more, 'task')} that had failed because of {'it' if len(asked) == 1 else 'them'}"
        new = f" as task {again[asked[0]]}" if len(asked) == 1 else ""
        text = f"{_tasks(asked)} {'runs' if len(asked) == 1 else 'run'} again{new}{along if more else ''}"
        text = text[0].upper() + text[1:] + _missed(refused, "cannot run again")
        answer = CommandAnswer(ok=True, said=_with_stop(text), retried=tuple(again.items()))
    return answer


def _done(verb: str, done: Sequence[int], refused: Sequence[Exception], what: str) -> CommandAnswer:
    if not done and len(refused) == 1:
        return CommandAnswer(ok=False, said=sentence(refused[0]))
    if not done:
        return CommandAnswer(ok=False, said=f"Nothing was done: {plural(len(refused), 'task')} {what}.")
    return CommandAnswer(ok=True, said=_with_stop(f"{verb} {_tasks(done)}{_missed(refused, what)}"))


def _missed(refused: Sequence[Exception], what: str) -> str:
    if not refused:
        return ""
    if len(refused) == 1:
        return f"; {one_line(getattr(refused[0], 'message', refused[0]))}"
    return f"; {len(refused):,} {what}"


def _broken_off(
    verb: str, done: Sequence[int], n: int, error: TaskFCError, retried: tuple[tuple[int, int], ...] = ()
) -> CommandAnswer:
    text = sentence(error)
    if done:
        text = f"{verb} {len(done):,} of {plural(n, 'task')}, then: {text}"
    return CommandAnswer(ok=False, said=text, retried=retried)


# one request for all tasks


async def _steer(
    taskids: Sequence[int], ask: Ask, verb: str, kind: type[said.Hold | said.Move], **fields: Any
) -> CommandAnswer:
    wanted = tuple(dict.fromkeys(taskids))
    try:
        await ask(kind, taskids=wanted, **fields)
        ended: tuple[int, ...] = ()
    except UnknownTasks as error:
        ended = error.taskids
    return _steered(verb, wanted, ended, ())


async def _hold(taskids: Sequence[int], ask: Ask) -> CommandAnswer:
    wanted = tuple(dict.fromkeys(taskids))
    ended: tuple[int, ...] = ()
    try:
        given = await ask(said.Hold, taskids=wanted)
    except UnknownTasks as error:
        ended = error.taskids
        left = tuple(taskid for taskid in wanted if taskid not in set(ended))
        # a refusal does not say which of the others a worker has, and holding them once more changes nothing
        given = await ask(said.Hold, taskids=left) if left else ()
    return _steered("Held", wanted, ended, given)


def _steered(verb: str, wanted: Sequence[int], ended: Sequence[int], given: Sequence[int]) -> CommandAnswer:
    left = {*ended, *given}
    done = [taskid for taskid in wanted if taskid not in left]
    reasons = []
    if given:
        where, them = ("is", "it") if len(given) == 1 else ("are", "them")
        reasons.append(f"{_tasks(given)} {where} with a worker already (abort {them} instead)")
    if ended:
        reasons.append(f"{_tasks(ended)} had ended before")
    if not done:
        text = "; ".join(reasons)
        return CommandAnswer(ok=False, said=_with_stop(text[:1].upper() + text[1:]))
    return CommandAnswer(ok=True, said=_with_stop("; ".join((f"{verb} {_tasks(done)}", *reasons))))


async def _clear(taskids: Sequence[int] | None, ask: Ask) -> CommandAnswer:
    if taskids is None:
        return CommandAnswer(ok=True, said=f"Cleared {plural(int(await ask(said.Clear)), 'finished task')}.")
    wanted = tuple(dict.fromkeys(taskids))
    unknown: tuple[int, ...] = ()
    try:
        n_cleared = int(await ask(said.Clear, taskids=wanted))
    except UnknownTasks as error:
        n_cleared, unknown = error.n_cleared, error.taskids
    text = f"Cleared {plural(n_cleared, 'finished task')}"
    if unknown:
        text += f"; {_tasks(unknown)} had been cleared before"
    kept = len(wanted) - n_cleared - len(unknown)
    if kept:
        text += f"; {plural(kept, 'task')} stayed, as unfinished ones do and those whose results unfinished ones take"
    return CommandAnswer(ok=bool(n_cleared), said=_with_stop(text))


# the farm


def _scaled(before: int, n: int) -> CommandAnswer:
    if before == n:
        return CommandAnswer(ok=True, said=f"The farm has {plural(n, 'worker')} already.")
    busy = " Those that are too many end when they are idle." if n < before else ""
    return CommandAnswer(ok=True, said=f"{plural(n, 'worker')} from now on; there were {before:,}.{busy}")


async def _stop(ask: Ask) -> CommandAnswer:
    await ask(said.Stop)
    return CommandAnswer(ok=True, said="The farm stops; unfinished work waits in its store.")
