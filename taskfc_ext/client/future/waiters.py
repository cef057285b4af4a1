"""Waiters of a `TaskFuture`: threads, coroutines, callbacks, and those of `concurrent.futures`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from taskfc_ext.condition import Condition


class Lending(Protocol):
    """Lets the worker that this process is on lend its place while something here waits for a future."""

    def begin(self, future: Any) -> None:
        """Note that something waits for `future`, which has not ended."""
        ...

    def end(self, future: Any) -> None:
        """Note that it waits no more; `future` may have ended."""
        ...


class WaitState:
    """State of a future that something waits for.

    Attributes:
        is_read: whether the main thread has read the outcome: the user's code, not a thread that draws cards.
        condition: guards the others, and all else that changes when the future ends.
        waiters: those of `concurrent.futures`, and ours.
        callbacks: run on a thread of their own.
        hooks: our own callbacks, which run in the thread that ends the future.

    Args:
        future: the future.
        lending: gets all waits; `None` where this process is on no worker of the future's farm.
    """

    __slots__ = ("_future", "_lending", "callbacks", "condition", "hooks", "is_read", "waiters")

    def __init__(self, future: object, lending: Lending | None) -> None:
        self.is_read = False
        self.condition = Condition()
        self.waiters: list[Any] = [] if lending is None else LendingWaiters(future, lending)
        self.callbacks: list[Callable[[Any], object]] = []
        self.hooks: tuple[Callable[[Any], object], ...] = ()
        self._future = weakref.ref(future)  # the future has this one: no cycle, which would keep results
        self._lending = lending

    @contextmanager
    def lends(self, timeout: float | None) -> Iterator[None]:
        """Lend the worker's place while a thread waits; not for a timeout of 0."""
        lending = self._lending if timeout is None or timeout > 0 else None
        if lending is not None:
            lending.begin(self._future())
        try:
            yield
        finally:
            if lending is not None:
                lending.end(self._future())

    def add(self, callback: Callable[[Any], object]) -> None:
        """Add a callback. The condition is held."""
        in_loop = loop_callback(callback)
        if in_loop is not None:
            self.waiters.append(in_loop)
            return
        self.callbacks.append(callback)
        if self._lending is not None:  # the user's code may wait for the callback
            self._lending.begin(self._future())

    def add_hook(self, hook: Callable[[Any], object]) -> None:
        """Add a hook. The condition is held."""
        self.hooks = (*self.hooks, hook)
        if self._lending is not None:  # something waits for what the hook does
            self._lending.begin(self._future())

    def take_callbacks(self) -> list[Callable[[Any], object]]:
        """Remove and return the callbacks, to be called once. The condition is held."""
        callbacks, self.callbacks = self.callbacks, []
        self._end_lending(len(callbacks))
        return callbacks

    def take_hooks(self) -> tuple[Callable[[Any], object], ...]:
        """Remove and return the hooks, to be called once and without the condition. The condition is held."""
        hooks, self.hooks = self.hooks, ()
        self._end_lending(len(hooks))
        return hooks

    def remove(self, callback: Callable[[Any], object]) -> int:
        """Remove a callback; return how often it was there."""
        with self.condition:
            in_loop = [each for each in self.waiters if isinstance(each, LoopCallback) and each.callback == callback]
            for each in in_loop:
                self.waiters.remove(each)
            kept = [each for each in self.callbacks if each != callback]
            n = len(self.callbacks) - len(kept)
            self.callbacks = kept
            self._end_lending(n)
            return len(in_loop) + n

    def _end_lending(self, n: int) -> None:
        if self._lending is not None:
            for _ in range(n):
                self._lending.end(self._future())


class LendingWaiters(list[Any]):
    """The waiters of a future in a task: its worker lends its place while there are any.

    `concurrent.futures.wait` and `as_completed` append theirs, as an `await` here does, and remove them at their end.

    Args:
        future: the future that they wait for.
        lending: gets the waits.
    """

    def __init__(self, future: object, lending: Lending) -> None:
        super().__init__()
        self._future = weakref.ref(future)
        self._lending = lending

    def append(self, waiter: Any) -> None:
        """Add a waiter."""
        super().append(waiter)
        self._lending.begin(self._future())

    def remove(self, waiter: Any) -> None:
        """Remove a waiter."""
        super().remove(waiter)
        self._lending.end(self._future())


class LoopWaiter:
    """Wakes a coroutine when the future ends.

    Attributes:
        woken: done when the future has ended.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken: asyncio.Future[None] = self._loop.create_future()

    def add_result(self, future: object) -> None:
        """Wake the coroutine; called in the thread that ends the future."""
        _call_in(self._loop, self._wake)

    add_exception = add_cancelled = add_result

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class LoopCallback:
    """Calls one of asyncio's own callbacks in its loop, when the future ends.

    Args:
        callback: called with the future.
        loop: the loop in which it was added.
    """

    def __init__(self, callback: Callable[..., object], loop: asyncio.AbstractEventLoop) -> None:
        self.callback = callback
        self._loop = loop

    def add_result(self, future: object) -> None:
        """Let the loop call it; called in the thread that ends the future."""
        _call_in(self._loop, self.callback, future)

    add_exception = add_cancelled = add_result


def loop_callback(callback: Callable[..., object]) -> LoopCallback | None:
    """Return `callback` as a `LoopCallback` if it is one of asyncio's own, which work in their loop only; else `None`.

    `asyncio.wait` adds such a callback to each awaitable. On another thread it would change the loop's futures without
    waking the loop. Callbacks of users never run in a loop: the loop of a notebook is busy while a cell runs.
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
        pass  # the loop was closed, and its waits have ended
