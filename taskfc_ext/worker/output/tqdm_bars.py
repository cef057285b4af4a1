"""The `tqdm` bars of a task, read from tqdm's own list; tqdm is neither imported nor changed."""

from __future__ import annotations

import sys
import time
from typing import Any

_OWN_REFERENCES = 3
"""`sys.getrefcount` of a bar that is referred to only by our list, our variable and that call."""


class Bars:
    """Reader of the running attempt's bars. Helper thread.

    A bar whose last reference is ours would be drawn from this thread when it is dropped, under a lock of tqdm's that
    an interrupted task may never have released. So bars are kept until they are closed or nothing else refers to them.

    Attributes:
        outermost: the outermost bar found last, also after it was closed.
    """

    def __init__(self) -> None:
        self.outermost: Any = None
        self._kept: list[Any] = []

    def find_open(self, elapsed: float) -> bool:
        """Find the outermost open bar started in the last `elapsed` seconds; return whether there is one."""
        instances = getattr(getattr(sys.modules.get("tqdm.std"), "tqdm", None), "_instances", None)
        if instances is None and not self._kept:
            return False
        since = time.time() - elapsed  # an earlier cell may have left bars open
        best = None
        try:
            self._drop_forgotten()
            for bar in list(instances or ()):
                # a bar under construction or closed has no position
                if not getattr(bar, "disable", True) and not any(bar is kept for kept in self._kept):
                    self._kept.append(bar)
            for bar in self._kept:
                if bar.start_t >= since and (best is None or abs(bar.pos) < abs(best.pos)):
                    best = bar
        except Exception:  # noqa: BLE001  a bar is under construction, or tqdm is another version
            return False
        if best is not None:
            self.outermost = best
        return best is not None

    def _drop_forgotten(self) -> None:
        kept = []
        while self._kept:
            bar = self._kept.pop()
            kept.append(bar)
            if sys.getrefcount(bar) <= _OWN_REFERENCES + (bar is self.outermost):
                bar.disable = True  # dropped by its task: it must not be drawn any more
            if getattr(bar, "disable", True):
                kept.pop()
        self._kept = kept
