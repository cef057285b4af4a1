"""The meaning of each record: the change that it makes to the state.

The scheduler applies a record when it writes it; a restart applies all of them again. So the store alone rebuilds the
state, since nothing else changes a task durably.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import assert_never

from taskfc_ext.core.journal import baseline
from taskfc_ext.core.state.broadcast import KeptBroadcast
from taskfc_ext.core.state.codes import code_of
from taskfc_ext.core.state.farm import AGED_CODE, NO_ROOM_CODE, Farm
from taskfc_ext.core.state.task import Batch, Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.client_messages import Accepted, Define, Ended, ErrorKind, Refused, Reply
from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.protocol.payloads import size_of
from taskfc_ext.protocol.records import (
    AbortAsked,
    AbortsAsked,
    Baseline,
    Began,
    BroadcastDeath,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    Dropped,
    Expired,
    Held,
    Leased,
    Moved,
    Record,
    Requeued,
    Retried,
    StopAsked,
    Submitted,
    Why,
)
from taskfc_ext.protocol.states import State


def apply(farm: Farm, record: Record) -> list[Task]:
    """Apply `record` to `farm`; return the tasks that became ready to run."""
    farm.n_records += 1
    match record:
        case Submitted():
            return _apply_submitted(farm, record)
        case Leased():
            _apply_leased(farm, record)
        case Ended():
            return _apply_ended(farm, record)
        case Requeued():
            return _apply_requeued(farm, record)
        case AbortAsked():
            farm.tasks[record.taskid].past().aborting = True
            farm.session(record.session).remember(Reply(record.seq, True))
        case AbortsAsked():
            for taskid in record.ids:
                farm.tasks[taskid].past().aborting = True
            farm.session(record.session).remember(Reply(record.seq, list(record.left)))
        case Cleared():
            _apply_cleared(farm, record)
        case Expired():
            farm.forget(record.ids(), NO_ROOM_CODE if record.for_room else AGED_CODE)
            farm.codes.clear_tasks(record.ids())
        case Held():
            _apply_held(farm, record)
        case Moved():
            _apply_moved(farm, record)
        case Retried():
            farm.retried.update(record.pairs)
            farm.session(record.session).remember(Reply(record.seq, [list(pair) for pair in record.pairs]))
        case Broadcasted():
            farm.broadcasts[record.number] = KeptBroadcast(record)
            farm.codes.add_needs(code_of(record))
            farm.next_broadcast = record.number + 1
            farm.session(record.session).remember(Reply(record.seq, record.number))
        case BroadcastDeath():
            if record.number in farm.broadcasts:
                farm.broadcasts[record.number].deaths += 1
        case BroadcastsCleared():
            farm.session(record.session).remember(Reply(record.seq, len(farm.broadcasts)))
            for kept in farm.broadcasts.values():
                farm.codes.remove_needs(code_of(kept.record))
            farm.broadcasts.clear()
        case Define():
            farm.codes.sizes[record.digest] = size_of(record.body)
        case Dropped():
            farm.codes.drop(record.digests)
            for digest in record.digests:
                farm.mean_seconds.pop(digest, None)
        case Baseline():
            baseline.apply(farm, record)
        case Began():
            farm.incarnation = record.incarnation
            if record.incarnation == 1:
                farm.began = record.wall
            farm.stop_asked = False
        case StopAsked():
            farm.stop_asked = True
        case _:
            assert_never(record)
    return []


def restore(farm: Farm, records: Iterable[Record]) -> None:
    """Rebuild `farm` from its store. Leases stay valid, since their workers may be alive and report again."""
    for record in records:
        apply(farm, record)
    farm.n_ended = 0
    farm.cascade_failed.clear()  # their ends are in the store as well
    farm.codes.release_idle(farm.codes.sizes)  # no client is connected
    # the order of the queue is not stored: the task accepted first goes first
    farm.enqueue(task for task in farm.tasks.values() if farm.is_queued(task.taskid))


def _apply_submitted(farm: Farm, record: Submitted) -> list[Task]:
    batch = Batch(
        first=record.first,
        n=len(record.bodies),
        session=record.session,
        owner=record.owner,
        submitted=record.wall,
        spec=farm.same_spec(record.spec),
        name=record.name,
        after=record.after,
        after_any=record.after_any,
        inputs=record.inputs,
        retry_of=record.retry_of,
        origin=record.origin,
        recovery_share=record.spec.recovery_bytes // len(record.bodies),
    )
    unmet = {parent for parent in (*record.after, *record.inputs) if parent in farm.tasks}
    state = State.WAITING if unmet else State.SCHEDULED
    tasks = [Task(taskid, batch, body, state) for taskid, body in enumerate(record.bodies, start=record.first)]
    farm.add(tasks)
    farm.quotas.add(batch, record.bodies)
    if unmet:
        for task in tasks:
            task.past().unmet = unmet  # shared by the batch: one set for each task would take n x m entries
    for parent in unmet:
        farm.children.setdefault(parent, []).append(range(record.first, record.first + len(tasks)))
    farm.codes.add_tasks(record.first, len(tasks), record.spec)
    if record.name is not None:
        farm.names[record.name] = tasks[-1].taskid
    # the answer to a `Retry` comes with its `Retried`
    farm.session(record.session).remember(Accepted(record.seq, record.first))
    return [] if unmet else tasks


def _apply_leased(farm: Farm, record: Leased) -> None:
    if record.worker not in farm.workers:
        farm.workers[record.worker] = Worker(record.worker)
    tasks = [farm.tasks[taskid] for taskid in record.ids]
    farm.lease(tasks, record.first_lease, record.worker, record.gpus)
    for task in tasks:
        task.attempts += 1


def _apply_ended(farm: Farm, record: Ended) -> list[Task]:
    farm.quotas.remove([farm.tasks[taskid] for taskid in record.ids])
    farm.finish(record.ids, record.reasons)
    if not farm.children:
        return []
    ready = []
    for taskid, reason in zip(record.ids, record.reasons, strict=True):
        for childid in chain.from_iterable(farm.children.pop(taskid, ())):
            child = farm.tasks.get(childid)
            if child is None:
                continue  # it was aborted, or has failed because of another dependency
            if reason and (not child.batch.after_any or taskid in child.batch.inputs):
                farm.cascade_failed.append((childid, taskid))  # `Endings.settle` ends it, in the same transaction
                continue
            unmet = child.past().unmet
            unmet.discard(taskid)
            if not unmet:
                ready.append(child)
    farm.transition(ready, State.SCHEDULED)
    return ready


def _apply_cleared(farm: Farm, record: Cleared) -> None:
    """Forget the tasks of `record`; the records before it say which of its ids are unknown."""
    unknown = [taskid for taskid in record.ids if not farm.knows(taskid)]
    n_cleared = len(record.ids) - len(unknown)
    known = [taskid for taskid in record.ids if farm.knows(taskid)]
    farm.forget(known)
    farm.codes.clear_tasks(known)
    answer: Reply | Refused = Reply(record.seq, n_cleared)
    if unknown:
        others = f"the {n_cleared} others were cleared" if n_cleared else "nothing was cleared"
        text = f"unknown task ids: {list_ids(unknown, at_most=10)}; {others}"
        value = {"taskids": unknown, "n_cleared": n_cleared}
        answer = Refused(record.seq, ErrorKind.UNKNOWN_TASKS, text, value=value)
    farm.session(record.session).remember(answer)


def _apply_held(farm: Farm, record: Held) -> None:
    """Hold or release the tasks of `record` that have no lease; the records before it say which these are."""
    live = [taskid for taskid in dict.fromkeys(record.ids) if taskid in farm.tasks]
    leased = [taskid for taskid in live if farm.tasks[taskid].lease]
    free = [taskid for taskid in live if not farm.tasks[taskid].lease]
    if record.held:
        farm.held.update(free)
    else:
        farm.held.difference_update(free)
    answer = _refuse_ended(farm, record, "held" if record.held else "released", len(free))
    farm.session(record.session).remember(answer or Reply(record.seq, leased))


def _apply_moved(farm: Farm, record: Moved) -> None:
    live = [taskid for taskid in dict.fromkeys(record.ids) if taskid in farm.tasks]
    for taskid in live:
        if record.priority == farm.tasks[taskid].batch.spec.priority:
            farm.moved.pop(taskid, None)
        else:
            farm.moved[taskid] = record.priority
    answer = _refuse_ended(farm, record, "moved", len(live))
    farm.session(record.session).remember(answer or Reply(record.seq))


def _refuse_ended(farm: Farm, record: Held | Moved, done: str, n_done: int) -> Refused | None:
    """Return the refusal that names the ids of `record` that have ended or never existed, or `None`."""
    wrong = [taskid for taskid in dict.fromkeys(record.ids) if taskid not in farm.tasks]
    if not wrong:
        return None
    others = f"{n_done} {'other' if n_done == 1 else 'others'} {done}" if n_done else f"nothing was {done}"
    text = f"not among the unfinished tasks: {list_ids(wrong, at_most=10)}; {others}"
    return Refused(record.seq, ErrorKind.UNKNOWN_TASKS, text, value={"taskids": wrong})


def _apply_requeued(farm: Farm, record: Requeued) -> list[Task]:
    tasks = [farm.tasks[taskid] for taskid in record.ids]
    for task in tasks:
        worker = task.worker
        farm.release((task,))
        if task.state is State.RUNNING:
            farm.transition((task,), State.SCHEDULED)
        match record.why:
            case Why.RETURNED | Why.REFUSED:
                task.attempts -= 1  # it has not run
            case Why.RETRY:
                past = task.past()
                past.retries += 1
                past.avoid = worker
            case Why.DEATH:
                task.past().deaths += 1
            case Why.PLACE_LOST:
                task.past().place_losses += 1
            case Why.RECOVERY:
                past = task.past()
                past.recovering = True
                past.retries = past.deaths = past.place_losses = 0
                farm.refusals.offer_to_all(task.taskid)
            case _:
                assert_never(record.why)
        if record.why is not Why.REFUSED and task.history is not None:
            task.history.output = ()
            task.history.displays = ()
            task.history.displays_version = ""
    return tasks
