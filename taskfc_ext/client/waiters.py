"""Entries among the waiters of a `TaskFuture`, beside those of `concurrent.futures`: what an event loop is to run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LoopWaiter:
    """Wakes a coroutine when the future ends.

    Attributes:
        woken: to be awaited.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken: asyncio.Future[None] = self._loop.create_future()

    def add_result(self, future: object) -> None:
        """Wake it; in the thread that ends the future."""
        _call_in(self._loop, self._wake)

    add_exception = add_cancelled = add_result

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class LoopCallback:
    """Calls a callback of asyncio's own in the loop that it was added in, when the future ends.

    Args:
        callback: is called with the future.
        loop: runs it.
    """

    def __init__(self, callback: Callable[..., object], loop: asyncio.AbstractEventLoop) -> None:
        self.callback = callback
        self._loop = loop

    def add_result(self, future: object) -> None:
        """Have it called; in the thread that ends the future."""
        _call_in(self._loop, self.callback, future)

    add_exception = add_cancelled = add_result


def loop_callback(callback: Callable[..., object]) -> LoopCallback | None:
    """Return how `callback` has to be called if it is one of asyncio's own, which work in their loop only.

    `asyncio.wait` adds such a one to whatever it is given. On any other thread it would change the loop's futures, and
    never wake the loop up. Callbacks of users never run in a loop: that of a notebook is busy while a cell runs.
    """
    if getattr(callback, "__module__", None) != "asyncio.tasks":
        return None
    try:
        return LoopCallback(callback, asyncio.get_running_loop())
    except RuntimeError:
        return None


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop was closed: nobody waits any more
