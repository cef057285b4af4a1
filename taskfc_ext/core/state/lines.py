"""Lines of ready tasks that are not in the ordinary queue, in the order of their turns.

Tasks that need resources, and tasks that some workers have rejected, stand in lines: one for each rank, client, needs
and set of workers. Only the first task of a line is ever examined, so a long line costs no more than one task.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from heapq import merge
from typing import NamedTuple

from taskfc_ext.protocol.resources import CORES, Needs

Kind = frozenset[str]
"""The names of the resources, beside cores, that the tasks of a line need."""


class Line(NamedTuple):
    """The key of a line. `workers`: those that have rejected its tasks."""

    rank: int
    client: str
    needs: Needs | None = None
    workers: frozenset[int] = frozenset()


class Place(NamedTuple):
    """The place of the first task of a line in the order of turns. `line`: `None` for the ordinary queue."""

    minus_rank: int
    turn: int
    taskid: int
    line: Line | None


class Lines:
    """The first task of each line that has tasks. Its owner, `Resources` or `Refusals`, has the others.

    Attributes:
        firsts: line -> its first task.
        n_needy: number of lines whose tasks need resources.
    """

    def __init__(self) -> None:
        self.firsts: dict[Line, int] = {}
        self.n_needy = 0
        self._line_of: dict[int, Line] = {}
        self._ranks: list[int] = []  # ascending
        self._places: dict[int, dict[tuple[str, Kind], list[int]]] = {}  # rank -> client, kind -> first tasks

    def set_first(self, line: Line, taskid: int | None) -> None:
        """Note the first task of `line`; `None`: it is empty."""
        before = self.firsts.get(line)
        if before == taskid:
            return
        if before is not None:
            self._remove(line, before)
        if taskid is not None:
            self._add(line, taskid)

    def line_led_by(self, taskid: int) -> Line | None:
        """Return the line whose first task this is, or `None`."""
        return self._line_of.get(taskid)

    def in_turn(self, turn_of: Callable[[str], int], is_used_up: Callable[[Kind], bool]) -> Iterator[Place]:
        """Yield the first tasks: by rank, then by the turns of their clients, then in order of arrival.

        Args:
            turn_of: returns the last turn of a client.
            is_used_up: tells whether to leave out the lines of a kind from now on. It is asked again for each line.
        """

        def in_line(rank: int, client: str, kind: Kind, taskids: list[int]) -> Iterator[Place]:
            turn = turn_of(client)
            for taskid in taskids:
                if is_used_up(kind):
                    return
                yield Place(-rank, turn, taskid, self._line_of[taskid])

        for rank in reversed(self._ranks):
            yield from merge(*(in_line(rank, *key, taskids) for key, taskids in self._places[rank].items()))

    def _add(self, line: Line, taskid: int) -> None:
        self.firsts[line] = taskid
        self._line_of[taskid] = line
        self.n_needy += line.needs is not None
        if line.rank not in self._places:
            self._places[line.rank] = {}
            insort(self._ranks, line.rank)
        insort(self._places[line.rank].setdefault(_key_of(line), []), taskid)

    def _remove(self, line: Line, taskid: int) -> None:
        del self.firsts[line], self._line_of[taskid]
        self.n_needy -= line.needs is not None
        at_rank, key = self._places[line.rank], _key_of(line)
        taskids = at_rank[key]
        del taskids[bisect_left(taskids, taskid)]
        if not taskids:
            del at_rank[key]
            if not at_rank:
                del self._places[line.rank]
                del self._ranks[bisect_left(self._ranks, line.rank)]


def _key_of(line: Line) -> tuple[str, Kind]:
    needs = line.needs
    return line.client, frozenset() if needs is None else frozenset(needs.amounts()) - {CORES}
