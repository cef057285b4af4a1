"""Open barriers, and tasks that wait for tasks: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from taskfc_ext.core.state.task import Task

if TYPE_CHECKING:
    from taskfc_ext.core.state.worker import Worker

DEEPER = 4_000_000
"""The amount that one wait of a task for another adds to a rank: more than all priorities span."""

Key = tuple[str, int]
"""A barrier's session and number."""


class OpenBarrier(Struct):
    """A `Barrier` that is not answered yet.

    Attributes:
        total: the number of tasks that it waited for at first.
        n_failed: the number of those that have not succeeded.
        worker: the worker that the client runs on, or -1.
        until: the last lease of this worker at that time; when all up to it are over, the task that waits has ended.
        is_for_all: it waits for all tasks that were unfinished then.
    """

    session: str
    seq: int
    remaining: set[int]
    total: int = 0
    n_failed: int = 0
    worker: int = -1
    until: int = 0
    is_for_all: bool = False

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.session, self.seq


def is_valid(workers: Mapping[int, Worker], barrier: OpenBarrier) -> bool:
    """Return whether the task that waits still runs: a thread or a program that it has left may wait on."""
    worker = workers.get(barrier.worker)
    return worker is not None and next(iter(worker.leases), barrier.until + 1) <= barrier.until


class Waits(Struct):
    """Waits of tasks for tasks. Exists from the first wait on.

    Attributes:
        changed: workers whose task waits for other tasks than the ones sent to subscribers.
        lending: workers whose task waits.
        n_substitutes: number of workers wanted beside the ones asked for.
        n_used: the most substitutes needed since the last timer.
        has_timer: a timer is set that ends the ones not needed.
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
        """Return the depth of the waits for `task`; 0 if no task waits for it."""
        return max(self.sessions.get(task.batch.session, 0), self.tasks.get(task.taskid, 0))
