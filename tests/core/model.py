"""Reference model of the expected state of each task, without queue, messages and records.

It receives the requests and the events of attempts in the order in which the controller receives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.spec import OnLost, Spec

MAX_DEATHS = 3
MAX_PLACE_LOSSES = 2  # lowered in the world
UNREACHABLE_AFTER = 30.0
REFUSALS = (Outcome.REFUSED, Outcome.NOT_NOW)


@dataclass
class Expected:
    """One task; `end` is the reason of its end, "" for a success, `None` before."""

    taskid: int
    session: str
    main: Spec
    parents: frozenset[int]
    needed: frozenset[int]
    inputs: frozenset[int] = frozenset()
    after_any: bool = False
    lease: int = 0
    worker: int = -1
    retries: int = 0
    deaths: int = 0
    place_losses: int = 0
    recovering: bool = False
    aborting: bool = False
    held: bool = False
    priority: int = 0
    timed_out: bool = False
    not_before: float = 0.0
    refused: dict[int, float] = field(default_factory=dict)
    refusals: int = 0
    clock: float | None = None
    fresh_starts: int = 0
    end: str | None = None

    @property
    def spec(self) -> Spec:
        return self.main.recovery.spec if self.recovering else self.main

    def refuses(self, now: float) -> set[int]:
        """Return the workers that are not to be asked: for ever, or until the back-off of a "not now" is over."""
        return {worker for worker, until in self.refused.items() if until > now}

    def forget_not_now(self) -> None:
        """Note that an attempt did not end in a refusal."""
        self.refusals, self.clock = 0, None


class Model:
    """The expected tasks, and the rules that change them."""

    def __init__(self) -> None:
        self.tasks: dict[int, Expected] = {}
        self.cleared: set[int] = set()
        self.retried: dict[int, int] = {}
        self.now = 0.0

    def live(self) -> list[Expected]:
        return [task for task in self.tasks.values() if task.end is None]

    def held_by(self, worker: int) -> list[Expected]:
        return [task for task in self.live() if task.lease and task.worker == worker]

    def waits(self, task: Expected) -> bool:
        return any(self.tasks[parent].end is None for parent in task.parents)

    def runnable(self, now: float) -> list[Expected]:
        free = [task for task in self.live() if not task.lease and not task.held]
        return [task for task in free if not self.waits(task) and task.not_before <= now]

    # requests

    def submit(self, ids, session: str, spec: Spec, after, after_any: bool, inputs) -> None:
        needed = frozenset(inputs if after_any else (*after, *inputs))
        for taskid in ids:
            parents = frozenset((*after, *inputs))
            task = Expected(taskid, session, spec, parents, needed, frozenset(inputs), after_any)
            task.priority = spec.priority
            self.tasks[taskid] = task
        if any(self.tasks[parent].end for parent in needed):
            for taskid in ids:
                self._end(self.tasks[taskid], "dependency")

    def abort(self, taskid: int) -> None:
        task = self.tasks[taskid]
        task.aborting = True
        if not task.lease:
            self._end(task, "aborted")

    def hold(self, taskids, held: bool) -> list[int]:
        """Return the tasks that a worker has."""
        for task in [self.tasks[taskid] for taskid in taskids]:
            if not task.lease:
                task.held = held
                task.clock = None if held else task.clock
        return [taskid for taskid in taskids if self.tasks[taskid].lease]

    def retry(self, taskid: int, session: str, next_id: int, blame: dict[int, int]) -> list[list[int]] | None:
        """Return (old id, new id) of all tasks that run again; `None` if an input of `taskid` is gone.

        Args:
            blame: tasks that failed with a dependency -> that dependency.
        """
        roots = (taskid, *self._retries(taskid))
        fallen, replacements, pairs = set(roots), {}, []
        for dependant in sorted(blame):
            task = self.tasks[dependant]
            assert blame[dependant] in task.needed
            if blame[dependant] in fallen and dependant not in self.cleared and dependant not in self.retried:
                fallen.add(dependant)
        for old in (taskid, *sorted(fallen.difference(roots))):
            task = self.tasks[old]
            if old != taskid and not replacements.keys() & task.parents:
                continue  # the dependency that it failed with does not run again
            parents = {parent: self._current_parent(parent, replacements) for parent in task.parents}
            inputs = [parents[parent] for parent in task.inputs]
            if self.cleared.intersection(inputs):
                if old == taskid:
                    return None
                continue
            after = set(parents.values()) - set(inputs) - self.cleared
            self.submit([next_id], session, task.main, after, task.after_any, inputs)
            replacements |= dict.fromkeys(roots if old == taskid else [old], next_id)
            pairs.append([old, next_id])
            next_id += 1
        self.retried.update(pairs)
        return pairs

    def _retries(self, taskid: int) -> list[int]:
        found = []
        while taskid not in self.cleared and self.retried.get(taskid) not in (None, *self.cleared):
            found.append(taskid := self.retried[taskid])
        return found

    def _current_parent(self, parent: int, replacements: dict[int, int]) -> int:
        if parent not in replacements and self.tasks[parent].end != "":
            parent = [parent, *self._retries(parent)][-1]
        return replacements.get(parent, parent)

    # attempts

    def dispatch(self, taskid: int, lease: int, worker: int) -> None:
        task = self.tasks[taskid]
        task.refused.pop(worker, None)
        task.lease, task.worker, task.timed_out = lease, worker, False

    def finish(self, task: Expected, outcome: Outcome, now: float) -> None:
        worker = task.worker
        self._release(task)
        if self._end_if_stopped(task):
            return
        if outcome in REFUSALS:
            pause = math.inf if outcome is Outcome.REFUSED else min(5.0, 0.1 * 2.0**task.refusals)
            task.refused[worker] = now + pause
            task.refusals += outcome is Outcome.NOT_NOW
            task.fresh_starts += 1
            return
        task.forget_not_now()
        if outcome is Outcome.OK:
            self._end(task, "")
        elif outcome is Outcome.INTERRUPTED:
            if task.spec.timeout is not None:
                self._fail(task, "timeout", now)
            elif task.spec.on_lost is OnLost.FAIL:
                self._fail(task, "lost", now)
        else:
            self._fail(task, "error", now, retryable=outcome is Outcome.ERROR)

    def give_back(self, task: Expected) -> None:
        self._release(task)
        if not self._end_if_stopped(task):
            task.forget_not_now()

    def lose(
        self, task: Expected, now: float, *, may_have_started: bool, blamed: bool, over_memory: bool = False
    ) -> None:
        self._release(task)
        if self._end_if_stopped(task):
            return
        task.forget_not_now()
        if over_memory and may_have_started:
            self._fail(task, "memory", now, retryable=task.spec.retry_memory)
        elif may_have_started and task.spec.on_lost is OnLost.FAIL:
            self._fail(task, "lost", now)
        elif blamed and task.deaths + 1 == MAX_DEATHS:
            self._fail(task, "poisoned", now)
        elif blamed:
            task.deaths += 1

    def lose_place(self, task: Expected, now: float, *, may_have_run: bool) -> None:
        self._release(task)
        if self._end_if_stopped(task):
            return
        task.forget_not_now()
        if task.spec.on_lost is OnLost.FAIL:
            self._fail(task, "lost", now)
        elif may_have_run and task.place_losses + 1 == MAX_PLACE_LOSSES:
            self._fail(task, "poisoned", now)
        elif may_have_run:
            task.place_losses += 1

    def redeliver(self, worker: int | None = None) -> None:
        """Offer rejected tasks to all workers again, or to this one."""
        for task in self.tasks.values():
            if worker is None:
                task.refused, task.clock = {}, None
            elif task.refused.pop(worker, None):
                task.clock = None

    def unreachable(self, task: Expected) -> None:
        self._end(task, "unreachable")

    # consequences

    def _release(self, task: Expected) -> None:
        task.lease, task.worker = 0, -1

    def _end_if_stopped(self, task: Expected) -> bool:
        if task.aborting:
            self._end(task, "aborted")
        elif task.timed_out:
            self._fail(task, "timeout", self.now)
        return task.aborting or task.timed_out

    def _fail(self, task: Expected, reason: str, now: float, *, retryable: bool = True) -> None:
        retryable = retryable and (reason != "timeout" or task.spec.retry_timeouts)
        task.forget_not_now()
        if retryable and reason in ("error", "timeout", "memory") and task.retries < task.spec.retries:
            task.retries += 1
            task.fresh_starts += 1
            task.not_before = now + task.spec.backoff * 2 ** (task.retries - 1) if task.spec.backoff else 0.0
        elif task.main.recovery is not None and not task.recovering:
            task.recovering, task.retries, task.deaths, task.place_losses, task.refused = True, 0, 0, 0, {}
            task.fresh_starts += 1
        else:
            self._end(task, reason)

    def _end(self, task: Expected, reason: str) -> None:
        todo = [(task, reason)]
        while todo:
            task, reason = todo.pop()
            task.end = reason
            if reason:
                children = [child for child in self.live() if task.taskid in child.needed]
                todo += [(child, "dependency") for child in children]
