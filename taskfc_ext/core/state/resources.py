"""Account of a farm's resources: the totals, what running attempts hold, and the tasks that need some."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from taskfc_ext.core.state.lines import Line, Lines
from taskfc_ext.core.state.queue import ReadyQueue
from taskfc_ext.protocol.resources import CORES, Needs, Totals

_CLIENTS = 1000
"""Number of clients above which the turns of those that wait in no line are dropped."""


class Holding(NamedTuple):
    """The resources that the attempt under one lease holds. `gpus`: the devices, as many as it needs."""

    needs: Needs
    gpus: tuple[str, ...] = ()


class Resources:
    """All resources of a farm, and its queues.

    A lease holds what its task needs from the dispatch until it is void. Ready tasks that need resources are not in
    the ready queue, but in lines, each a queue of its own. `core.state.sharing` decides whose turn it is.

    Attributes:
        totals: what there is.
        held: lease -> what it holds. Follows from the records.
        ordinary: the ready tasks that need nothing.
        lines: the order of all lines, with those of rejected tasks.
        queues: line -> its tasks; empty ones are dropped.
        served: client -> number of its last turn, or of the turn when it began to wait.
        n_turns: number of the last turn.
        shown: what subscribers know that tasks wait for: the first of the first lines.
    """

    def __init__(self, totals: Totals, ordinary: ReadyQueue, lines: Lines, is_ready: Callable[[int], bool]) -> None:
        self.totals = totals
        self.lines = lines
        self.ordinary = ordinary
        self.held: dict[int, Holding] = {}
        self.queues: dict[Line, ReadyQueue] = {}
        self.served: dict[str, int] = {}
        self.shown: dict[int, str] = {}
        self._is_ready = is_ready
        self._most_served = _CLIENTS
        self.n_turns = 0

    @property
    def in_use(self) -> bool:
        """Whether any task that needs resources is ready, or holds some."""
        return bool(self.held or self.lines.n_needy)

    def all_queues(self) -> list[ReadyQueue]:
        """Return all queues of tasks that any worker may run."""
        return [self.ordinary, *self.queues.values()]

    def queue_of(self, line: Line) -> ReadyQueue:
        """Return the queue of a line, made on first use; `settle` has to follow each change of it."""
        if line.needs is None:
            return self.ordinary
        queue = self.queues.get(line)
        if queue is None:
            queue = self.queues[line] = ReadyQueue(self._is_ready)
        return queue

    def settle(self, line: Line) -> None:
        """Note the first task of a line after a change of its queue."""
        if line.needs is None:
            return
        head = self.queues[line].peek()
        self.lines.set_first(line, None if head is None else head[1])
        if head is None:
            del self.queues[line]

    def take(self, line: Line) -> int:
        """Take the first task of a line."""
        [taskid] = self.queues[line].take(1, lambda _: False)
        self.settle(line)
        return taskid

    def take_client(self, client: str) -> list[int]:
        """Take all tasks of a client out of the queues; return them."""
        taken = self.ordinary.take_client(client)
        for line in [line for line in self.queues if line.client == client]:
            taken += self.queues[line].ids()
            del self.queues[line]
            self.lines.set_first(line, None)
        return taken

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
        return self.free_gpus()[: needs.gpus] if needs.gpus else ()

    def note_turn(self, client: str) -> None:
        """Note that a task of `client` was dispatched, so that the others go before it."""
        self.n_turns += 1
        self.served[client] = self.n_turns

    def turn_of(self, client: str) -> int:
        """Return the last turn of a client that waits; one that is new stands behind those that have waited before."""
        if len(self.served) >= self._most_served and client not in self.served:
            waiting = {line.client for line in self.lines.firsts}
            self.served = {each: turn for each, turn in self.served.items() if each in waiting}
            self._most_served = max(_CLIENTS, 2 * len(self.served))
        return self.served.setdefault(client, self.n_turns)

    def never(self, needs: Needs, n_workers: int) -> tuple[str, int, int] | None:
        """Return (resource, amount needed, amount in all) of a need that no waiting satisfies, or `None`."""
        totals = self.totals.amounts(n_workers)
        for name, amount in needs.amounts().items():
            if amount > totals.get(name, 0):
                return name, amount, totals.get(name, 0)
        return None
