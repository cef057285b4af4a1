"""The engine in whose slots the workers of a farm run: its state, and the number of slots that the farm can use."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct

from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import EngineState

if TYPE_CHECKING:
    from taskfc_ext.core.state.farm import Farm

AHEAD = 0.004
"""Seconds of work that a worker holds: a few round trips, and little enough to give back without loss."""


class Engine(Struct):
    """The engine of a farm.

    Attributes:
        report: its last report.
        since: wall-clock time of the first report with that state.
        demand: the demand that was sent last; -1: none.
        idle: seconds after which an idle worker ends, where there are more than the demand; 0: never.
        idle_marks: worker -> its `finished_seq` when the clock of idle workers was started; `None`: it stands.
    """

    report: EngineState
    since: float
    demand: int = -1
    idle: float = 0.0
    idle_marks: dict[int, int] | None = None


class Distance(Struct):
    """The distance of a worker on an engine.

    Attributes:
        round_trip: seconds from a task sent to its result, without its run time; `None`: not measured yet.
        timed_lease: the lease that measures the next one; 0: none.
        sent_at: monotonic time at which that lease was sent.
    """

    round_trip: float | None = None
    timed_lease: int = 0
    sent_at: float = 0.0


def count_demand(farm: Farm) -> int:
    """Return the number of tasks that run or can run now, at most as many as there may be workers.

    Tasks that were aborted in the queue may count while others are held or wait for a retry.
    """
    limit = farm.n_workers + farm.n_substitutes
    n_queued = count_queued(farm, limit)
    n_unended = farm.counts[State.SCHEDULED] + farm.counts[State.RUNNING]
    return min(limit, len(farm.leases) + n_queued, n_unended)


def count_queued(farm: Farm, limit: int) -> int:
    """Return the number of ready tasks that can run, at most `limit`; skipped entries of queues may count."""
    n = farm.queue.n_at_most(limit)
    sizes = ((line, queue.n_at_most(limit)) for line, queue in farm.resources.queues.items())
    rejected = ((line, len(tasks)) for line, tasks in farm.refusals.waiting.items())
    for line, size in chain(sizes, rejected):
        if n >= limit:
            break
        if line.needs is None or not farm.resources.never(line.needs, farm.n_workers):
            n += size
    return min(n, limit)


def is_growing(farm: Farm) -> bool:
    """Return whether the farm has asked an engine for more workers than take tasks now."""
    return farm.engine is not None and farm.engine.demand > len(farm.live_workers())


def n_staying(farm: Farm) -> int:
    """Return the number of workers that do not retire."""
    return sum(not worker.retiring for worker in farm.workers.values())
