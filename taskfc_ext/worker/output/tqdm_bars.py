"""The `tqdm` bars of a task: read where tqdm itself lists them, so nothing of it is imported or changed."""

from __future__ import annotations

import sys
import time
from typing import Any

_OURS = 3
"""What `sys.getrefcount` says of a bar that only our list, our variable and that very call know."""


class Bars:
    """Reads the bars of the running attempt. Runs in the helper thread.

    A bar that dies with our reference would draw its end from this thread, under a lock of tqdm's that an interrupted
    task may never have released. So bars are kept until they are closed, or until nobody else has them.

    Attributes:
        outermost: the last one that was found; it stays when it has been closed.
    """

    def __init__(self) -> None:
        self.outermost: Any = None
        self._kept: list[Any] = []

    def find_open(self, elapsed: float) -> bool:
        """Look for the outermost open bar that was begun in the last `elapsed` seconds; return whether there is one."""
        instances = getattr(getattr(sys.modules.get("tqdm.std"), "tqdm", None), "_instances", None)
        if instances is None and not self._kept:
            return False
        since = time.time() - elapsed  # what an earlier cell has left open is not this one's
        best = None
        try:
            self._drop_forgotten()
            for bar in list(instances or ()):
                # one that is being made has no position yet, and one that is closed is none any more
                if not getattr(bar, "disable", True) and not any(bar is kept for kept in self._kept):
                    self._kept.append(bar)
            for bar in self._kept:
                if bar.start_t >= since and (best is None or abs(bar.pos) < abs(best.pos)):
                    best = bar
        except Exception:  # noqa: BLE001  a bar is being made, or it is not the tqdm we know
            return False
        if best is not None:
            self.outermost = best
        return best is not None

    def _drop_forgotten(self) -> None:
        kept = []
        while self._kept:
            bar = self._kept.pop()
            kept.append(bar)
            if sys.getrefcount(bar) <= _OURS + (bar is self.outermost):
                bar.disable = True  # forgotten by its task: it is not to draw any more
            if getattr(bar, "disable", True):
                kept.pop()
        self._kept = kept
