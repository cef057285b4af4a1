"""Reasons why tasks wait for resources, in words: for lists, for subscribers, and for what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.sharing import Round, amounts_of, in_turn, lacking
from taskfc_ext.core.state.task import Task
from taskfc_ext.protocol.resources import amount_text, need_text
from taskfc_ext.protocol.spec import Spec

_MOST_SHOWN = 100
"""Lines of which subscribers receive what the first task waits for: a change of the free memory may change them all."""


class Reasons:
    """The reasons why ready tasks wait, as of now."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        if not farm.resources.in_use:
            return
        self._round = Round(farm, {worker.worker for worker in farm.workers.values() if worker.is_idle})
        self._look = self._round.look()

    def text(self, task: Task) -> str:
        """Return what a ready task waits for: `waits for 2 GPUs (1 free)`; empty if only for a worker."""
        farm, needs, taskid = self._farm, task.spec.needs, task.taskid
        if not farm.resources.in_use or not farm.is_queued(taskid) or taskid in farm.held:
            return ""
        never = farm.resources.never(needs, farm.n_workers) if needs is not None else None
        if never is not None:
            name, needed, total = never
            return f"needs {need_text(name, needed)}, and {_owner(farm)} has {amount_text(name, total)}"
        if farm.resources.totals.for_each:
            return ""
        free, stopper = self._round.free, self._look.stopper
        amounts = amounts_of(needs)
        short = lacking(amounts, free)
        if short and (needs is not None or (self._round.idle and stopper is None)):
            parts = (
                f"{need_text(name, n)} ({amount_text(name, max(0, free.get(name, 0)))} free)"
                for name, n in short.items()
            )
            return f"waits for {', '.join(parts)}"
        keepers = (self._look.keepers.get(name) for name in lacking(amounts, self._look.left))
        before = next((keeper for keeper in (*keepers, stopper) if keeper not in (None, taskid)), None)
        return f"waits behind {farm.tasks[before].title}" if before is not None else ""


def refresh_shown(farm: Farm) -> None:
    """Find what the first tasks of the first lines wait for, for subscribers; mark the tasks where that has changed."""
    known, reasons, first = farm.resources.shown, Reasons(farm), list[int]()
    if farm.resources.in_use:
        places = islice(in_turn(farm, lambda _: False), _MOST_SHOWN)
        first = [place.taskid for place in places if place.line is not None] + farm.queue.heads()[:_MOST_SHOWN]
    shown = {taskid: text for taskid in first if (text := reasons.text(farm.tasks[taskid]))}
    farm.resources.shown = shown
    farm.mark(farm.tasks[taskid] for taskid, _ in shown.items() ^ known.items() if taskid in farm.tasks)


def shown_text(farm: Farm, taskid: int) -> str:
    """Return what subscribers know that a task waits for."""
    shown = farm.resources.shown
    return shown.get(taskid, "") if shown and farm.is_queued(taskid) else ""


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
