"""Futures in the order of their ends, without a thread or a decoded result."""

from __future__ import annotations

import concurrent.futures
import threading
from collections import deque

from taskfc_ext.client.future.answer import AnswerFuture
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.progress.long_wait import LongWait


class Endings:
    """Futures that have ended and were not taken, in the order of their ends."""

    def __init__(self) -> None:
        self._ended: deque[TaskFuture] = deque()
        self._lock = threading.Lock()
        self._arrival: concurrent.futures.Future[None] | None = None

    def add(self, future: TaskFuture) -> None:
        """Add a future that has ended. Any thread."""
        with self._lock:
            self._ended.append(future)
            arrival, self._arrival = self._arrival, None
        if arrival is not None and arrival.set_running_or_notify_cancel():
            arrival.set_result(None)

    async def take(self, progress: LongWait | None = None) -> TaskFuture:
        """Wait for a future that has ended; remove and return it."""
        while True:
            with self._lock:
                if self._ended:
                    return self._ended.popleft()
                arrival: AnswerFuture[None] = AnswerFuture()
                self._arrival = arrival
            await wait(arrival, progress=progress)
