"""`imap`: a lazy map over any iterables, with a bounded number of tasks, for both clients."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from taskfc_ext.client.future.endings import Endings
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.client.submit.options import check_sequences
from taskfc_ext.client.submit.submitter import Submitter
from taskfc_ext.protocol.client_messages import GetWorkers, Request
from taskfc_ext.serialize.chance import carried as carried_generators
from taskfc_ext.serialize.chance import report_repeats

R = TypeVar("R")

_PER_WORKER = 16  # short tasks: a batch is on its way to the worker, one runs, and the results of one come back
_SMALLEST = 32


class Remote(Protocol):
    """The part of a session that this needs."""

    async def ask(self, kind: type[Request], *, ahead: bool = False, **fields: Any) -> Any: ...

    def withdraw(self, futures: Iterable[TaskFuture]) -> None: ...


class ItemResults(Generic[R]):
    """Iterates over the results of `imap`; see `FCTaskClient.imap`. One reader at a time.

    Args:
        submitter: submits the tasks.
        remote: the session that they are submitted to.
        func: the function.
        iterables: one for each of its arguments.
        window: the largest number of unread tasks; `None`: from the number of workers.
        ordered: give the results in the order of the items.
    """

    def __init__(
        self,
        submitter: Submitter,
        remote: Remote,
        func: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        window: int | None,
        ordered: bool,
    ) -> None:
        if not callable(func):
            raise TypeError(f"imap takes the function first: imap(f, [1, 2]); {func!r} cannot be called")
        check_sequences("imap", iterables)
        self._items = zip(*iterables, strict=False)
        self._template = submitter.function_template(func)
        if carried_generators:
            report_repeats(2)  # all items get the same state of the generators that the function holds
        self._submitter = submitter
        self._remote = remote
        self._window = window
        self._is_exhausted = False
        self._failure: Exception | None = None
        self._unread: dict[TaskFuture, None] = {}  # in the order of the items
        self._counts = ItemCounts(self._unread, iterables)
        self._progress: LongWait | None = None
        self._endings = None if ordered else Endings()
        self._end = weakref.finalize(self, _withdraw, remote, self._unread)
        self._end.atexit = False  # submitted tasks go on when their process ends

    def close(self) -> None:
        """End the iteration; cancel the tasks that no worker has."""
        self._is_exhausted, self._failure = True, None
        if self._progress is not None:
            self._progress.close()
        self._end()

    async def aclose(self) -> None:
        """Do as `close`; for `contextlib.aclosing`."""
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        self._submit(self._window or _SMALLEST)
        if not self._unread:
            failure = self._failure
            self.close()
            raise StopAsyncIteration if failure is None else failure
        if self._window is None and not self._is_exhausted:
            # behind the first submission, which starts a farm that was stopped
            workers = await self._remote.ask(GetWorkers, ahead=True)
            self._window = max(_SMALLEST, _PER_WORKER * len(workers))
            self._submit(self._window)
        if self._progress is None:  # now, as it may have been made long ago
            self._progress = LongWait(self._counts.read, self._template.label, makes_room=True)
        progress = self._progress
        future = next(iter(self._unread)) if self._endings is None else await self._endings.take(progress)
        try:
            value: R = future.result() if future.done() else await wait(future, progress=progress)
        except Exception:
            if future.done():  # else the wait failed, not the task
                self.close()
            raise
        self._counts.n_read += 1
        del self._unread[future]
        del future  # the reader may keep this frame in a traceback, and with it the result
        self._submit(self._window or _SMALLEST)  # so that workers have tasks while the reader has this result
        return value

    def _submit(self, window: int) -> None:
        """Submit items until the window is full."""
        while not self._is_exhausted and len(self._unread) < window:
            try:
                args = next(self._items, None)
                if args is None:
                    self._is_exhausted = True
                    return
                future = self._submitter.submit_call(self._template, args)
            except Exception as error:  # noqa: BLE001 - it is raised in its place, behind the results before it
                self._is_exhausted, self._failure = True, error
                return
            self._unread[future] = None
            if self._endings is not None and not future.call_at_end(self._endings.add):
                self._endings.add(future)


class ItemCounts:
    """Counts of an iteration: the items that were read or whose tasks have ended, of all.

    Args:
        unread: the futures of the others, which the iteration changes.
        iterables: of the items.

    Attributes:
        n_read: the number of results that were read.
    """

    def __init__(self, unread: Collection[TaskFuture], iterables: Sequence[Iterable[Any]]) -> None:
        self.n_read = 0
        self._unread = unread
        lengths = [length for length in map(_length, iterables) if length is not None]
        self._total = min(lengths, default=None)  # the shortest ends; one of unknown length may be shorter

    def read(self) -> Counts:
        """Return the counts now."""
        ended = [future for future in self._unread if future.done()]
        n_failed = sum(future.has_failed for future in ended)  # of those that were read, none has
        return Counts(self.n_read + len(ended), self._total, n_failed)


def _length(iterable: Iterable[Any]) -> int | None:
    try:
        length = operator.length_hint(iterable, -1)
    except Exception:  # noqa: BLE001 - raised by the user's __len__
        return None
    return length if length >= 0 else None


def check_window(window: object) -> int | None:
    """Return `window` if it is one, else raise a `TypeError` or a `ValueError` that shows it."""
    if window is None:
        return None
    if not isinstance(window, int) or isinstance(window, bool):
        raise TypeError(f"window is an int, or None for one from the number of workers, not {window!r}")
    if window < 1:
        raise ValueError(f"window is at least 1, not {window}")
    return window


def _withdraw(remote: Remote, unread: dict[TaskFuture, None]) -> None:
    futures = list(unread)
    unread.clear()
    remote.withdraw(futures)
