"""Invariants of the farm. The tests check them after every step."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from taskfc_ext.core.state.codes import all_bodies, code_of
from taskfc_ext.core.state.engine import AHEAD, count_demand
from taskfc_ext.core.state.farm import GONE_CODES, LIVE_CODE, Farm, TimerKind
from taskfc_ext.core.state.lending import n_needed, valid_barriers
from taskfc_ext.core.state.quotas import Quotas
from taskfc_ext.protocol.options import MAX_PLACE_LOSSES
from taskfc_ext.protocol.states import State


class BrokenInvariant(AssertionError):
    """Parts of the farm contradict each other."""


def _check(condition: bool, text: str) -> None:
    if not condition:
        raise BrokenInvariant(text)


def validate(farm: Farm) -> None:
    """Check every invariant of `farm`.

    Raises:
        BrokenInvariant: one does not hold; the text says which.
    """
    _check_tasks(farm)
    _check_quotas(farm)
    _check_leases(farm)
    _check_timers(farm)
    _check_queue(farm)
    _check_refusals(farm)
    _check_steered(farm)
    _check_dependencies(farm)
    _check_barriers(farm)
    _check_retried(farm)
    _check_broadcasts(farm)
    _check_subscribers(farm)
    _check_waits(farm)
    _check_codes(farm)
    _check_engine(farm)
    _check_resources(farm)


def _check_codes(farm: Farm) -> None:
    codes = farm.codes
    expected = Counter(digest for kept in farm.broadcasts.values() for digest in code_of(kept.record))
    spans = codes.spans()
    for span in spans:
        n = sum(farm.knows(taskid) for taskid in range(span.first, span.last + 1))
        _check(n == span.n > 0, f"{span.n} tasks from {span.first} on are counted as needing code, {n} do")
        expected.update(span.digests)
    _check(codes.needs() == expected, "the code that is needed is counted wrongly")
    _check(codes.needs().keys() <= codes.sizes.keys(), "code was dropped that is needed")
    n_spanned, n_known = sum(span.n for span in spans), sum(map(farm.knows, range(farm.next_id)))
    _check(n_spanned == n_known, f"{n_known} tasks are there, and {n_spanned} have code")
    for taskid, task in farm.tasks.items():
        span = spans[bisect_right(spans, taskid, key=lambda span: span.first) - 1]
        _check(set(all_bodies(task.batch.spec)) == set(span.digests), f"task {taskid} needs other code than is counted")
    for session in farm.sessions.values():
        _check(session.defined <= codes.sizes.keys(), f"{session.session} may name code that was dropped")
        _check(
            session.connected or not session.defined,
            f"{session.session} is not connected, but names code",
        )


def _check_tasks(farm: Farm) -> None:
    _check(farm.counts == farm.recount(), f"the tasks are counted as {farm.counts}, and are {farm.recount()}")
    for state in State:
        _check(farm.counts[state] == len(farm.ids_in(state)), f"the count of {state} tasks is wrong")
    for taskid, code in enumerate(farm.ended):
        _check((code == LIVE_CODE) == (taskid in farm.tasks), f"task {taskid} is live and ended, or neither")
        _check(
            code == LIVE_CODE or code in GONE_CODES or farm.end_of(taskid) is not None, f"task {taskid}: code {code}"
        )


def _check_quotas(farm: Farm) -> None:
    counted = farm.quotas.shares
    _check(counted == Quotas(farm.tasks.values()).shares, f"the shares of clients are counted as {counted}")


def _check_leases(farm: Farm) -> None:
    for lease, leased in farm.leases.items():
        taskid, worker = leased.taskid, leased.worker
        _check(taskid in farm.tasks and farm.tasks[taskid].lease == lease, f"lease {lease} is not of task {taskid}")
        _check(farm.workers[worker].leases.get(lease) == taskid, f"worker {worker} does not hold lease {lease}")
        _check(lease < farm.next_lease, f"lease {lease} is from the future")
    for worker_id, held in farm.workers.items():
        _check(list(held.leases) == sorted(held.leases), f"worker {worker_id} holds leases out of order")
        for lease in held.leases:
            _check(
                lease in farm.leases and farm.leases[lease].worker == worker_id,
                f"worker {worker_id} holds a void lease {lease}",
            )
    for taskid, task in farm.tasks.items():
        _check(not task.lease or task.lease in farm.leases, f"task {taskid} has a void lease")
        _check(bool(task.lease) == (task.worker >= 0), f"task {taskid} is held by worker {task.worker} without a lease")
        _check(task.state is not State.RUNNING or bool(task.lease), f"task {taskid} runs nowhere")
        _check(task.state is not State.WAITING or not task.lease, f"task {taskid} has a lease while it waits")
    for lease in farm.stopping_leases:
        _check(lease in farm.leases, f"lease {lease} is being stopped but void")


def _check_timers(farm: Farm) -> None:
    checked = Counter(key for _, _, kind, key, _ in farm.timers if kind is TimerKind.REVOKE)
    for worker in farm.workers.values():
        n = checked[worker.worker]
        _check(n == worker.may_be_stuck, f"worker {worker.worker} is checked by {n} timers")


def _check_queue(farm: Farm) -> None:
    places = [place for queue in farm.resources.all_queues() for place in queue.places()]
    queued = [taskid for _, taskid in places]
    _check(len(queued) == len(set(queued)), "a task is queued twice")
    for rank, taskid in places:
        _check(rank == farm.rank_of(farm.tasks[taskid]), f"task {taskid} is queued under rank {rank}")
    backing_off = {
        taskid
        for taskid, task in farm.tasks.items()
        if task.history is not None and task.history.not_before is not None and farm.is_queued(taskid)
    }
    reachable = {*queued, *farm.refusals.waiting_ids(), *backing_off}
    for taskid in farm.tasks.keys() - farm.held:
        _check(not farm.is_queued(taskid) or taskid in reachable, f"task {taskid} is scheduled, and in no queue")


def _check_resources(farm: Farm) -> None:
    resources = farm.resources
    needy = {lease: task.spec.needs for lease, task in farm.leases.items() if task.spec.needs is not None}
    held = {lease: holding.needs for lease, holding in resources.held.items()}
    _check(needy == held, f"{held} is held, and the leased tasks need {needy}")
    for lease, holding in resources.held.items():
        n_gpus = 0 if resources.totals.for_each else holding.needs.gpus  # an engine gives out its devices itself
        _check(len(holding.gpus) == n_gpus, f"lease {lease} holds {holding.gpus} for {holding.needs}")
        n_beside = len(farm.workers[farm.leases[lease].worker].leases)
        _check(n_beside == 1, f"lease {lease} holds resources, and its worker {n_beside} leases")
    gpus = [gpu for holding in resources.held.values() for gpu in holding.gpus]
    _check(len(gpus) == len(set(gpus)), f"a GPU is given out twice: {gpus}")
    for line, queue in resources.queues.items():
        for taskid in queue.ids():
            task = farm.tasks[taskid]
            is_right = (task.spec.needs, task.batch.session, farm.rank_of(task)) == (line.needs, line.client, line.rank)
            _check(is_right, f"task {taskid} is queued in the line {line}")
    firsts = {line: queue.ids()[0] for line, queue in resources.queues.items()}
    firsts |= {line: next(iter(tasks)) for line, tasks in farm.refusals.waiting.items()}
    _check(farm.lines.firsts == firsts, f"{farm.lines.firsts} are noted as the first of their lines, and {firsts} are")
    in_turn = [place.taskid for place in farm.lines.in_turn(lambda _: 0, lambda _: False)]
    _check(sorted(in_turn) == sorted(firsts.values()), f"{in_turn} have their turns, and {firsts} wait")
    for taskid in farm.queue.ids():
        _check(farm.tasks[taskid].spec.needs is None, f"task {taskid} needs resources, and is queued as if it did not")


def _check_refusals(farm: Farm) -> None:
    refusals = farm.refusals
    _check(refusals.rejected.keys() <= farm.tasks.keys(), "a task that has ended is rejected")
    queued = {taskid for queue in farm.resources.all_queues() for taskid in queue.ids()}
    for taskid, rejection in refusals.rejected.items():
        _check(not rejection.reasons or taskid not in queued, f"task {taskid} is offered to workers that rejected it")
    n_waiting = sum(rejection.line is not None for rejection in refusals.rejected.values())
    _check(n_waiting == len(refusals.waiting_ids()), f"{n_waiting} rejected tasks wait, and others are in the lines")
    for line, taskids in refusals.waiting.items():
        _check(bool(taskids) and bool(line.workers), "rejected tasks wait in a line without tasks or workers")
        for taskid in taskids:
            rejection = refusals.rejected[taskid]
            _check(farm.is_queued(taskid), f"task {taskid} waits as rejected but is {farm.tasks[taskid].state}")
            _check(rejection.line == line, f"task {taskid} waits in another line than it notes")
            _check(frozenset(rejection.reasons) == line.workers, f"task {taskid} waits in the line of other workers")
            _check(line.rank == farm.rank_of(farm.tasks[taskid]), f"task {taskid} waits under the wrong rank")
    _check(not refusals.redelivered, f"{refusals.redelivered} are noted as redelivered after the event")


def _check_steered(farm: Farm) -> None:
    _check(farm.held <= farm.tasks.keys(), "a task that has ended is held")
    _check(farm.moved.keys() <= farm.tasks.keys(), "a task that has ended has a priority")
    for taskid in farm.held:
        _check(not farm.tasks[taskid].lease, f"task {taskid} is held, and has a lease")
    _check(farm.held.isdisjoint(farm.queue.ids()), "a held task is queued")
    _check(farm.held.isdisjoint(farm.refusals.waiting_ids()), "a held task waits for a worker that may take it")


def _check_dependencies(farm: Farm) -> None:
    _check(not farm.cascade_failed, f"{farm.cascade_failed} did not end")
    for taskid, task in farm.tasks.items():
        unmet = task.history.unmet if task.history is not None else set()
        _check((task.state is State.WAITING) == bool(unmet), f"task {taskid} is {task.state} with {unmet} unmet")
        for parent in unmet:
            is_child = any(taskid in batch for batch in farm.children.get(parent, ()))
            _check(is_child, f"task {taskid} is no child of {parent}, which it waits for")
            _check(parent in farm.tasks, f"task {taskid} waits for {parent}, which has ended")


def _check_barriers(farm: Farm) -> None:
    for key, barrier in farm.barriers.items():
        _check(bool(barrier.remaining), "an empty barrier is open")
        is_found = all(farm.barriers.is_found_by(key, taskid) for taskid in barrier.remaining)
        _check(is_found, "a barrier is not found when a task ends that it waits for")
        _check(barrier.remaining <= farm.tasks.keys(), "a barrier waits for a task that has ended")


def _check_retried(farm: Farm) -> None:
    for old, new in farm.retried.items():
        _check(old < new < farm.next_id, f"task {old} was retried as {new}, which cannot be")
        _check(farm.knows(old) and old not in farm.tasks, f"task {old} was retried, and has not ended or was cleared")


def _check_broadcasts(farm: Farm) -> None:
    for worker in farm.workers.values():
        _check(
            worker.ready or not worker.pending,
            f"worker {worker.worker} was sent a broadcast before it was ready",
        )
        _check(
            worker.pending == sorted(set(worker.pending)),
            f"worker {worker.worker} has broadcasts before it out of order",
        )
        _check(worker.set_up.keys().isdisjoint(worker.pending), f"worker {worker.worker} has a broadcast twice")
        for number, kept in farm.broadcasts.items():
            was_sent = number in worker.pending or number in worker.set_up or kept.deaths >= farm.max_deaths
            _check(was_sent or not worker.ready, f"worker {worker.worker} was not sent broadcast {number}")
    _check(all(number < farm.next_broadcast for number in farm.broadcasts), "a broadcast has a number to come")


def _check_subscribers(farm: Farm) -> None:
    if farm.subscribers is not None:
        _check(bool(farm.subscribers.seqs), "there are subscribers without a session")
        for session in farm.subscribers.seqs:
            _check(farm.sessions[session].connected, f"{session} watches and is not connected")


def _check_waits(farm: Farm) -> None:
    waits = farm.waits
    if waits is None or farm.stop_asked:
        return
    waiting = {barrier.worker for barrier in valid_barriers(farm)}
    _check(waits.lending == waiting, f"{waits.lending} lend their places, and {waiting} wait")
    idle = sum(not worker.leases and not worker.retiring for worker in farm.workers.values())
    needed = n_needed(farm, waits)
    _check(waits.n_substitutes + idle >= needed, f"{needed} are needed, {waits.n_substitutes} stand in for them")
    _check(waits.n_substitutes <= needed or waits.has_timer, "substitutes stay without a timer")
    _check(waits.tasks.keys() <= farm.tasks.keys(), "a task that has ended is urgent")
    _check(waits.sessions.keys() <= farm.sessions.keys(), "a forgotten client is urgent")


def _check_engine(farm: Farm) -> None:
    for task in farm.tasks.values():
        lost = task.history.place_losses if task.history is not None else 0
        _check(lost < MAX_PLACE_LOSSES, f"task {task.taskid} goes on after {lost} lost places")
    if farm.engine is None:
        for worker in farm.workers.values():
            _check(worker.ahead == AHEAD and worker.distance is None, f"worker {worker.worker} is far away at home")
    elif not farm.stop_asked:
        demand = count_demand(farm)
        _check(farm.engine.demand == demand, f"the demand is {demand}, and {farm.engine.demand} was sent")
