"""Payloads of the store that the host of a process keeps for all of its workers: those used last."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import NamedTuple

LIMIT = 2 * 2**30
"""Bytes that are kept, or a single larger payload."""

Key = tuple[str, str]
"""The farm's tag, and the payload's file: its name is never used again for another one."""


class _Kept(NamedTuple):
    descriptor: int
    size: int


class KeptFiles:
    """Open files without names. All methods may be called from any thread.

    Args:
        limit: bytes that are kept.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def find(self, key: Key) -> int | None:
        """Return a new descriptor of a file, which the caller closes; `None` if it is not here."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return os.dup(self._kept[key].descriptor)

    def keep(self, key: Key, descriptor: int, size: int) -> None:
        """Keep a file, whose descriptor stays the caller's; forget those that are too much."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = _Kept(os.dup(descriptor), size)
            while len(self._kept) > 1 and sum(kept.size for kept in self._kept.values()) > self._limit:
                _, oldest = self._kept.popitem(last=False)
                os.close(oldest.descriptor)

    def clear(self) -> None:
        """Forget all files."""
        with self._lock:
            for kept in self._kept.values():
                os.close(kept.descriptor)
            self._kept.clear()
