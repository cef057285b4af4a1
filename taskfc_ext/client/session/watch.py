"""`QueueWatch`: the queue of a farm as an async iterator, over one `Subscriber`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.future.answer import AnswerFuture
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.session.subscriber import News, Subscriber
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus

MAX_WAITING = 1000
"""Messages kept for a slow reader: 200 s of a busy queue. A slower one gets another snapshot."""


class QueueWatch:
    """Iterates over the messages of one subscription; see `FCTaskClient.watch`. Any thread; one reader at a time.

    Args:
        client: the client; kept alive, as its I/O thread brings the messages.
        loop: the loop of that thread.
        farm: the farm.
        version: ours, for the greeting.
        label: the controller lists this session under it.
    """

    def __init__(
        self, client: object, loop: asyncio.AbstractEventLoop, farm: Farm, *, version: str, label: str
    ) -> None:
        self._client = client
        self._loop = loop
        self._backlog = _Backlog()
        self._subscriber = Subscriber(loop, farm, self._backlog.add, version=version, label=label)
        self._backlog.on_full = self._subscriber.unwatch
        self._end = weakref.finalize(self, _end, loop, self._subscriber, self._backlog)
        self._end.atexit = False  # the end of its client ends it
        loop.call_soon_threadsafe(self._subscriber.start)

    def close(self) -> None:
        """End the iteration, and the wait of its reader."""
        self._end()

    async def aclose(self) -> None:
        """End the iteration; for `contextlib.aclosing`."""
        self.close()

    def disown(self) -> None:
        """End the iteration in the child of a fork, where the connection is the parent's."""
        self._end.detach()
        self._backlog.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> News:
        while True:
            news = self._backlog.take()
            if news is not None:
                return news
            arrival = self._backlog.next_arrival()
            if arrival is None:
                raise StopAsyncIteration
            if self._backlog.is_incomplete:
                self._backlog.is_incomplete = False
                with suppress(RuntimeError):  # the client was closed just now, which ends the wait
                    self._loop.call_soon_threadsafe(self._subscriber.watch)
            await wait(arrival)


class _Backlog:
    """Messages that were received and not read.

    Attributes:
        on_full: called in the I/O thread when there were too many, and all but the last status were dropped.
        is_incomplete: messages were dropped, so that the reader needs another snapshot.
    """

    def __init__(self) -> None:
        self.on_full: Callable[[], None] = lambda: None
        self.is_incomplete = False
        self._lock = threading.RLock()  # a watch may be collected, and so closed, while this thread adds a message
        self._news: deque[News] = deque()
        self._has_begun = False
        self._is_closed = False
        self._arrival: concurrent.futures.Future[None] | None = None

    def add(self, news: News) -> None:
        """Keep `news` for the reader."""
        with self._lock:
            self._has_begun = self._has_begun or not _precedes_snapshot(news)
            if not self._has_begun or self._is_closed:
                return
            self._news.append(news)
            is_full = len(self._news) > MAX_WAITING
            if is_full:
                statuses = [each for each in self._news if isinstance(each, FarmStatus)]
                self._news = deque(statuses[-1:])
                self.is_incomplete = True
            self._wake()
        if is_full:
            self.on_full()

    def take(self) -> News | None:
        """Return the oldest message; `None` if there is none."""
        with self._lock:
            return self._news.popleft() if self._news else None

    def next_arrival(self) -> concurrent.futures.Future[None] | None:
        """Return a future that is done when there is a message, or the end; `None` after the end."""
        with self._lock:
            if self._is_closed:
                return None
            arrival: AnswerFuture[None] = AnswerFuture()
            self._arrival = arrival
            if self._news:
                self._wake()
            return arrival

    def close(self) -> None:
        """End the iteration."""
        with self._lock:
            self._is_closed = True
            self._news.clear()
            self._wake()

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None and arrival.set_running_or_notify_cancel():
            arrival.set_result(None)


def _precedes_snapshot(news: News) -> bool:
    return isinstance(news, FarmStatus) and news.state in (FarmState.CONNECTING, FarmState.LIVE)


def _end(loop: asyncio.AbstractEventLoop, subscriber: Subscriber, backlog: _Backlog) -> None:
    backlog.close()
    with suppress(RuntimeError):  # the client was closed before
        loop.call_soon_threadsafe(subscriber.close)
