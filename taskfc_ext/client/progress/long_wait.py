"""Long waits of a thread that blocks: after 2 seconds a bar shows how far they are.

A wait that ends before costs a look at the clock: the counts are read when the bar is drawn, and the modules that draw
it are imported then. An event loop that awaits shows nothing.
"""

from __future__ import annotations

import concurrent.futures
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from taskfc_ext.client.progress.counts import Counts

if TYPE_CHECKING:
    from taskfc_ext.client.progress.bar import Bar
    from taskfc_ext.client.progress.formats import Unit

SHOWN_AFTER = 2.0
"""Seconds until a bar is shown."""

_REDRAWN_EVERY = 0.1

_SHARE = 20
"""Drawing takes at most this part of the time: counting a million futures takes 50 ms."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class DrawnBar(Protocol):
    """A bar that is shown."""

    def show(self, what: str, unit: Unit, counts: Counts, seconds: float) -> None:
        """Draw the bar; see `Format` for the arguments."""
        ...

    def pause(self) -> None:
        """Make room for the user's own output."""
        ...

    def resume(self) -> None:
        """Draw the bar as it was before the pause."""
        ...

    def close(self) -> None:
        """Remove the bar."""
        ...


def _open_bar() -> Bar | None:
    from taskfc_ext.client.progress.bar import open_bar  # few waits are long

    return open_bar()


class LongWait:
    """A wait that may become long; as a context manager it ends with the block, and its bar with it.

    Args:
        count: returns the counts; `None` while they are unknown.
        what: the name of what is waited for.
        unit: the unit of the counts.
        clock: a clock in seconds.
        open_bar: returns a bar; `None` where none can be shown.
        makes_room: between its waits the user's code runs, and may print. The time of that code is not waited.
    """

    def __init__(
        self,
        count: Callable[[], Counts | None],
        what: str,
        unit: Unit = "tasks",
        *,
        clock: Callable[[], float] = time.monotonic,
        open_bar: Callable[[], DrawnBar | None] = _open_bar,
        makes_room: bool = False,
    ) -> None:
        self._count = count
        self._what = what
        self._unit = unit
        self._clock = clock
        self._open_bar = open_bar
        self._makes_room = makes_room
        self._bar: DrawnBar | None = None
        self._paused: float | None = None  # since when
        self._began = clock()
        self._due = self._began + SHOWN_AFTER

    def result(self, future: concurrent.futures.Future[T], timeout: float | None = None) -> T:
        """Return the result of `future`, as its own method does, and draw the bar meanwhile."""
        if self._paused is not None:
            self._resume(self._clock() - self._paused)
        try:
            return self._result(future, timeout)
        finally:
            if self._makes_room:
                self._pause()

    def _result(self, future: concurrent.futures.Future[T], timeout: float | None) -> T:
        end = math.inf if timeout is None else self._clock() + timeout
        while (now := self._clock()) < end and self._due < math.inf:
            try:
                return future.result(max(0.0, min(self._due, end) - now))
            except TimeoutError:
                if future.done():
                    break  # the error is its own, or it has ended just now
            self.tick()
        return future.result(None if end == math.inf else max(0.0, end - self._clock()))

    def tick(self) -> None:
        """Draw the bar if that is due: for work that goes on in this thread."""
        if self._clock() >= self._due:
            self._guard(self._draw)

    def close(self) -> None:
        """Remove the bar, and show none any more."""
        self._due = math.inf
        bar, self._bar = self._bar, None
        if bar is not None:
            self._guard(bar.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pause(self) -> None:
        if self._due < math.inf:
            self._paused = self._clock()
            if self._bar is not None:
                self._guard(self._bar.pause)

    def _resume(self, seconds: float) -> None:
        """Go on after a pause. A bar that would be seen for a moment only is not drawn."""
        self._paused = None
        if self._bar is None:
            self._due += seconds
        elif seconds < _REDRAWN_EVERY:
            self._guard(self._bar.resume)
        else:
            self._due = self._clock() + _REDRAWN_EVERY

    def _draw(self) -> None:
        self._bar = self._bar or self._open_bar()
        if self._bar is None:
            self._due = math.inf
            return
        before = self._clock()  # now, as the first bar has to import its library
        counts = self._count()
        if counts is not None:
            self._bar.show(self._what, self._unit, counts, before - self._began)
        now = self._clock()
        self._due = now + max(_REDRAWN_EVERY, (now - before) * _SHARE)

    def _guard(self, act: Callable[[], None]) -> None:
        """Call `act`. A bar that cannot be drawn ends, and the wait goes on."""
        try:
            act()
        except Exception:  # a stream, a front end or a library failed: the wait goes on
            logger.debug("no bar for %s", self._what, exc_info=True)
            self._due = math.inf
            bar, self._bar = self._bar, None
            if bar is not None:
                with suppress(Exception):
                    bar.close()
