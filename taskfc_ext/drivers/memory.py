"""Return of memory to the system: the allocator keeps it after large objects are freed."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

MUCH = 8 * 2**20
"""Bytes that are worth returning to the system: the search for them takes about a millisecond."""

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


def resident() -> int:
    """Return the bytes of memory that this process holds; 0 if the system does not report it."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _call(name: str, *arguments: int) -> None:
    try:
        getattr(ctypes.CDLL(None), name)(*arguments)
    except AttributeError:  # another C library
        pass
