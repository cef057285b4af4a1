"""Handlers of `Retry`: finished tasks run again as new tasks, with the tasks that failed because of them.

Only the store has the submission of a finished task. So a `Retry` takes two steps: `on_retry` asks for the records, and
`on_recalled` decides with them. Both happen in one turn of the controller, with a commit in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from taskfc_ext.core.effects import Recall, Step
from taskfc_ext.core.events import Now, Recalled
from taskfc_ext.core.handlers import no_room
from taskfc_ext.core.handlers.gone import refuse_gone
from taskfc_ext.core.journal.endings import commit, commit_code, commit_submitted, fail_if_parent_failed
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.reasons import refusal_of
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.protocol.client_messages import Define, ErrorKind, Refused, Retry
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.payloads import Reason
from taskfc_ext.protocol.records import Retried
from taskfc_ext.protocol.spec import Origin, Spec


def on_retry(farm: Farm, step: Step, client: ClientSession, message: Retry) -> Refused | None:
    """Read the task, and the tasks that may have failed because of it, from the store; or refuse.

    Of a dependant that was retried itself, only the newest retry runs again. The roots are the task and its retries,
    since a task that failed because of one of them failed because of the task.
    """
    refusal = _refusal(farm, message)
    if refusal is None:
        candidates = farm.ids_ended_for(Reason.DEPENDENCY, message.taskid + 1)
        dependants = tuple(taskid for taskid in candidates if taskid not in farm.retried)
        roots = message.taskid, *_retries(farm, message.taskid)
        step.sends.append(Recall(Session(client.session), message, roots, dependants))
    return refusal


def find_failed_because_of(roots: Iterable[int], failed_with: Mapping[int, int]) -> list[int]:
    """Return the tasks that failed because of `roots`, directly or through one another, in ascending order.

    Args:
        roots: the tasks to begin from.
        failed_with: task -> the dependency that it failed with.
    """
    fallen, found = set(roots), []
    for taskid in sorted(failed_with):  # a dependant has a larger id
        if failed_with[taskid] in fallen:
            fallen.add(taskid)
            found.append(taskid)
    return found


def on_recalled(farm: Farm, step: Step, event: Recalled, now: Now) -> None:
    """Submit the recalled tasks again, and answer the `Retry`."""
    client, seq = farm.sessions.get(event.session), event.request.seq
    if client is None or farm.stop_asked or seq < client.done_below:
        return
    place = len(step.sends)
    if seq not in client.answers:  # a repeat may have been recalled as well
        bodies = [batch.bodies[taskid - batch.first] for batch, taskids in event.batches for taskid in taskids]
        specs = [batch.spec for batch, _ in event.batches]
        refusal = no_room.refusal_of(farm, event.request) or farm.quotas.refusal(seq, event.session, bodies, specs)
        refusal = refusal or _refusal(farm, event.request) or _resubmit(farm, step, client, event, now)
        if refusal is not None:
            client.remember(refusal)
    step.to_client(client.session, client.answers[seq], place)


def _refusal(farm: Farm, message: Retry) -> Refused | None:
    taskid = message.taskid
    try:
        ended = farm.end_of(taskid)
    except KeyError:
        return refuse_gone(farm, message.seq, [taskid])
    if ended is not None:
        return None
    task = farm.tasks[taskid]
    text = f"{task.title} has not ended ({task.state}), so it cannot run again"
    return Refused(message.seq, ErrorKind.NOT_ALLOWED, text, "abort it first", {"taskids": [taskid]})


def _resubmit(farm: Farm, step: Step, client: ClientSession, event: Recalled, now: Now) -> Refused | None:
    seq, asked = event.request.seq, event.request.taskid
    new_id: dict[int, int] = {}
    replacements: dict[int, int] = {}  # dependency -> its replacement
    records = []
    commit_code(farm, step, _defines(event.request))
    for old, taskids in event.batches:
        inputs = tuple(_current_parent(farm, parent, replacements) for parent in old.inputs)
        lacking = [parent for parent in inputs if not farm.knows(parent)]
        if lacking and asked in taskids:
            farm.codes.release_idle(define.digest for define in _defines(event.request))
            return _refuse_without_input(seq, asked, lacking[0])
        # a task without its input could not run, nor could its dependants
        again = tuple(taskid for taskid in taskids if farm.knows(taskid) and not lacking)
        if asked in again and (never := refusal_of(farm, old.spec)):
            farm.codes.release_idle(define.digest for define in _defines(event.request))
            return Refused(seq, ErrorKind.RESOURCES, never)
        if not again or (asked not in taskids and not replacements.keys() & {*old.after, *old.inputs}):
            continue
        parents = (_current_parent(farm, parent, replacements) for parent in old.after)
        after = tuple(parent for parent in parents if farm.knows(parent))  # one that was cleared has ended
        spec = _adapt_spec(old.spec, event.request) if old.owner == client.owner else old.spec
        # with other modules or inputs it may have another result, which its key would stand for
        is_same = (spec, after, inputs) == (old.spec, old.after, old.inputs)
        record = msgspec.structs.replace(
            old,
            first=farm.next_id,
            session=client.session,
            seq=seq,
            wall=now.wall,
            spec=spec,
            origin=old.origin if is_same else Origin(old.origin.cell),
            bodies=tuple(old.bodies[taskid - old.first] for taskid in again),
            after=after,
            inputs=inputs,
            retry_of=again,
        )
        new = dict(zip(again, range(record.first, record.first + len(again)), strict=True))
        new_id |= new
        replacements |= new
        if asked in again:
            replacements |= dict.fromkeys(_retries(farm, asked), new[asked])
        records.append(record)
        commit_submitted(farm, step, record, now)
    commit(farm, step, Retried(tuple(new_id.items()), client.session, seq))
    for record in records:
        fail_if_parent_failed(farm, step, record, now)
    return None


def _defines(request: Retry) -> tuple[Define, ...]:
    """Return the code in `request`."""
    return () if request.context is None else (*request.modules, request.context)


def _adapt_spec(spec: Spec, request: Retry) -> Spec:
    """Return `spec` with the context and the modules of the client that asks."""
    if request.context is None:
        return spec
    recovery = spec.recovery
    if recovery is not None:
        recovery = msgspec.structs.replace(recovery, spec=_adapt_spec(recovery.spec, request))
    modules = tuple(define.digest for define in request.modules)
    return msgspec.structs.replace(spec, context=request.context.digest, modules=modules, recovery=recovery)


def _current_parent(farm: Farm, parent: int, replacements: Mapping[int, int]) -> int:
    """Return the task to depend on: the replacement of `parent`, or if it did not succeed, its newest retry."""
    succeeded = farm.knows(parent) and farm.end_of(parent) == ""
    if parent not in replacements and not succeeded:
        parent = max(_retries(farm, parent), default=parent)
    return replacements.get(parent, parent)


def _retries(farm: Farm, taskid: int) -> Iterator[int]:
    """Yield the newest retry of `taskid`, then the newest retry of that one, and so on."""
    while farm.knows(taskid := farm.retried.get(taskid, -1)):
        yield taskid


def _refuse_without_input(seq: int, taskid: int, parent: int) -> Refused:
    text = f"task {taskid} cannot run again: the result of task {parent}, which it takes, was cleared"
    return Refused(seq, ErrorKind.RESULT_EXPIRED, text, "submit it again", {"taskids": [parent]})
