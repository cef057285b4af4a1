"""Expiry of finished tasks: those that ended first leave the store first, at its limits of age and bytes.

One rule for all: a task that ended earlier goes earlier, whether its result was fetched or not. An unfinished task
never expires, and neither does a result that one takes.
"""

from __future__ import annotations

from collections.abc import Container

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now, StoreRead
from taskfc_ext.core.journal.endings import commit
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.limits import YOUNG
from taskfc_ext.protocol.ids import ranges_of
from taskfc_ext.protocol.records import Expired


def needed_inputs(farm: Farm) -> set[int]:
    """Return the tasks whose results unfinished tasks take: these could never run without them."""
    return {parent for task in farm.tasks.values() for parent in task.batch.inputs}


def may_expire(farm: Farm, needed: Container[int], taskid: int) -> bool:
    """Return whether a task has ended, is known, and is not among the `needed` ones."""
    return taskid not in farm.tasks and taskid not in needed and farm.knows(taskid)


def on_store_read(farm: Farm, step: Step, event: StoreRead, now: Now) -> None:
    """Expire those of the oldest finished tasks that the limits demand."""
    limits, needed = farm.limits, needed_inputs(farm) if event.oldest else set()
    excess = limits.excess(event.n_bytes)
    aged: set[int] = set()
    crowded: set[int] = set()
    for taskid, completed, n_bytes in event.oldest:
        is_aged = limits.is_aged(completed, now.wall)
        is_crowded = excess > 0 and completed <= now.wall - YOUNG
        if (is_aged or is_crowded) and may_expire(farm, needed, taskid):
            (aged if is_aged else crowded).add(taskid)
            excess -= n_bytes
    for taskids, for_room in ((aged, False), (crowded, True)):
        if taskids:
            commit(farm, step, Expired(ranges_of(taskids), for_room))
