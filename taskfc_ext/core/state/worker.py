"""One worker, as the farm's state has it."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.core.state.engine import AHEAD, Distance
from taskfc_ext.protocol.worker_messages import Progress


class Worker(Struct):
    """One worker, as the controller knows it.

    Attributes:
        place: the name of its host; "": this machine.
        ready: its `Ready` has come on this connection; before that nothing is sent to it.
        leases: its leases -> task id, in the order in which it runs them.
        busy: its first lease runs long; it gets no more tasks until that one has ended.
        asked_back: its last lease when it was asked to give back what it has not started.
        may_be_stuck: a timer checks that.
        known: the code that it has, digest -> bytes; the code used last is at the end.
        finished_seq: the number of its last `Finished` that was handled.
        retiring: it gets no more tasks, and ends when it holds no lease.
        pending: broadcasts that it was sent and has not run, in order; until then it gets no tasks.
        set_up: broadcasts that it has run -> the problem, or "".
        progress: its last `Progress`; void once that lease is over.
        ahead: seconds of work that it holds.
        distance: its measured distance; `None` at home.
    """

    worker: int
    pid: int = 0
    place: str = ""
    ready: bool = False
    leases: dict[int, int] = {}
    busy: bool = False
    asked_back: int = 0
    may_be_stuck: bool = False
    known: dict[bytes, int] = {}
    finished_seq: int = 0
    retiring: bool = False
    pending: list[int] = []
    set_up: dict[int, str] = {}
    progress: Progress | None = None
    ahead: float = AHEAD
    distance: Distance | None = None

    @property
    def takes_tasks(self) -> bool:
        """Whether it is live: ready, and to stay."""
        return self.ready and not self.retiring

    @property
    def is_idle(self) -> bool:
        """Whether it may get a task, and holds none."""
        return self.ready and not (self.retiring or self.leases or self.pending)
