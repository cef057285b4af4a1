"""Account of a farm's resources: the totals, what running attempts hold, and the tasks that need some."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

from taskfc_ext.core.state.queue import ReadyQueue
from taskfc_ext.protocol.resources import CORES, Needs, Totals

_CLIENTS = 1000
"""Clients whose turns are kept."""


class Holding(NamedTuple):
    """The resources that the attempt under one lease holds. `gpus`: the devices, as many as it needs."""

    needs: Needs
    gpus: tuple[str, ...] = ()


class Resources:
    """All resources of a farm, and its queues.

    A lease holds what its task needs from the dispatch until it is void. Ready tasks that need resources are not in
    the ready queue: those of equal needs are in a queue of their own, so that a long line for one resource costs
    nothing. `core.state.sharing` decides whose turn it is.

    Attributes:
        totals: what there is.
        held: lease -> what it holds. Follows from the records.
        ordinary: the ready tasks that need nothing.
        queues: needs -> the ready tasks with these needs; empty ones are dropped.
        served: client -> number of its last turn, or of the turn when it began to wait.
        n_turns: number of the last turn.
        shown: what subscribers know that tasks wait for: the first of each line.
    """

    def __init__(self, totals: Totals, ordinary: ReadyQueue, is_ready: Callable[[int], bool]) -> None:
        self.totals = totals
        self.ordinary = ordinary
        self.held: dict[int, Holding] = {}
        self.queues: dict[Needs, ReadyQueue] = {}
        self.served: dict[str, int] = {}
        self.shown: dict[int, str] = {}
        self._is_ready = is_ready
        self.n_turns = 0

    @property
    def in_use(self) -> bool:
        """Whether any task that needs resources is ready, or holds some."""
        return bool(self.held or self.queues)

    def all_queues(self) -> list[ReadyQueue]:
        """Return all queues of tasks that any worker may run."""
        return [self.ordinary, *self.queues.values()]

    def n_queued(self, limit: int) -> int:
        """Return how many tasks are queued, counting no further than `limit` in each queue."""
        n = self.ordinary.n_at_most(limit)
        return n + sum(queue.n_at_most(limit) for queue in self.queues.values()) if self.queues else n

    def queue_of(self, needs: Needs | None) -> ReadyQueue:
        """Return the queue of the tasks with `needs`, made on first use."""
        if needs is None:
            return self.ordinary
        queue = self.queues.get(needs)
        if queue is None:
            queue = self.queues[needs] = ReadyQueue(self._is_ready)
        return queue

    def waiting(self) -> Iterator[tuple[Needs, ReadyQueue]]:
        """Yield the queues that hold tasks; drop the others."""
        for needs, queue in list(self.queues.items()):
            if queue:
                yield needs, queue
            else:
                del self.queues[needs]

    def free(self, n_workers: int, n_ordinary: int, lending: Container[int]) -> dict[str, int]:
        """Return resource -> amount that is free for an idle worker.

        Args:
            n_workers: the intended number.
            n_ordinary: workers that run tasks that need nothing; each has a core.
            lending: leases whose attempts wait for other tasks: they lend their cores, and keep all else.
        """
        free = self.totals.amounts(n_workers)
        if self.totals.for_each:
            return free
        free[CORES] -= n_ordinary
        for lease, holding in self.held.items():
            for name, amount in holding.needs.amounts().items():
                if name != CORES or lease not in lending:
                    free[name] = free.get(name, 0) - amount
        return free

    def free_gpus(self) -> tuple[str, ...]:
        """Return the devices that no attempt holds."""
        given = {gpu for holding in self.held.values() for gpu in holding.gpus}
        return tuple(gpu for gpu in self.totals.gpus if gpu not in given)

    def choose_gpus(self, needs: Needs) -> tuple[str, ...]:
        """Return devices for an attempt with `needs`, which fits."""
        return self.free_gpus()[: needs.gpus]

    def note_turn(self, client: str) -> None:
        """Note that a task of `client` was dispatched, so that the others go before it."""
        self.n_turns += 1
        self.served[client] = self.n_turns

    def turns_of(self, clients: Iterable[str]) -> dict[str, int]:
        """Return the last turns of clients that wait; one that is new stands behind those that have waited before."""
        turns = {client: self.served.setdefault(client, self.n_turns) for client in clients}
        if len(self.served) > _CLIENTS:
            self.served = dict(turns)
        return turns

    def never(self, needs: Needs, n_workers: int) -> tuple[str, int, int] | None:
        """Return (resource, amount needed, amount in all) of a need that no waiting satisfies, or `None`."""
        totals = self.totals.amounts(n_workers)
        for name, amount in needs.amounts().items():
            if amount > totals.get(name, 0):
                return name, amount, totals.get(name, 0)
        return None
