"""Waits in a task: the controller gets the waits of this process, so that its worker lends its place meanwhile.

Each task that something here waits for is in an open `Barrier`. A barrier ends with its tasks, is sent again to a
controller that came back, and is void when this process is gone.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Iterable, Sequence

from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.connection import Connection
from taskfc_ext.client.session.pending import Call, Flush
from taskfc_ext.client.session.replies import Answer, error_of
from taskfc_ext.protocol.batches import chunks
from taskfc_ext.protocol.client_messages import Barrier, ErrorKind, Refused
from taskfc_ext.protocol.limits import MAX_IDS

_PAUSE = 0.002
"""Seconds for which waits are collected: the waits of one `concurrent.futures.wait` are sent together, and most waits
for very short tasks are not sent at all."""


class TaskWaits:
    """The waits of one client; see `waiters.Lending`. `begin` and `end` may be called from any thread.

    Args:
        state: the session's bookkeeping.
        connection: the session's connection.
        loop: the loop of the I/O thread.
    """

    def __init__(self, state: SessionState, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._connection = connection
        self._loop = loop
        self._events: deque[tuple[TaskFuture, int]] = deque()
        self._is_woken = False
        self._waiting: dict[TaskFuture, int] = {}  # future -> number of waits
        self._barrier_of: dict[TaskFuture, _Barrier] = {}

    def begin(self, future: TaskFuture) -> None:
        """Note that something waits for `future`."""
        self._events.append((future, 1))
        self._wake()

    def end(self, future: TaskFuture) -> None:
        """Note that it waits no more. This is needed for a future that has ended, too, so that it is not kept here."""
        self._events.append((future, -1))
        self._wake()

    def _wake(self) -> None:
        if self._is_woken:
            return
        self._is_woken = True
        try:
            self._loop.call_soon_threadsafe(self._loop.call_later, _PAUSE, self._take)
        except RuntimeError:
            pass  # the client is closed, and its waits have ended

    # in the I/O thread

    def _take(self) -> None:
        self._is_woken = False
        waiting, seen = self._waiting, dict[TaskFuture, None]()
        while self._events:
            future, n = self._events.popleft()
            seen[future] = None
            waiting[future] = waiting.get(future, 0) + n
        for future in seen:
            if waiting[future] <= 0:
                del waiting[future]
                barrier = self._barrier_of.pop(future, None)
                if barrier is not None:
                    barrier.n_waited_for -= 1
                    if not barrier.n_waited_for:
                        self._close(barrier)
        self._open_missing(seen)

    def _open_missing(self, futures: Iterable[TaskFuture]) -> None:
        """Open barriers for the futures that are waited for and have none, now or when they are accepted."""
        new = [
            future
            for future in futures
            if future in self._waiting and future not in self._barrier_of and not future.done() and not future.is_held
        ]
        accepted = [future for future in new if future.accepted]
        for part in chunks(accepted, MAX_IDS):
            self._open(part)
        if len(accepted) < len(new):
            unaccepted = [future for future in new if not future.accepted]
            flush = Flush()
            self._state.outbox.append(flush)
            flush.done.add_done_callback(lambda _: self._open_missing(unaccepted))
            self._connection.drain()

    def _open(self, futures: Sequence[TaskFuture]) -> None:
        barrier = _Barrier(futures)
        self._barrier_of.update(dict.fromkeys(futures, barrier))
        barrier.call.answer.add_done_callback(lambda answer: self._on_answer(barrier, answer))
        self._connection.ask(barrier.call)

    def _close(self, barrier: _Barrier) -> None:
        """Close a barrier that nothing waits for. If all its tasks have ended, its answer is under way."""
        if not all(future.done() for future in barrier.futures):
            self._connection.unwait(barrier.call)

    def _forget(self, barrier: _Barrier) -> None:
        for future in barrier.futures:
            if self._barrier_of.get(future) is barrier:
                del self._barrier_of[future]
            if future.done():
                self._waiting.pop(future, None)

    def _on_answer(self, barrier: _Barrier, answer: concurrent.futures.Future[Answer]) -> None:
        if answer.cancelled():
            return
        refusal = answer.result() if answer.exception() is None else None
        if isinstance(refusal, Refused) and refusal.error is ErrorKind.NOT_ALLOWED:
            for taskid in refusal.value["taskids"]:  # they cannot end before this task
                future = self._state.unfinished.pop(taskid, None)
                if future is not None:
                    future._settle_with(error_of(refusal))
            self._forget(barrier)
            self._open_missing(barrier.futures)
        else:
            self._forget(barrier)


class _Barrier:
    """A request that is open until all of `futures` have ended, or none of them is waited for any more."""

    def __init__(self, futures: Sequence[TaskFuture]) -> None:
        self.futures = futures
        self.n_waited_for = len(futures)
        self.call = Call(Barrier, {"taskids": tuple([future.taskid for future in futures])})
