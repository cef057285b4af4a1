"""Shrinking: the shortest plan, of those that are found, that breaks the same invariant.

Steps are left out by delta debugging, then single tasks, then clients and workers. A plan with a step left out draws
other delays than before, so each candidate is tried with some salts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulate.ledger import Violation
from tests.simulate.plan import Plan
from tests.simulate.world import World

N_SALTS = 3

Play = Callable[[Plan, int], Violation | None]


def play(plan: Plan, salt: int = 0) -> Violation | None:
    """Return the violation that the plan leads to, if there is one."""
    try:
        World(plan, salt).run()
    except Violation as violation:
        return violation
    return None


def shrink(plan: Plan, name: str, most: int = 400, play: Play = play) -> tuple[Plan, int]:
    """Return a shorter plan that breaks the invariant `name`, and the salt of its delays.

    Args:
        most: runs of a world at most.
    """
    search = _Search(plan, name, most, play)
    n = max(1, len(plan.steps) // 2)
    while search.is_going:
        before = search.plan
        search.leave_out(n)
        if n > 1:
            n //= 2
        elif search.plan is before:
            break
    for smaller in (_with_fewer_jobs, _with_fewer_processes):
        while search.is_going and any(search.takes(candidate) for candidate in smaller(search.plan)):
            pass
    return search.plan, search.salt


class _Search:
    def __init__(self, plan: Plan, name: str, most: int, play: Play) -> None:
        self.plan, self.salt = plan, 0
        self._name, self._left, self._play = name, most, play

    @property
    def is_going(self) -> bool:
        """Whether more runs are allowed."""
        return self._left > 0

    def takes(self, candidate: Plan) -> bool:
        """Take a candidate that breaks the same invariant; return whether it does."""
        for salt in (self.salt, *(salt for salt in range(N_SALTS) if salt != self.salt)):
            self._left -= 1
            violation = self._play(candidate, salt)
            if violation is not None and violation.name == self._name:
                self.plan, self.salt = candidate, salt
                return True
            if not self.is_going:
                break
        return False

    def leave_out(self, n: int) -> None:
        """Leave out `n` neighbours wherever that is possible."""
        at = 0
        while at < len(self.plan.steps) and self.is_going:
            if not self.takes(self.plan.without(set(range(at, at + n)))):
                at += n


def _with_fewer_jobs(plan: Plan) -> Iterator[Plan]:
    for at, step in enumerate(plan.steps):
        for job in step.jobs if len(step.jobs) > 1 else ():
            fewer = replace(step, jobs=tuple(other for other in step.jobs if other is not job))
            yield replace(plan, steps=(*plan.steps[:at], fewer, *plan.steps[at + 1 :]))


def _with_fewer_processes(plan: Plan) -> Iterator[Plan]:
    if plan.n_clients > 1:
        yield replace(plan, n_clients=plan.n_clients - 1)
    if plan.n_workers > 1:
        yield replace(plan, n_workers=plan.n_workers - 1)
