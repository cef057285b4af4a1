"""Tasks that wait for tasks: their workers lend their places, so that what they wait for can run, at any depth.

A client on a worker says so in its `Hello`, and each of its waits is an open `Barrier`. While one is open, the task
that runs on that worker waits, and one more worker than was asked for may run tasks: an idle one, or a *substitute*,
which is started for it. When the wait is over the task goes on at once, so that for a moment one too many runs, and no
idle worker gets anything before it is one less. Substitutes that were not needed for `KEEP` seconds end.

What tasks wait for goes before everything else, the deepest first. So the waits of a recursion form a stack for each
worker, and not a tree, and the number of substitutes is bounded by its depth.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers import broadcasts
from taskfc_ext.core.handlers.attempts import retire_surplus, set_workers
from taskfc_ext.core.journal.endings import answer_request
from taskfc_ext.core.state.farm import Farm, TimerKind, Worker
from taskfc_ext.core.state.lending import dependants_of, n_needed, running_on, task_on
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.waits import Key, OpenBarrier, Waits, is_valid
from taskfc_ext.protocol.client_messages import ErrorKind, Refused, Reply

KEEP = 5.0
"""Seconds for which substitutes are kept that nobody needs: a task that waits often waits again soon."""

_MAX_FOLLOWED = 10_000
"""Dependencies of what a task waits for that are followed, so that one barrier cannot hold up the farm."""

# barriers


def open_barrier(
    farm: Farm, client: ClientSession, seq: int, remaining: set[int], *, is_for_all: bool = False
) -> OpenBarrier:
    """Note a barrier that is to be answered when all of `remaining` have ended."""
    key = client.session, seq
    worker = farm.workers.get(client.worker)
    barrier = OpenBarrier(client.session, seq, remaining, is_for_all=is_for_all)
    farm.barriers[key] = barrier
    if worker is not None:
        barrier.worker = worker.worker
        barrier.until = max(worker.leases, default=0)
        farm.waits = farm.waits or Waits()
        farm.waits.changed.add(worker.worker)
        farm.refusals.check_later(remaining)  # this worker cannot take them now
        if is_valid(farm.workers, barrier):
            _raise_ranks(farm, farm.waits, client, worker, () if is_for_all else remaining)
    return barrier


def close_barrier(farm: Farm, key: Key) -> None:
    """Forget a barrier, if it is open."""
    barrier = farm.barriers.pop(key, None)
    if barrier is not None and farm.waits is not None and barrier.worker >= 0:
        farm.waits.changed.add(barrier.worker)


# who lends


def settle(farm: Farm, step: Step, waits: Waits, now: Now) -> None:
    """Find out whose tasks wait now, after an event, and have as many substitutes as that takes."""
    if farm.stop_asked:
        return
    _answer_impossible_waits(farm, step)
    lending = {barrier.worker for barrier in farm.barriers.values() if is_valid(farm.workers, barrier)}
    farm.mark(running_on(farm, waits.changed | (lending ^ waits.lending)))
    waits.changed.clear()
    if lending != waits.lending:
        waits.lending = lending
        broadcasts.answer_waits(farm, step)  # those who wait in a task do not wait for others who wait
    needed = n_needed(farm, waits)
    waits.n_used = max(waits.n_used, needed)
    if needed > waits.n_substitutes:
        waits.n_substitutes = needed
        set_workers(farm, step)
    elif needed < waits.n_substitutes and not waits.has_timer:
        waits.has_timer = True
        waits.n_used = needed
        farm.set_timer(now.mono + KEEP, TimerKind.SUBSTITUTES, 0)
    n_wanted = farm.n_workers + waits.n_substitutes
    if len(farm.workers) > n_wanted and sum(not worker.retiring for worker in farm.workers.values()) > n_wanted:
        retire_surplus(farm, step)


def on_timer(farm: Farm, step: Step) -> None:
    """Have no more substitutes than were needed in the last seconds."""
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
    """Refuse the wait of a task for itself; for one for all, what waits for this task in turn is left out."""
    for key, barrier in list(farm.barriers.items()):
        task = task_on(farm, farm.workers[barrier.worker]) if is_valid(farm.workers, barrier) else None
        if task is None:
            continue
        answer: Reply | Refused | None = None
        if barrier.is_for_all:
            barrier.is_for_all = False
            barrier.remaining -= dependants_of(farm, task.taskid)
            if not barrier.remaining:
                answer = Reply(barrier.seq, None)
        elif task.taskid in barrier.remaining:
            text = f"{task.title} would wait for its own end, and so for ever"
            answer = Refused(barrier.seq, ErrorKind.NOT_ALLOWED, text, "leave it out", {"taskids": [task.taskid]})
        if answer is not None:
            close_barrier(farm, key)
            answer_request(farm, step, barrier.session, answer)


# what is waited for goes first


def _raise_ranks(farm: Farm, waits: Waits, client: ClientSession, worker: Worker, taskids: Iterable[int]) -> None:
    """Let what `client` has submitted, and all else that it waits for, go before what nobody waits for."""
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
    queued = [farm.tasks[taskid] for taskid in farm.queue.take_client(session) if farm.is_queued(taskid)]
    rejected = [farm.tasks[taskid] for taskid in sorted(farm.refusals.waiting_ids())]
    queued += [task for task in rejected if task.batch.session == session and farm.refusals.withdraw(task.taskid)]
    waits.sessions[session] = depth
    farm.reinsert(queued)


def forget_session(farm: Farm, session: str) -> None:
    """Let what a client that is forgotten has submitted go no longer before the tasks of others."""
    waits = farm.waits
    if waits is not None and session in waits.sessions:
        _raise_session(farm, waits, session, 0)  # its tasks stand in the queue under the rank that this takes away
        del waits.sessions[session]


def _find_less_urgent(farm: Farm, waits: Waits, taskids: Iterable[int], depth: int) -> list[Task]:
    """Return those of `taskids`, and of what they come after, that are not as urgent as `depth` by now."""
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
