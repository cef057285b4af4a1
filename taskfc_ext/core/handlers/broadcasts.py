"""Broadcasts: code that every worker runs before its tasks, including workers that join later.

A worker is sent each broadcast once, in order, and gets no task before it has reported them all. An error
in one is noted, and the worker goes on. A broadcast that `max_deaths` workers have died in is skipped.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from taskfc_ext.core.effects import Step
from taskfc_ext.core.handlers.dispatch import forget_dropped, send_code
from taskfc_ext.core.journal.endings import answer_request, commit, commit_code
from taskfc_ext.core.state.codes import code_of
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.client_messages import AwaitBroadcast, Broadcast, ClearBroadcasts, ErrorKind, Refused, Reply
from taskfc_ext.protocol.code_in_messages import code_in
from taskfc_ext.protocol.infos import BroadcastReport
from taskfc_ext.protocol.limits import MAX_BROADCASTS
from taskfc_ext.protocol.records import BroadcastDeath, Broadcasted, BroadcastsCleared
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from taskfc_ext.protocol.worker_messages import Prepare, SetUp


def on_broadcast(farm: Farm, step: Step, client: ClientSession, message: Broadcast) -> Refused | None:
    """Accept a broadcast and send it to all ready workers."""
    if len(farm.broadcasts) >= MAX_BROADCASTS:
        text = f"there are {MAX_BROADCASTS:,} broadcasts, the most that a farm keeps: every new worker runs them"
        return Refused(message.seq, ErrorKind.TOO_MUCH, text, "forget them with clear_broadcasts()")
    code, body = message.code, message.body
    assert isinstance(code, bytes)  # the endpoint has read their files
    assert isinstance(body, bytes)
    commit_code(farm, step, code_in(message))
    record = Broadcasted(
        number=farm.next_broadcast,
        session=client.session,
        seq=message.seq,
        kind=message.code_kind,
        label=message.label,
        code=code,
        body=body,
        context=None if message.context is None else message.context.digest,
        modules=tuple(define.digest for define in message.modules),
    )
    commit(farm, step, record)
    for worker in farm.workers.values():
        if worker.ready:
            _send(farm, step, worker, record.number)
    return None


def on_await(farm: Farm, client: ClientSession, message: AwaitBroadcast) -> Reply | None:
    """Answer if the broadcast is pending on no worker; otherwise note the wait for `answer_waits`.

    A client on a worker waits neither for this worker nor for workers whose tasks wait as well.
    """
    if not _is_open(farm, message.number, _waiting(farm, client)):
        return Reply(message.seq, report(farm, message.number))
    farm.broadcast_waits[client.session, message.seq] = message.number
    return None


def on_clear(farm: Farm, step: Step, client: ClientSession, message: ClearBroadcasts) -> None:
    """Clear all broadcasts. Workers that were sent one still run it."""
    commit(farm, step, BroadcastsCleared(client.session, message.seq))


def resume(farm: Farm, step: Step, worker: Worker, known: Mapping[int, str | None]) -> None:
    """Send a worker with a new connection the broadcasts that it does not know.

    Args:
        known: broadcasts of the worker -> the problem, "" for none, `None` while it has not run.
    """
    sent = {number: problem for number, problem in known.items() if number < farm.next_broadcast}  # others are a lie
    worker.pending = [number for number, problem in sent.items() if problem is None]
    worker.set_up = {number: problem for number, problem in sent.items() if problem is not None}
    for number in farm.broadcasts:
        if number not in sent:
            _send(farm, step, worker, number)
    worker.pending.sort()
    answer_waits(farm, step)


def on_set_up(farm: Farm, step: Step, worker: Worker, message: SetUp) -> None:
    """Note the result of a broadcast on a worker."""
    if message.number not in worker.pending:
        return  # its `Ready` on a new connection reported it before
    worker.pending.remove(message.number)
    worker.set_up[message.number] = message.problem
    forget_dropped(farm, step, worker)
    answer_waits(farm, step)


def on_worker_down(farm: Farm, step: Step, worker: Worker, message: WorkerDown) -> None:
    """Count the death of a worker for the broadcast that it was in, if neither a task nor its place is to blame."""
    if (
        worker.pending
        and not message.running
        and not message.planned
        and not message.place_lost
        and worker.pending[0] in farm.broadcasts
    ):
        commit(farm, step, BroadcastDeath(worker.pending[0]))
    answer_waits(farm, step)


def report(farm: Farm, number: int) -> BroadcastReport:
    """Return the results of a broadcast on the present workers."""
    problems = {worker.worker: worker.set_up[number] for worker in farm.workers.values() if number in worker.set_up}
    failed = {worker: problem for worker, problem in problems.items() if problem}
    kept = farm.broadcasts.get(number)
    skipped = kept.why_skipped(farm.max_deaths) if kept is not None else ""
    return BroadcastReport(len(problems) - len(failed), failed, skipped)


def answer_waits(farm: Farm, step: Step) -> None:
    """Answer the waits for broadcasts that are no longer pending on the workers that they wait for."""
    for (session, seq), number in list(farm.broadcast_waits.items()):
        if not _is_open(farm, number, _waiting(farm, farm.session(session))):
            del farm.broadcast_waits[session, seq]
            answer_request(farm, step, session, Reply(seq, report(farm, number)))


def _send(farm: Farm, step: Step, worker: Worker, number: int) -> None:
    kept = farm.broadcasts[number]
    if kept.why_skipped(farm.max_deaths):
        return
    record = kept.record
    worker.pending.append(number)
    send_code(farm, step, worker, code_of(record))
    prepare = Prepare(
        number=number,
        kind=record.kind,
        code=record.code,
        body=record.body,
        context=record.context,
        modules=record.modules,
    )
    step.to_worker(worker.worker, prepare)


def _waiting(farm: Farm, client: ClientSession) -> set[int]:
    """Return the workers that a client on a worker cannot wait for: its own, and the ones whose tasks wait as well."""
    if client.worker not in farm.workers:
        return set()
    return {client.worker, *(farm.waits.lending if farm.waits is not None else ())}


def _is_open(farm: Farm, number: int, apart: Container[int]) -> bool:
    """Return whether the broadcast is pending, or may become pending, on a worker `apart` from these.

    If it has killed workers, their replacements count as well, except on an engine, where nobody knows when there are
    some. After a restart of the controller the workers have yet to reconnect and report the broadcasts that they have
    run.
    """
    if any(number in worker.pending and worker.worker not in apart for worker in farm.workers.values()):
        return True
    kept = farm.broadcasts.get(number)
    if kept is None or kept.why_skipped(farm.max_deaths):
        return False
    if any(not worker.ready for worker in farm.workers.values()):
        return True
    if farm.engine is not None:
        return False
    if farm.n_workers and not farm.workers:
        return True
    if not kept.deaths:
        return False
    return sum(number in worker.set_up for worker in farm.workers.values()) < farm.n_workers
