"""The open barriers, found by the tasks that they wait for: an end of a task costs the same however many others wait.

A barrier that waits for few tasks stands in a list of each. One that waits for many, a *wide* one, stands in none, as
that would take several times the memory of the barrier: it is asked at each end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from taskfc_ext.core.state.waits import Key, OpenBarrier

WIDE = 100
"""Tasks of a barrier from which it is wide."""


class Barriers(Mapping[Key, OpenBarrier]):
    """All open barriers, the oldest first."""

    def __init__(self) -> None:
        self._open: dict[Key, OpenBarrier] = {}
        self._wide: dict[Key, OpenBarrier] = {}
        self._in_tasks: dict[Key, OpenBarrier] = {}
        self._of_task: dict[int, dict[Key, None]] = {}
        self._of_session: dict[str, dict[Key, OpenBarrier]] = {}

    def __getitem__(self, key: Key) -> OpenBarrier:
        return self._open[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def of_session(self, session: str) -> Mapping[Key, OpenBarrier]:
        """Return the barriers of a client."""
        return self._of_session.get(session, {})

    def in_tasks(self) -> Iterable[OpenBarrier]:
        """Return the barriers of clients on workers."""
        return self._in_tasks.values()

    def add(self, barrier: OpenBarrier) -> None:
        """Add a barrier. Tasks may leave its `remaining` afterwards, and none may join it."""
        key = barrier.key
        self._open[key] = barrier
        self._of_session.setdefault(barrier.session, {})[key] = barrier
        if barrier.worker >= 0:
            self._in_tasks[key] = barrier
        if len(barrier.remaining) >= WIDE:
            self._wide[key] = barrier
            return
        for taskid in barrier.remaining:
            self._of_task.setdefault(taskid, {})[key] = None

    def close(self, key: Key) -> OpenBarrier | None:
        """Remove a barrier and return it; `None` if it is not open."""
        barrier = self._open.pop(key, None)
        if barrier is None:
            return None
        own = self._of_session[barrier.session]
        del own[key]
        if not own:
            del self._of_session[barrier.session]
        self._in_tasks.pop(key, None)
        if self._wide.pop(key, None) is None:
            for taskid in barrier.remaining:
                keys = self._of_task.get(taskid, {})
                keys.pop(key, None)
                if not keys:
                    self._of_task.pop(taskid, None)
        return barrier

    def take_waiting(self, taskids: Sequence[int]) -> list[OpenBarrier]:
        """Return the barriers that wait for any of these tasks, which have ended and are asked for once."""
        keys: dict[Key, None] = {}
        if self._of_task:
            for taskid in taskids:
                keys.update(self._of_task.pop(taskid, {}))
        found = [barrier for key in keys if (barrier := self._open.get(key)) is not None]
        return found + [barrier for barrier in self._wide.values() if not barrier.remaining.isdisjoint(taskids)]

    def is_found_by(self, key: Key, taskid: int) -> bool:
        """Return whether this barrier is found when the task ends."""
        return key in self._wide or key in self._of_task.get(taskid, ())
