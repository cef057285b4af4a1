"""The watch over the memory of one attempt: of its worker and of all processes that it has started."""

from __future__ import annotations

import time

from taskfc_ext.drivers.memory import resident, used_together
from taskfc_ext.drivers.process_tree import descendants, is_supervisor

CHECK_EVERY = 0.2
"""Seconds between two checks: a task that fills memory at 1 GB/s is noticed 0.2 GB over its limit."""

SHARE_OF_TIME = 0.02
"""Largest part of the time that checks take: many processes, or much shared memory, are checked less often."""


class MemoryWatch:
    """The memory of the attempt under `lease`, in the worker `pid`.

    It begins before the attempt, or with it: what is in use then is not the attempt's, but what the worker is, and
    what earlier tasks and broadcasts have left in it.

    Args:
        limit: the bytes that the attempt may use.

    Attributes:
        lease: the lease.
        check_at: time of the next check.
    """

    def __init__(self, pid: int, lease: int, limit: int) -> None:
        self.lease = lease
        self.check_at = 0.0
        self._pid = pid
        self._limit = limit
        self._before = resident(pid)

    def excess(self, now: float) -> int:
        """Return the bytes that the attempt uses if they are more than the limit, else 0."""
        began = time.monotonic()
        below = (process.pid for process in descendants(self._pid, is_supervisor))
        used = used_together((self._pid, *below), self._before + self._limit) - self._before
        self.check_at = now + max(CHECK_EVERY, (time.monotonic() - began) / SHARE_OF_TIME)
        return used if used > self._limit else 0
