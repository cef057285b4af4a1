"""Refusals: tasks that workers have rejected, and the queue of the rejected tasks that wait for another worker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct

from taskfc_ext.core.state.lines import Line, Lines
from taskfc_ext.protocol.resources import Needs

_NO_REASONS: Mapping[int, str] = MappingProxyType({})


class Rejection(Struct):
    """The refusals of one task.

    Attributes:
        reasons: workers that the task is not offered to -> the reason that each gave.
        n_not_now: number of "not now" in a row, for the back-off.
        unreachable_since: monotonic time since which every live worker rejects the task.
        line: the line in which the task waits; `None` while a worker has it.
        all_live: all live workers, if all of them rejected it at the last check: its message names their reasons.
    """

    reasons: dict[int, str] = {}
    n_not_now: int = 0
    unreachable_since: float | None = None
    line: Line | None = None
    all_live: frozenset[int] = frozenset()


class Refusals:
    """All refusals of a farm.

    A worker that refuses a task has *rejected* it: the task is offered to other workers only, until it is
    *redelivered*, that is, offered to this worker again. A rejected task that is ready to run is not in the ready
    queue: it waits here. `core.handlers.refusals` decides; this class keeps the parts in step.

    No record holds a refusal: after a restart every task is offered to all workers.

    Attributes:
        rejected: task id -> its refusals, from the first refusal to the end of the task.
        lines: the order of all lines, with those of tasks that need resources.
        waiting: line -> tasks that wait for a worker that has not rejected them, in order.
        to_check: tasks that every live worker may reject now; they are checked before the event is over.
        redelivered: tasks whose back-off of a "not now" has ended in this event.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.rejected: dict[int, Rejection] = {}
        self.waiting: dict[Line, OrderedDict[int, None]] = {}
        self.to_check: set[int] = set()
        self.redelivered: set[int] = set()

    def reject(self, taskid: int, worker: int, reason: str) -> Rejection:
        """Note that `worker` refuses a task; return the refusals of the task."""
        rejection = self.rejected.setdefault(taskid, Rejection())
        rejection.reasons[worker] = reason
        self.to_check.add(taskid)
        return rejection

    def reasons_of(self, taskid: int) -> Mapping[int, str]:
        """Return the workers that the task is not offered to, with the reason that each gave."""
        rejection = self.rejected.get(taskid)
        return rejection.reasons if rejection is not None else _NO_REASONS

    def enqueue(self, taskid: int, rank: int, client: str, needs: Needs | None = None) -> None:
        """Let a rejected task wait for a worker that has not rejected it."""
        rejection = self.rejected[taskid]
        line = rejection.line = Line(rank, client, needs, frozenset(rejection.reasons))
        self.waiting.setdefault(line, OrderedDict())[taskid] = None
        self._settle(line)

    def withdraw(self, taskid: int) -> bool:
        """Let the task wait here no longer; return whether it did."""
        rejection = self.rejected.get(taskid)
        if rejection is None or rejection.line is None:
            return False
        line, rejection.line = rejection.line, None
        del self.waiting[line][taskid]
        self._settle(line)
        return True

    def _settle(self, line: Line) -> None:
        """Note the first task of a line after a change."""
        tasks = self.waiting[line]
        self.lines.set_first(line, next(iter(tasks), None))
        if not tasks:
            del self.waiting[line]

    def waiting_ids(self) -> list[int]:
        """Return the tasks that wait here."""
        return [taskid for tasks in self.waiting.values() for taskid in tasks]

    def check_later(self, taskids: Iterable[int]) -> None:
        """Have the rejected ones of `taskids` checked before the event is over: fewer workers are left to offer."""
        self.to_check.update(self.rejected.keys() & taskids)

    def stop_clock(self, taskid: int) -> None:
        """Forget since when every live worker rejects the task."""
        rejection = self.rejected.get(taskid)
        if rejection is not None:
            rejection.unreachable_since = None

    def reset_back_off(self, taskid: int) -> None:
        """Note that an attempt did not end in a refusal: the next "not now" is the first one again."""
        rejection = self.rejected.get(taskid)
        if rejection is not None:
            rejection.n_not_now = 0
            rejection.unreachable_since = None

    def offer_to_all(self, taskid: int) -> None:
        """Offer the task, which does not wait here, to all workers."""
        rejection = self.rejected.get(taskid)
        if rejection is not None:
            rejection.reasons = {}

    def discard(self, taskid: int) -> None:
        """Forget the refusals of a task that has ended."""
        self.withdraw(taskid)
        self.rejected.pop(taskid, None)
