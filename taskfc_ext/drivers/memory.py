"""Memory that the allocator keeps after large objects are gone."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

MUCH = 8 * 2**20
"""Bytes of which it is worth it to let the system have them: to look for them takes about a millisecond."""

_TRIM_THRESHOLD: Final = -1  # of malloc.h
_MMAP_THRESHOLD: Final = -3
_ALONE_FROM = 4 * 2**20


def keep_little_memory() -> None:
    """Let the system have large payloads' memory at once, in a process that is there for long and handles many.

    The allocator learns from the first large ones to keep the memory of all that come, and never lets go of what its
    threads' heaps end with.
    """
    if sys.platform == "linux":
        _call("mallopt", _MMAP_THRESHOLD, _ALONE_FROM)
        _call("mallopt", _TRIM_THRESHOLD, MUCH)


def give_back_memory() -> None:
    """Let the system have what the allocator has free: it keeps what large payloads took."""
    if sys.platform == "linux":
        _call("malloc_trim", 0)


def resident() -> int:
    """Return the bytes of memory that this process holds; 0 where the system does not say."""
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
