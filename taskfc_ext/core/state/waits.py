"""Open barriers, and tasks that wait for tasks: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from taskfc_ext.core.state.task import Task

if TYPE_CHECKING:
    from taskfc_ext.core.state.farm import Worker

DEEPER = 4_000_000
"""What one wait of a task for another adds to a rank in the queue: more than all priorities span."""


class OpenBarrier(Struct):
    """A `Barrier` that is not answered yet.

    Attributes:
        worker: the one that the client is on, or -1.
        until: the last lease that this worker held then: when all up to it are over, the task that waits has ended.
        is_for_all: it was asked for all that were unfinished.
    """

    session: str
    seq: int
    remaining: set[int]
    worker: int = -1
    until: int = 0
    is_for_all: bool = False


def is_valid(workers: Mapping[int, Worker], barrier: OpenBarrier) -> bool:
    """Whether the task that waits still runs: a thread or a program that it has left may wait on."""
    worker = workers.get(barrier.worker)
    return worker is not None and next(iter(worker.leases), barrier.until + 1) <= barrier.until


Key = tuple[str, int]
"""A barrier's session and number."""


class Waits(Struct):
    """What tasks wait for. There is one as soon as a task has waited.

    Attributes:
        changed: workers whose task waits for something else than subscribers were told.
        lending: workers whose task waits.
        n_substitutes: workers that there should be beside those that were asked for.
        n_used: the most that were needed since it was last looked whether they are too many.
        has_timer: a timer is set for the next such look.
        sessions: clients on workers that have waited -> how deep; their tasks go before all others.
        tasks: tasks of others that tasks wait for -> how deep.
    """

    changed: set[int] = set()
    lending: set[int] = set()
    n_substitutes: int = 0
    n_used: int = 0
    has_timer: bool = False
    sessions: dict[str, int] = {}
    tasks: dict[int, int] = {}

    def depth_of(self, task: Task) -> int:
        """Return under how many waits `task` stands; 0: no task waits for it."""
        return max(self.sessions.get(task.batch.session, 0), self.tasks.get(task.taskid, 0))
