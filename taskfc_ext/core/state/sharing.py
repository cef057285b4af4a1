"""Sharing of a farm's resources: whose turn it is, and what is kept for whom.

The rule: tasks that need resources, tasks that do not, and tasks that some workers have rejected are one line, by
priority, then by turns between the clients, then in order of arrival. A task that does not fit keeps its place: what it
needs is kept for it, and the tasks behind it start on what is left over. Cores are kept only when all else that it
needs is free, a worker that has not rejected it included: then nothing else starts, as every task needs a core, until
there are enough. So a small task never delays a large one for ever, and a task that waits hours for a GPU keeps no core
idle. Nothing is kept for a task that all workers have rejected.

`Round.look` is the only owner of the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from heapq import merge

from msgspec import Struct

from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.lines import Kind, Line, Place
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.resources import CORES, Needs

_ORDINARY = {CORES: 1}


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


def lacking(amounts: dict[str, int], free: dict[str, int]) -> dict[str, int]:
    """Return resource -> amount needed, for those of which too little is free."""
    return {name: amount for name, amount in amounts.items() if amount > free.get(name, 0)}


class Standing(Enum):
    """The state of the first task of a line, when it is its turn."""

    STARTS = auto()  # on the worker that is asked for
    STARTS_ELSEWHERE = auto()  # on another idle worker
    WAITS = auto()  # for more than cores
    STOPS = auto()  # it waits for cores alone, so nothing behind it starts
    PASSED = auto()  # it can start nowhere, so nothing is kept for it


class Look(Struct):
    """The result of a look along the lines.

    Attributes:
        left: resource -> amount that is left over by the tasks that wait.
        idle: idle workers that are left over by the tasks that start elsewhere.
        keepers: resource -> the first task that some is kept for.
        stopper: the task that all cores are kept for, or `None`.
        next: the task that starts, or `None`.
    """

    left: dict[str, int]
    idle: set[int]
    keepers: dict[str, int] = {}
    stopper: int | None = None
    next: Place | None = None


class Round:
    """One round of dispatches.

    Attributes:
        is_plain: the ordinary queue is all there is, and any worker may take its next task.
        free: resource -> amount that is free now.
        idle: the workers that hold nothing, and may get tasks.
    """

    def __init__(self, farm: Farm, idle: set[int]) -> None:
        in_use = farm.resources.in_use
        self.idle = idle
        self.is_plain = not in_use and not farm.lines.firsts
        self.free = free_amounts(farm) if in_use else {}
        self._farm = farm
        self._is_shared = in_use and not farm.resources.totals.for_each
        self._live: set[int] | None = None

    def next_for(self, worker: Worker) -> tuple[int, Line | None] | None:
        """Return the next task for `worker` and its line, or `None` if none may start there now.

        Of a line it is for an idle worker: a busy one has no room for such a task, and gets nothing until it is idle.
        """
        if self.is_plain:
            head = self._farm.queue.peek()
            return None if head is None else (head[1], None)
        if self._is_shared and not worker.leases and self.free[CORES] < 1:
            return None
        place = self.look(worker).next
        return None if place is None else (place.taskid, place.line)

    def note(self, worker: Worker, needs: Needs | None) -> None:
        """Note that `worker` is sent a task with `needs`; call it before."""
        if self._is_shared and (needs is not None or not worker.leases):
            _take(self.free, amounts_of(needs))
        self.idle.discard(worker.worker)

    def look(self, worker: Worker | None = None) -> Look:
        """Look along the lines up to the first task that starts on `worker`, or by default on any idle worker."""
        look = Look(dict(self.free), self.idle if worker is None else self.idle - {worker.worker})
        for place in self._in_turn(look.left):
            needs = None if place.line is None else place.line.needs
            match self._judge(place.line, worker, look):
                case Standing.STARTS:
                    look.next = place
                    return look
                case Standing.STOPS:
                    look.stopper = None if needs is None else place.taskid
                    return look
                case Standing.STARTS_ELSEWHERE if self._is_shared:
                    _take(look.left, amounts_of(needs))
                case Standing.WAITS if self._is_shared:
                    amounts = amounts_of(needs)
                    del amounts[CORES]
                    _take(look.left, amounts)
                    for name in amounts:
                        look.keepers.setdefault(name, place.taskid)
        return look

    def _judge(self, line: Line | None, worker: Worker | None, look: Look) -> Standing:
        short = self._find_lacking(None if line is None else line.needs, look.left)
        if line is None:
            # The core of a worker that runs ordinary tasks is counted already.
            return Standing.STOPS if short and not (worker is not None and worker.leases) else Standing.STARTS
        if short and line.needs is not None and self._farm.resources.never(line.needs, self._farm.n_workers):
            return Standing.PASSED  # the farm has become smaller, or has moved
        if line.workers and self._find_live() <= line.workers:
            return Standing.PASSED
        if short.keys() - {CORES}:
            return Standing.WAITS
        idle = look.idle - line.workers
        starts_here = not line.workers or (bool(idle) if worker is None else worker.worker not in line.workers)
        if not starts_here and not idle:
            return Standing.WAITS
        if short:
            return Standing.STOPS
        if starts_here:
            return Standing.STARTS
        look.idle = look.idle - {min(idle)}
        return Standing.STARTS_ELSEWHERE

    def _find_lacking(self, needs: Needs | None, free: dict[str, int]) -> dict[str, int]:
        if needs is not None:
            return lacking(needs.amounts(), free)
        return lacking(_ORDINARY, free) if self._is_shared else {}

    def _find_live(self) -> set[int]:
        if self._live is None:
            self._live = self._farm.live_workers()
        return self._live

    def _in_turn(self, left: dict[str, int]) -> Iterator[Place]:
        """Yield the first task of the ordinary queue and of the lines in turn, without those that change nothing.

        Where nothing is left of all that the tasks of a kind need, none of them can start, nor keep any of it.
        """

        def is_used_up(kind: Kind) -> bool:
            return bool(kind) and all(left.get(name, 0) <= 0 for name in kind)

        return in_turn(self._farm, is_used_up)


def in_turn(farm: Farm, is_used_up: Callable[[Kind], bool]) -> Iterator[Place]:
    """Yield the first task of the ordinary queue and of each line, in turn."""
    turn_of = farm.resources.turn_of
    head = farm.queue.peek()
    places = farm.lines.in_turn(turn_of, is_used_up)
    if head is None:
        return places
    rank, taskid = head
    ordinary = Place(-rank, turn_of(farm.tasks[taskid].batch.session), taskid, None)
    return merge((ordinary,), places)


def amounts_of(needs: Needs | None) -> dict[str, int]:
    """Return resource -> amount that a task with `needs` takes."""
    return dict(_ORDINARY) if needs is None else needs.amounts()


def _take(free: dict[str, int], amounts: dict[str, int]) -> None:
    """Take `amounts` out of what is free; there may be too little."""
    for name, amount in amounts.items():
        free[name] = free.get(name, 0) - amount
