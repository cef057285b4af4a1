"""Tasks that wait for tasks: their workers lend their places, so that the tasks waited for can run, at any depth.

The `Hello` of a client on a worker names the worker, and each of its waits is an open `Barrier`. While one is open, the
task on that worker waits, and one more worker than was asked for may run tasks: an idle one, or a *substitute*, which
is started for it. When the wait is over the task goes on at once: for a moment one worker too many is active, and no
idle worker gets a task until that is over. Substitutes that were not needed for `KEEP` seconds end.

Tasks that are waited for go before all others, the deepest first. So the waits of a recursion form a stack for each
worker, and not a tree, and the number of substitutes is bounded by its depth.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers import broadcasts
from taskfc_ext.core.handlers.attempts import retire_surplus, set_workers
from taskfc_ext.core.journal.endings import answer_request
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.lending import dependants_of, n_needed, running_on, task_on, valid_barriers
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.waits import OpenBarrier, Waits, is_valid
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.client_messages import ErrorKind, Refused, Reply
from taskfc_ext.protocol.infos import BarrierCounts
from taskfc_ext.protocol.limits import MAX_AWAITED, MAX_WAITS

KEEP = 5.0
"""Seconds for which idle substitutes are kept: a task that waits often waits again soon."""

_MAX_FOLLOWED = 10_000
"""Dependencies of a barrier that are followed at most, so that one barrier cannot hold up the farm."""

# barriers


def open_barrier(farm: Farm, client: ClientSession, seq: int, remaining: set[int], *, is_for_all: bool = False) -> None:
    """Open a barrier, which is answered when all of `remaining` have ended."""
    worker = farm.workers.get(client.worker)
    barrier = OpenBarrier(client.session, seq, remaining, len(remaining), is_for_all=is_for_all)
    if worker is not None:
        barrier.worker = worker.worker
        barrier.until = max(worker.leases, default=0)
    farm.barriers.add(barrier)
    if worker is not None:
        farm.waits = farm.waits or Waits()
        farm.waits.changed.add(worker.worker)
        farm.refusals.check_later(remaining)  # this worker cannot take them now
        if is_valid(farm.workers, barrier):
            _raise_ranks(farm, farm.waits, client, worker, () if is_for_all else remaining)


def refuse_wait(farm: Farm, client: ClientSession, seq: int, n_tasks: int) -> Refused | None:
    """Return the refusal of one more wait, for `n_tasks`, of a client that waits for too much already, or `None`."""
    own = farm.barriers.of_session(client.session).values()
    n_waits = len(own) + sum(session == client.session for session, _ in farm.broadcast_waits)
    if n_waits >= MAX_WAITS:
        text = f"this client has {n_waits:,} open waits, the most that one client may have"
        return Refused(seq, ErrorKind.TOO_MUCH, text, "wait for many tasks at once, or for fewer things")
    n_tasks += sum(len(barrier.remaining) for barrier in own)
    if own and n_tasks > MAX_AWAITED:
        text = f"this client would wait for {n_tasks:,} tasks in {n_waits + 1:,} waits; the most is {MAX_AWAITED:,}"
        return Refused(seq, ErrorKind.TOO_MUCH, text, "wait for all tasks once")
    return None


def barrier_counts(farm: Farm, client: ClientSession, seq: int) -> BarrierCounts | None:
    """Return the counts of an open barrier; `None` if it is not open."""
    barrier = farm.barriers.get((client.session, seq))
    return None if barrier is None else BarrierCounts(barrier.total, len(barrier.remaining), barrier.n_failed)


# substitutes


def settle(farm: Farm, step: Step, waits: Waits) -> None:
    """Find the workers whose tasks wait after an event, and set the number of substitutes."""
    if farm.stop_asked:
        return
    _answer_impossible_waits(farm, step)
    lending = {barrier.worker for barrier in valid_barriers(farm)}
    farm.mark(running_on(farm, waits.changed | (lending ^ waits.lending)))
    waits.changed.clear()
    if lending != waits.lending:
        waits.lending = lending
        broadcasts.answer_waits(farm, step)  # a wait in a task is not for workers whose tasks wait
    needed = n_needed(farm, waits)
    waits.n_used = max(waits.n_used, needed)
    if needed > waits.n_substitutes:
        waits.n_substitutes = needed
        set_workers(farm, step)
    n_wanted = farm.n_workers + waits.n_substitutes
    if len(farm.workers) > n_wanted and sum(not worker.retiring for worker in farm.workers.values()) > n_wanted:
        retire_surplus(farm, step)


def time_surplus(farm: Farm, waits: Waits, now: Now) -> None:
    """Set the timer that reduces the substitutes, if fewer are needed after an event."""
    if waits.n_substitutes and not waits.has_timer and (needed := n_needed(farm, waits)) < waits.n_substitutes:
        waits.has_timer = True
        waits.n_used = needed
        farm.set_timer(now.mono + KEEP, TimerKind.SUBSTITUTES, 0)


def on_timer(farm: Farm, step: Step) -> None:
    """Reduce the substitutes to the number needed in the last `KEEP` seconds."""
    waits = farm.waits
    if waits is None:
        return
    waits.has_timer = False
    before, waits.n_substitutes = waits.n_substitutes, waits.n_used
    waits.n_used = 0
    if waits.n_substitutes != before:
        retire_surplus(farm, step)


# impossible waits


def _answer_impossible_waits(farm: Farm, step: Step) -> None:
    """Refuse waits of a task for itself; leave out of a wait for all tasks the ones that wait for this task."""
    for barrier in valid_barriers(farm):
        task = task_on(farm, farm.workers[barrier.worker])
        if task is None:
            continue
        answer: Reply | Refused | None = None
        if barrier.is_for_all:
            barrier.is_for_all = False
            barrier.remaining -= dependants_of(farm, task.taskid)
            if not barrier.remaining:
                answer = Reply(barrier.seq, None)
        elif task.taskid in barrier.remaining:
            text = f"{task.title} would wait for its own end"
            answer = Refused(barrier.seq, ErrorKind.NOT_ALLOWED, text, "leave it out", {"taskids": [task.taskid]})
        if answer is not None:
            farm.close_barrier(barrier.key)
            answer_request(farm, step, barrier.session, answer)


# ranks


def _raise_ranks(farm: Farm, waits: Waits, client: ClientSession, worker: Worker, taskids: Iterable[int]) -> None:
    """Rank the tasks of `client`, and the others that it waits for, before tasks that no task waits for."""
    held = [farm.tasks[taskid] for taskid in worker.leases.values()]
    depth = 1 + max((waits.depth_of(task) for task in held[:1]), default=0)
    _raise_session(farm, waits, client.session, depth)
    others = _find_less_urgent(farm, waits, taskids, depth)
    if others:
        queued = [task for task in others if farm.is_queued(task.taskid)]
        farm.withdraw(queued)
        waits.tasks.update((task.taskid, depth) for task in others)
        farm.reinsert(queued)


def _raise_session(farm: Farm, waits: Waits, session: str, depth: int) -> None:
    if waits.sessions.get(session) == depth:
        return
    queued = [farm.tasks[taskid] for taskid in farm.resources.take_client(session) if farm.is_queued(taskid)]
    rejected = [farm.tasks[taskid] for taskid in sorted(farm.refusals.waiting_ids())]
    queued += [task for task in rejected if task.batch.session == session and farm.refusals.withdraw(task.taskid)]
    waits.sessions[session] = depth
    farm.reinsert(queued)


def forget_session(farm: Farm, session: str) -> None:
    """Rank the tasks of a forgotten client like the tasks of others again."""
    waits = farm.waits
    if waits is not None and session in waits.sessions:
        _raise_session(farm, waits, session, 0)  # its tasks are queued under the rank that is removed
        del waits.sessions[session]


def _find_less_urgent(farm: Farm, waits: Waits, taskids: Iterable[int], depth: int) -> list[Task]:
    """Return the ones of `taskids`, and of their dependencies, whose depth is less than `depth`."""
    seen: set[int] = set()
    left = list(taskids)[:_MAX_FOLLOWED]
    found = []
    while left and len(seen) < _MAX_FOLLOWED:
        taskid = left.pop()
        task = farm.tasks.get(taskid)
        if task is None or taskid in seen:
            continue
        seen.add(taskid)
        if waits.depth_of(task) < depth:
            found.append(task)
        if task.history is not None:
            left += task.history.unmet - seen
    return found
