"""A wait for the end of tasks, and its progress: the controller is asked how far an open barrier is."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.client.session.pending import Call
from taskfc_ext.client.session.replies import Answer, value_of
from taskfc_ext.errors import TaskFCError
from taskfc_ext.protocol.client_messages import GetBarrier, Request
from taskfc_ext.protocol.infos import BarrierCounts


class Remote(Protocol):
    """The part of a session that this needs."""

    def call(
        self, kind: type[Request], *, ahead: bool = False, **fields: object
    ) -> concurrent.futures.Future[Answer]: ...

    def open_barrier(self, barrier: Call) -> None: ...

    def unwait(self, barrier: Call) -> None: ...


async def wait_for_end(remote: Remote, call: Call, deadline: float | None, progress: LongWait | None = None) -> Any:
    """Send `call`, whose answer comes when something has ended; return its plain data.

    The controller forgets it if the wait ends before, also by an interrupt: so the call is made before the `try`.

    Raises:
        TimeoutError: the deadline has passed.
    """
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        remote.open_barrier(call)
        return value_of(await wait(call.answer, left, progress=progress))
    finally:
        if not call.answer.done() or call.answer.cancelled():
            remote.unwait(call)


class BarrierProgress:
    """Counts of a wait for tasks by barriers, one after the other.

    Args:
        remote: the session.
        sizes: the number of tasks of each barrier; empty if that is unknown.
    """

    def __init__(self, remote: Remote, sizes: Sequence[int] = ()) -> None:
        self._remote = remote
        self._sizes = list(sizes)
        self._barrier: Call | None = None
        self._answer: concurrent.futures.Future[Answer] | None = None
        self._known: BarrierCounts | None = None
        self._total = self._n_before = self._failed_before = 0

    def begin(self, barrier: Call) -> None:
        """Count `barrier` from now on; the one before has ended."""
        if self._barrier is not None:
            self._n_before += self._sizes.pop(0)
            self._failed_before += self._known.failed if self._known is not None else 0
        self._barrier, self._answer, self._known, self._total = barrier, None, None, 0

    def read(self) -> Counts | None:
        """Return the latest counts, and ask for the next ones; `None` before the first. Never blocks."""
        if self._answer is not None and self._answer.done():
            self._take(self._answer)
            self._answer = None
        if self._answer is None and self._barrier is not None and self._barrier.seq:
            try:
                self._answer = self._remote.call(GetBarrier, ahead=True, barrier=self._barrier.seq)
            except TaskFCError:
                pass  # the client was closed: the wait itself reports that
        known = self._known
        if known is None:
            return None
        n_later = sum(self._sizes[1:])
        done = self._n_before + self._total - known.left
        return Counts(done, self._n_before + self._total + n_later, self._failed_before + known.failed)

    def _take(self, answer: concurrent.futures.Future[Answer]) -> None:
        try:
            new = msgspec.convert(value_of(answer.result()), BarrierCounts | None, strict=False)
        except (TaskFCError, concurrent.futures.CancelledError):
            return  # the farm was stopped: the wait itself reports that
        if new is None:
            return  # it has just ended
        if self._known is not None and new.total < self._known.total:
            self._failed_before += self._known.failed  # a controller that was started again counts from then on
        self._known, self._total = new, max(self._total, new.total)
