"""The virtual clock: actions at virtual times, in one order, and the part of an event loop that a connection uses."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

AT_ONE_TIME = 100_000
"""Actions at one virtual time after which no more progress is expected."""


class StandsStillError(RuntimeError):
    """The clock stands still: something asks to be called again at once, without end."""


class Timer:
    """An action to come, which can be cancelled."""

    __slots__ = ("is_cancelled",)

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        """Let the action not happen."""
        self.is_cancelled = True


class Timeline:
    """Actions by virtual time; those of one time happen in the order in which they were added.

    Attributes:
        now: monotonic seconds.
        wall_ahead: seconds that the wall clock is ahead of it; a clock that jumps changes this only.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall_ahead = 1_700_000_000.0
        self._queue: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._n = 0

    def at(self, when: float, action: Callable[..., Any], *args: Any) -> None:
        """Call `action(*args)` at this time, or now if that is past."""
        self._n += 1
        heapq.heappush(self._queue, (when if when > self.now else self.now, self._n, action, args))

    def after(self, delay: float, action: Callable[..., Any], *args: Any) -> None:
        """Call `action(*args)` after so many seconds."""
        self.at(self.now + delay, action, *args)

    def run_until(self, end: float) -> None:
        """Let everything up to `end` happen.

        Raises:
            StandsStillError: there is no end of what happens at one time.
        """
        queue, n_at_once = self._queue, 0
        while queue and queue[0][0] <= end:
            when, _, action, args = heapq.heappop(queue)
            if when > self.now:  # else the machine was suspended meanwhile
                self.now, n_at_once = when, 0
            n_at_once += 1
            if n_at_once > AT_ONE_TIME:
                raise StandsStillError(f"{n_at_once:,} actions at {self.now:.6f}, the next is {action}")
            action(*args)
        self.now = max(self.now, end)

    # the part of `asyncio.AbstractEventLoop` that a client's connection uses

    def call_later(self, delay: float, action: Callable[..., Any], *args: Any) -> Timer:
        """Call `action(*args)` after so many seconds, unless the timer is cancelled before."""
        timer = Timer()
        self.after(delay, self._fire, timer, action, args)
        return timer

    def _fire(self, timer: Timer, action: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if not timer.is_cancelled:
            action(*args)
