"""Waits for both clients: `await wait(future)`, under asyncio or driven by a thread that blocks.

The methods of `FCTaskClient` await nothing but `wait(...)`. So the blocking client needs no event loop: `drive` runs
such a coroutine in the calling thread and blocks wherever it waits. Results are decoded in the calling thread, and
Ctrl-C is raised inside the coroutine, at its `await`, where it can clean up.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Coroutine, Generator
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

from taskfc_ext.border import shorten
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.errors import ControllerLost

ANSWER_WITHIN = 10.0
"""Seconds that `cancel`, a future's questions and a view's requests wait for an answer; a controller that died is back
in one."""

_INTERRUPTED = "the wait has ended, and what it waited for goes on; list_tasks() has the tasks"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def no_answer_error(farm: str) -> ControllerLost:
    """Return the error of a request that had no answer within `ANSWER_WITHIN`."""
    message = f"farm {farm!r} has not answered for {ANSWER_WITHIN:.0f} s"
    return ControllerLost(message, hint="its controller may be busy or on its way back: ask again")


class _Driving(threading.local):
    """A flag of this thread: its coroutine is driven by `drive`.

    A running event loop does not tell: a cell of a notebook runs inside the kernel's loop and blocks it.
    """

    now = False


_driving = _Driving()
_io_threads: set[int] = set()


def mark_io_thread() -> None:
    """Note that this thread settles futures, so that a wait in it would never end."""
    _io_threads.add(threading.get_ident())


def unmark_io_thread() -> None:
    """Note the end of this thread; another thread may get its number."""
    _io_threads.discard(threading.get_ident())


def check_may_block() -> None:
    """Raise a `RuntimeError` in a thread in which a wait would never end."""
    if threading.get_ident() in _io_threads:
        raise RuntimeError("a blocking call in the client's I/O thread would deadlock: that thread brings the answer")


class _Wait(Generic[T]):
    """A wait, which a coroutine yields to `drive`."""

    def __init__(
        self, future: concurrent.futures.Future[T], timeout: float | None, keep: bool, progress: LongWait | None
    ) -> None:
        self.future = future
        self.timeout = timeout
        self.keep = keep
        self.progress = progress

    def __await__(self) -> Generator[Any, Any, T]:
        if _driving.now:
            result: T = yield self
            return result
        return (yield from self._in_loop().__await__())

    async def _in_loop(self) -> T:
        # a TaskFuture can be awaited, and shields its task; any other future is an answer with one reader
        waited: Any = self.future if hasattr(self.future, "__await__") else asyncio.wrap_future(self.future)
        async with asyncio.timeout(self.timeout):
            result: T = await (asyncio.shield(waited) if self.keep else waited)
        return result

    def cancel(self) -> None:
        """Cancel the answer, as asyncio does when it cancels the wait; never a task."""
        if not self.keep and not hasattr(self.future, "__await__"):
            self.future.cancel()


async def wait(
    future: concurrent.futures.Future[T],
    timeout: float | None = None,
    *,
    keep: bool = False,
    progress: LongWait | None = None,
) -> T:
    """Return the result of `future`. Under asyncio, a cancelled wait cancels it, unless it is to be kept.

    Args:
        future: an answer, or a task's future.
        timeout: seconds.
        keep: do not cancel it.
        progress: shows a bar if the wait is long and a thread blocks; an event loop shows nothing.

    Raises:
        TimeoutError: it has no result after `timeout` seconds.
    """
    return await _Wait(future, timeout, keep, progress)


def drive(coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Run `coroutine` to its end in this thread, blocking wherever it waits; Ctrl-C is raised where it waits.

    Raises:
        TimeoutError: it has not ended after `timeout` seconds, and was cancelled where it waits, as by asyncio.
    """
    outside = _driving.now  # a step may run the user's code, such as a generator in `map`, which may block, too
    try:
        with closing(coroutine):  # so that it cleans up after a Ctrl-C between its steps and our waits, too
            check_may_block()
            return _drive(coroutine, outside, None if timeout is None else time.monotonic() + timeout)
    finally:
        _driving.now = outside


class Items(Protocol[T_co]):
    """An async iterator that can be closed."""

    def __anext__(self) -> Coroutine[Any, Any, T_co]: ...

    def close(self) -> None:
        """End the iteration."""
        ...


def iterate(items: Items[T]) -> Generator[T, None, None]:
    """Yield the items of `items`, blocking this thread while there is none; close `items` at the end, or at an error.

    The traceback of an interrupt may keep `items`, so that its own finalizer would come late.
    """

    try:
        while True:
            yield drive(items.__anext__())  # in no variable: while the reader has it, it is the reader's alone
    except StopAsyncIteration:
        return
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            error.args = ("the iteration has ended; the tasks that no worker had are cancelled",)
        shorten(error)
        raise
    finally:
        items.close()


def _drive(coroutine: Coroutine[Any, Any, T], outside: bool, deadline: float | None) -> T:
    failure: BaseException | None = None
    value: object = None
    while True:
        _driving.now = True
        try:
            waited: _Wait[Any] = coroutine.send(value) if failure is None else coroutine.throw(failure)
        except StopIteration as end:
            result: T = end.value
            return result
        except asyncio.CancelledError:
            raise TimeoutError from None  # nothing but our deadline cancels a coroutine that we drive
        finally:
            _driving.now = outside
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        is_last = left is not None and (waited.timeout is None or left < waited.timeout)
        try:
            limit = left if is_last else waited.timeout
            if waited.progress is None:
                value, failure = waited.future.result(limit), None
            else:
                value, failure = waited.progress.result(waited.future, limit), None
        except TimeoutError as error:
            value, failure = None, error
            if is_last and not waited.future.done():
                waited.cancel()
                failure = asyncio.CancelledError()
        except KeyboardInterrupt:
            value, failure = None, KeyboardInterrupt(_INTERRUPTED)
        except BaseException as error:  # noqa: BLE001 - it is raised again, inside the coroutine
            value, failure = None, error
