"""Memory of processes: its size, and its return to the system, as the allocator keeps it after objects are freed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

MUCH = 8 * 2**20
"""Bytes that are worth returning to the system: the search for them takes about a millisecond."""

_WILLING, _MOST_WILLING = 100, 1000
"""Thousandths of all memory that a worker counts as larger than it is; and the most that the system allows.

As much as decides between processes of similar size: a small worker is not ended for another's data.
"""

_TRIM_THRESHOLD: Final = -1  # of malloc.h
_MMAP_THRESHOLD: Final = -3
_ALONE_FROM = 4 * 2**20


def keep_little_memory() -> None:
    """Return the memory of large payloads to the system at once, in a long-lived process that handles many.

    By default the allocator adapts to the first large ones and keeps the memory of all later ones, and it never
    returns the ends of its threads' heaps.
    """
    if sys.platform == "linux":
        _call("mallopt", _MMAP_THRESHOLD, _ALONE_FROM)
        _call("mallopt", _TRIM_THRESHOLD, MUCH)


def give_back_memory() -> None:
    """Return all free memory of the allocator to the system."""
    if sys.platform == "linux":
        _call("malloc_trim", 0)


def offer_to_be_ended() -> None:
    """Have the system end this process, and those that it starts, before others of their size when memory runs out.

    A task with too much data should end, and not the notebook or the farm's controller. Linux only.
    """
    with suppress(OSError, ValueError):  # another system, or none of `/proc`
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(_MOST_WILLING, int(score.read_text()) + _WILLING)))


def resident(pid: int | str = "self") -> int:
    """Return the bytes of memory that a process holds; 0 if it has ended, or the system does not report it."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def used_together(pids: Iterable[int], limit: int) -> int:
    """Return the bytes of memory that processes hold together; exactly only if it is more than `limit`.

    Pages that several processes share count once; to find them takes long, and is done only where the sum of what
    each holds is over the limit.
    """
    pids = list(pids)
    total = sum(map(resident, pids))
    return total if total <= limit else min(total, sum(map(_proportional, pids)))


def _proportional(pid: int) -> int:
    """Return the memory of a process, with its share of the pages that others hold as well."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), 0)
    except OSError:  # it has ended, or the system does not report it
        return resident(pid)


def _call(name: str, *arguments: int) -> None:
    try:
        getattr(ctypes.CDLL(None), name)(*arguments)
    except AttributeError:  # another C library
        pass
