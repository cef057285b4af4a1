"""The queue: by priority, then round-robin between clients, then in order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

_MAX_SORTED = 256
"""Entries that returned tasks are sorted in among: more than all workers can have returned just before."""


class ReadyQueue:
    """Task ids that are ready to be dispatched.

    The highest rank goes first: the depth of the waits for a task, then its priority.

    Void entries stay: an id whose task has ended or was dispatched is skipped when it comes up (`is_ready`). An id must
    not be pushed while a live entry of it is in the queue.

    Args:
        is_ready: tells whether the task of this id is still to be dispatched.
    """

    def __init__(self, is_ready: Callable[[int], bool]) -> None:
        self._is_ready = is_ready
        self._levels: dict[int, dict[str, deque[int]]] = {}  # rank -> client -> ids
        self._order: list[int] = []  # ranks, highest first

    def push(self, rank: int, client: str, taskids: Iterable[int]) -> None:
        """Append `taskids` behind the others of this client."""
        self._line(rank, client).extend(taskids)

    def push_front(self, rank: int, client: str, taskids: Iterable[int]) -> None:
        """Put `taskids` back before the others of this client, since they have waited already.

        Among tasks that came back just before, the one submitted first goes first.
        """
        line = self._line(rank, client)
        back = sorted(taskids)
        newest = back[-1] if back else -1
        for _ in range(_MAX_SORTED):
            if not line or line[0] > newest:
                break
            back.append(line.popleft())
        line.extendleft(sorted(back, reverse=True))

    def insert(self, rank: int, client: str, taskids: Iterable[int]) -> None:
        """Put `taskids` in by their age: each before the first newer one of this client."""
        line = self._line(rank, client)
        older: list[int] = []
        for taskid in sorted(taskids):
            while line and line[0] < taskid:
                older.append(line.popleft())
            older.append(taskid)
        line.extendleft(reversed(older))

    def remove(self, rank: int, client: str, taskids: set[int]) -> None:
        """Take `taskids` out of the line of this client, in time linear in the line."""
        line = self._levels.get(rank, {}).get(client)
        if line:
            kept = [taskid for taskid in line if taskid not in taskids]
            line.clear()
            line.extend(kept)

    def take_client(self, client: str) -> list[int]:
        """Take all tasks of this client out of the queue; return them."""
        lines = [clients.pop(client) for clients in self._levels.values() if client in clients]
        return [taskid for line in lines for taskid in line]

    def peek(self) -> tuple[int, int] | None:
        """Return (rank, id) of the next task, or `None`."""
        while self._order:
            rank = self._order[0]
            clients = self._levels[rank]
            while clients:
                client = next(iter(clients))
                line = clients[client]
                while line:
                    if self._is_ready(line[0]):
                        return rank, line[0]
                    line.popleft()
                del clients[client]
            del self._levels[rank]
            del self._order[0]
        return None

    def take(self, n: int, joins: Callable[[int], bool]) -> list[int]:
        """Take the next id, and then up to `n` in all while the next one `joins` the first.

        Where several clients wait, each gives one at a time.
        """
        taken: list[int] = []
        is_ready = self._is_ready
        while len(taken) < n and (head := self.peek()) is not None:
            clients = self._levels[head[0]]
            client = next(iter(clients))
            line = clients[client]
            share = n if len(clients) == 1 else len(taken) + 1
            while line and len(taken) < share:
                taskid = line[0]
                if is_ready(taskid):
                    if taken and not joins(taskid):
                        return taken
                    taken.append(taskid)
                line.popleft()
            clients[client] = clients.pop(client)
        return taken

    def __bool__(self) -> bool:
        return self.peek() is not None

    def n_at_most(self, limit: int) -> int:
        """Return how many entries there are, counting no further than `limit`; skipped ones may be among them."""
        lines = (line for clients in self._levels.values() for line in clients.values())
        n = 0
        for line in lines:
            n += len(line)
            if n >= limit:
                return limit
        return n

    def has(self, n: int) -> bool:
        """Return whether at least `n` ids are ready among the first `n` of each line. Never counts skipped entries."""
        lines = (line for clients in self._levels.values() for line in clients.values())
        ready = (taskid for line in lines for taskid in islice(line, n) if self._is_ready(taskid))
        return next(islice(ready, n - 1, None), None) is not None

    def first(self, n: int) -> list[int]:
        """Return the first `n` ids in the order in which they are dispatched now."""
        found: list[int] = []
        for rank in self._order:
            lines = deque(filter(self._is_ready, line) for line in self._levels[rank].values())
            while lines and len(found) < n:
                if (taskid := next(lines[0], None)) is None:
                    lines.popleft()
                else:
                    found.append(taskid)
                    lines.rotate(-1)
        return found

    def heads(self) -> list[int]:
        """Return the first id of each line."""
        lines = (line for clients in self._levels.values() for line in clients.values())
        return [taskid for line in lines if (taskid := next(filter(self._is_ready, line), -1)) >= 0]

    def ids(self) -> list[int]:
        """Return the ids of the queue, each client's in order, highest rank first."""
        return [taskid for _, taskid in self.places()]

    def places(self) -> list[tuple[int, int]]:
        """Return (rank, id) of the queue, in the order of `ids`."""
        return [
            (rank, taskid)
            for rank in self._order
            for line in self._levels[rank].values()
            for taskid in islice(line, len(line))
            if self._is_ready(taskid)
        ]

    def _line(self, rank: int, client: str) -> deque[int]:
        if rank not in self._levels:
            self._levels[rank] = {}
            self._order.append(rank)
            self._order.sort(reverse=True)
        return self._levels[rank].setdefault(client, deque())
