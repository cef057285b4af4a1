"""Workers that are some milliseconds away, simulated around the scheduler: how much of their time they work."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

import pytest

from taskfc_ext.core.effects import Effects, WorkerSend
from taskfc_ext.core.events import FromWorker
from taskfc_ext.protocol.ids import WorkerId
from taskfc_ext.protocol.supervisor_messages import EngineState
from taskfc_ext.protocol.worker_messages import Finished, Return, Returned, Run, Started
from tests.core.conversation import Conversation

ENGINE = EngineState(kind="dask", url="tcp://head:8786", state="connected")
CHECK = 0.02
"""Seconds between two checks of a worker whether its attempt takes long; see `Loop.act_for`."""

KEEP_ONE = 0.1


class FarAway:
    """Workers that run tasks of `seconds` each, and whose messages take half of `round_trip`."""

    def __init__(self, seconds: float, round_trip: float, engine: EngineState | None, n_workers: int = 2) -> None:
        self.seconds, self.round_trip, self.n_workers = seconds, round_trip, n_workers
        self.talk = Conversation(workers=n_workers, limit=n_workers, engine=engine)
        self.talk.checked = False
        self.coming: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.queues: list[deque[int]] = [deque() for _ in range(n_workers)]
        self.running = [0] * n_workers
        self.asked_back = [0] * n_workers
        self.n_reports = [0] * n_workers

    def share_of_work(self, n: int) -> float:
        """Run `n` tasks; return the share of the workers' time that they worked."""
        began = self.talk.now
        self.talk.keep = self.deliver
        self.talk.submit(n)
        while self.talk.farm.tasks:
            self.talk.now, _, then = heapq.heappop(self.coming)
            then()
        return n * self.seconds / (self.n_workers * (self.talk.now - began))

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self.coming, (self.talk.now + seconds, next(self.order), then))

    def deliver(self, effects: Effects) -> Effects:
        for send in effects.sends:
            if isinstance(send, WorkerSend):
                self.after(self.round_trip / 2, lambda send=send: self.receive(send.worker, send.message))
        return effects

    def report(self, worker: int, message) -> None:
        self.after(self.round_trip / 2, lambda: self.talk.handle(FromWorker(WorkerId(worker), message)))

    def receive(self, worker: int, message) -> None:
        if isinstance(message, Return):
            self.asked_back[worker] = message.until
        elif isinstance(message, Run):
            self.queues[worker].extend(range(message.first_lease, message.first_lease + len(message.ids)))
            if not self.running[worker]:
                self.start(worker)

    def start(self, worker: int) -> None:
        if self.queues[worker]:
            lease = self.running[worker] = self.queues[worker].popleft()
            self.after(self.seconds, lambda: self.end(worker, lease))
            self.after(CHECK, lambda: self.check(worker, lease, CHECK))

    def check(self, worker: int, lease: int, elapsed: float) -> None:
        if self.running[worker] != lease:
            return
        self.report(worker, Started(lease, elapsed))
        queue = self.queues[worker]
        may_keep = self.asked_back[worker] <= lease and elapsed < KEEP_ONE and len(queue) == 1
        if queue and not may_keep:
            self.report(worker, Returned(tuple(queue)))
            queue.clear()
        self.after(CHECK, lambda: self.check(worker, lease, elapsed + CHECK))

    def end(self, worker: int, lease: int) -> None:
        self.running[worker] = 0
        self.n_reports[worker] += 1
        seq, seconds = self.n_reports[worker], (self.seconds,)
        self.report(worker, Finished(seq=seq, leases=(lease,), outcomes=(0,), values=(b"",), seconds=seconds))
        self.start(worker)


@pytest.mark.parametrize(
    ("round_trip", "seconds", "at_least"),
    [
        (0.0032, 0.001, 0.95),
        (0.0032, 0.005, 0.95),
        (0.0032, 0.02, 0.95),
        (0.0032, 0.06, 0.95),
        (0.008, 0.001, 0.9),
        (0.008, 0.005, 0.95),
        (0.008, 0.02, 0.95),
        (0.02, 0.005, 0.9),
        (0.02, 0.02, 0.95),
    ],
)
def test_far_workers_need_not_wait_for_their_next_task(round_trip, seconds, at_least):
    assert FarAway(seconds, round_trip, ENGINE).share_of_work(300) >= at_least


def test_the_rules_at_home_would_leave_them_idle():
    assert FarAway(0.005, 0.008, None).share_of_work(300) < 0.8
