"""What every worker runs before its tasks: now, and whenever one joins.

A worker is sent each broadcast once, in order, and gets no task before it has reported them all. Whatever goes wrong
in one is noted, and the worker goes on. One that `max_deaths` workers have died in is run no more.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from taskfc_ext.core.effects import Step
from taskfc_ext.core.handlers.dispatch import forget_dropped, send_code
from taskfc_ext.core.journal.endings import answer_request, commit, commit_code
from taskfc_ext.core.state.codes import code_of
from taskfc_ext.core.state.farm import Farm, Worker
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.protocol.client_messages import AwaitBroadcast, Broadcast, ClearBroadcasts, ErrorKind, Refused, Reply
from taskfc_ext.protocol.ids import MAX_BROADCASTS
from taskfc_ext.protocol.infos import BroadcastReport
from taskfc_ext.protocol.records import BroadcastDeath, Broadcasted, BroadcastsCleared
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from taskfc_ext.protocol.worker_messages import Prepare, SetUp


def on_broadcast(farm: Farm, step: Step, client: ClientSession, message: Broadcast) -> Refused | None:
    """Accept a broadcast and send it to all workers there are."""
    if len(farm.broadcasts) >= MAX_BROADCASTS:
        text = f"there are {MAX_BROADCASTS:,} broadcasts, which every new worker runs; no more are taken"
        return Refused(message.seq, ErrorKind.TOO_MUCH, text, "forget them with clear_broadcasts()")
    if message.context is not None:
        commit_code(farm, step, (*message.modules, message.context))
    record = Broadcasted(
        number=farm.next_broadcast,
        session=client.session,
        seq=message.seq,
        kind=message.code_kind,
        label=message.label,
        code=message.code,
        body=message.body,
        context=None if message.context is None else message.context.digest,
        modules=tuple(define.digest for define in message.modules),
    )
    commit(farm, step, record)
    for worker in farm.workers.values():
        if worker.ready:
            _send(farm, step, worker, record.number)
    return None


def on_await(farm: Farm, client: ClientSession, message: AwaitBroadcast) -> Reply | None:
    """Answer if no worker has the broadcast before it any more; else note the wait, for `answer_waits`.

    A client on a worker waits neither for that one nor for those whose tasks wait as well.
    """
    if not _is_open(farm, message.number, _waiting(farm, client)):
        return Reply(message.seq, report(farm, message.number))
    farm.broadcast_waits[client.session, message.seq] = message.number
    return None


def on_clear(farm: Farm, step: Step, client: ClientSession, message: ClearBroadcasts) -> None:
    """Forget all broadcasts; workers that were sent one still run it."""
    commit(farm, step, BroadcastsCleared(client.session, message.seq))


def resume(farm: Farm, step: Step, worker: Worker, told: Mapping[int, str | None]) -> None:
    """A worker opened a connection and has `told` which broadcasts it knows: send it the others."""
    worker.pending = sorted(number for number, problem in told.items() if problem is None)
    worker.set_up = {number: problem for number, problem in told.items() if problem is not None}
    for number in farm.broadcasts:
        if number not in told:
            _send(farm, step, worker, number)
    answer_waits(farm, step)


def on_set_up(farm: Farm, step: Step, worker: Worker, message: SetUp) -> None:
    """A worker has run a broadcast."""
    if message.number not in worker.pending:
        return  # its word came on a new connection already
    worker.pending.remove(message.number)
    worker.set_up[message.number] = message.problem
    forget_dropped(farm, step, worker)
    answer_waits(farm, step)


def on_worker_down(farm: Farm, step: Step, worker: Worker, message: WorkerDown) -> None:
    """A worker has ended. If no task is to blame, the broadcast is that it was in."""
    if worker.pending and not message.running and not message.planned and worker.pending[0] in farm.broadcasts:
        commit(farm, step, BroadcastDeath(worker.pending[0]))
    answer_waits(farm, step)


def report(farm: Farm, number: int) -> BroadcastReport:
    """Return how a broadcast went on the workers there are."""
    said = {worker.worker: worker.set_up[number] for worker in farm.workers.values() if number in worker.set_up}
    failed = {worker: problem for worker, problem in said.items() if problem}
    kept = farm.broadcasts.get(number)
    skipped = kept.why_skipped(farm.max_deaths) if kept is not None else ""
    return BroadcastReport(len(said) - len(failed), failed, skipped)


def answer_waits(farm: Farm, step: Step) -> None:
    """Answer the noted waits for broadcasts that none of the workers they are for has before it any more."""
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
    """Return the workers that a client on a worker cannot wait for: its own, and those whose tasks wait as well."""
    if client.worker not in farm.workers:
        return set()
    return {client.worker, *(farm.waits.lending if farm.waits is not None else ())}


def _is_open(farm: Farm, number: int, apart: Container[int]) -> bool:
    """Whether a worker, `apart` from these, has the broadcast before it, or may have when it is there.

    Where it has killed some, their replacements count as well; and after the controller's restart the workers have yet
    to come back and say what they have run.
    """
    if any(number in worker.pending and worker.worker not in apart for worker in farm.workers.values()):
        return True
    kept = farm.broadcasts.get(number)
    if kept is None or kept.why_skipped(farm.max_deaths):
        return False
    if any(not worker.ready for worker in farm.workers.values()) or (farm.n_workers and not farm.workers):
        return True
    if not kept.deaths:
        return False
    return sum(number in worker.set_up for worker in farm.workers.values()) < farm.n_workers
