"""The garbage collector during a loop of submissions.

The collector looks at the newest objects whenever a few hundred were made, and a loop of submissions makes futures, of
which none is garbage yet. So it runs a seventieth as often meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import os

TAMED = (50_000, 50, 100)
"""Thresholds of `gc.set_threshold` during a loop: some 20 MB of new futures between two collections."""

CALM_AFTER = 0.1
"""Seconds without a submission after which a loop has ended."""

_before: tuple[int, int, int] | None = None
_bursts: set[Burst] = set()


class Burst:
    """The loop of submissions of one connection, if there is one. All methods belong to its event loop's thread.

    Only thresholds below `TAMED` are changed: a program that has turned the collector off keeps it so. One that sets
    them meanwhile keeps what it has set.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._goes_on = False
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self) -> None:
        """Note that the loop of submissions goes on, or begins."""
        self._goes_on = True
        if self._timer is None:
            _tame(self)
            self._timer = self._loop.call_later(CALM_AFTER, self._look)

    def end(self) -> None:
        """Put the collector back, unless another connection needs it tamed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            _restore(self)

    def _look(self) -> None:
        if self._goes_on:
            self._goes_on = False
            self._timer = self._loop.call_later(CALM_AFTER, self._look)
        else:
            self.end()


def _after_fork() -> None:
    """Put the collector back in a child, in which no loop of its parent goes on."""
    for burst in list(_bursts):
        _restore(burst)


os.register_at_fork(after_in_child=_after_fork)


def _tame(burst: Burst) -> None:
    global _before
    now = gc.get_threshold()
    if not _bursts and 0 < now[0] < TAMED[0]:
        _before = now
        gc.set_threshold(*TAMED)
    _bursts.add(burst)


def _restore(burst: Burst) -> None:
    global _before
    _bursts.discard(burst)
    if not _bursts and _before is not None:
        if gc.get_threshold() == TAMED:
            gc.set_threshold(*_before)
        _before = None
