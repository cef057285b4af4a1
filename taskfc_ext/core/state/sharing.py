"""Sharing of a farm's resources: whose turn it is, what is kept for whom, and what a task waits for.

The rule: tasks that need resources and tasks that do not are one line, by priority, then by turns between the clients,
then in order of arrival. A task that does not fit keeps its place: what it needs is kept for it, and the tasks behind
it start on what is left over. Cores are kept only when all else that it needs is free: then nothing else starts, as
every task needs a core, until there are enough. So a small task never delays a large one for ever, and a task that
waits hours for a GPU keeps no core idle.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.queue import ReadyQueue
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.resources import CORES, Needs, amount_text, need_text
from taskfc_ext.protocol.spec import Spec


def free_amounts(farm: Farm) -> dict[str, int]:
    """Return resource -> amount that is free now; cores may be overdrawn by tasks that have waited for others."""
    resources, lending = farm.resources, farm.waits.lending if farm.waits is not None else ()
    holders = {farm.leases[lease].worker for lease in resources.held}
    n_ordinary = sum(
        bool(worker.leases) and worker.worker not in lending and worker.worker not in holders
        for worker in farm.workers.values()
    )
    lent = {lease for lease in resources.held if farm.leases[lease].worker in lending}
    return resources.free(farm.n_workers, n_ordinary, lent)


def lacking(needs: Needs, free: dict[str, int]) -> dict[str, int]:
    """Return resource -> amount needed, for those of which too little is free."""
    return {name: amount for name, amount in needs.amounts().items() if amount > free.get(name, 0)}


def fits(farm: Farm, needs: Needs | None) -> bool:
    """Return whether what a task with `needs` takes is free, for an idle worker."""
    if needs is None:
        return not farm.resources.in_use or free_amounts(farm)[CORES] >= 1
    return not lacking(needs, free_amounts(farm))


def next_queue(farm: Farm, worker: Worker) -> ReadyQueue | None:
    """Return the queue that has the next task for `worker`, or `None` if none may start there now."""
    if not farm.resources.in_use:
        return farm.queue
    free = free_amounts(farm)
    for needs, queue in _in_turn(farm):
        if needs is None:
            # The core of a worker that runs ordinary tasks is counted already.
            return queue if worker.leases or free[CORES] >= 1 else None
        short = lacking(needs, free)
        if short and farm.resources.never(needs, farm.n_workers):
            continue  # the farm has become smaller, or has moved
        if not short:
            return queue  # for an idle worker: a busy one has no room for such a task
        if short.keys() == {CORES}:
            return None
        keep(needs, free)
    return None


def keep(needs: Needs, free: dict[str, int]) -> None:
    """Take what a waiting task needs, except cores, out of what the tasks behind it may have."""
    for name, amount in needs.amounts().items():
        if name != CORES:
            free[name] = free.get(name, 0) - amount


def _in_turn(farm: Farm) -> list[tuple[Needs | None, ReadyQueue]]:
    """Return the queues that hold tasks, with the needs of these, in the order of their first tasks."""
    heads = []
    for needs, queue in [(None, farm.queue), *farm.resources.waiting()]:
        head = queue.peek()
        if head is not None:
            heads.append((head, farm.tasks[head[1]].batch.session, needs, queue))
    turns = farm.resources.turns_of(client for _, client, _, _ in heads)
    heads.sort(key=lambda each: (-each[0][0], turns[each[1]], each[0][1]))
    return [(needs, queue) for _, _, needs, queue in heads]


def mark_waiting(farm: Farm) -> None:
    """Send subscribers what the tasks wait for that are first in their lines, where it has changed."""
    known, heads = farm.resources.shown, [taskid for _, queue in farm.resources.waiting() for taskid in queue.heads()]
    shown = {taskid: text for taskid in heads if (text := waiting_text(farm, farm.tasks[taskid]))}
    changed = dict(shown.items() ^ known.items())
    farm.resources.shown = shown
    farm.mark(farm.tasks[taskid] for taskid in changed if taskid in farm.tasks)


def shown_text(farm: Farm, taskid: int) -> str:
    """Return what subscribers know that a task waits for; only the first task of each line has it."""
    shown = farm.resources.shown
    return shown.get(taskid, "") if shown and farm.is_queued(taskid) else ""


# wording


def refusal_of(farm: Farm, spec: Spec) -> str:
    """Return why tasks of `spec` could never start: `gpus=1: this farm has none`; empty if they can."""
    specs: Iterable[Spec] = (spec,) if spec.recovery is None else (spec, spec.recovery.spec)
    for each in specs:
        never = farm.resources.never(each.needs, farm.n_workers) if each.needs is not None else None
        if never is not None:
            name, needed, total = never
            return f"{name}={amount_text(name, needed)}: {_owner(farm)} has {amount_text(name, total)}"
    return ""


def _owner(farm: Farm) -> str:
    return "each worker of this farm" if farm.resources.totals.for_each else "this farm"


def waiting_text(farm: Farm, task: Task) -> str:
    """Return what a ready task waits for: `waits for 2 GPUs (1 free)`; empty if it fits."""
    needs = task.spec.needs
    if needs is None or not farm.is_queued(task.taskid) or task.taskid in farm.held:
        return ""
    never = farm.resources.never(needs, farm.n_workers)
    if never is not None:
        name, needed, total = never
        return f"needs {need_text(name, needed)}, and {_owner(farm)} has {amount_text(name, total)}"
    free = free_amounts(farm)
    short = lacking(needs, free)
    parts = (f"{need_text(name, n)} ({amount_text(name, max(0, free.get(name, 0)))} free)" for name, n in short.items())
    return f"waits for {', '.join(parts)}" if short else ""
