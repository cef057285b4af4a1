"""`ByteLRU`: a cache bounded by the bytes of its values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLRU(Generic[K, V]):
    """Least-recently-used cache. Not thread-safe.

    Args:
        n_bytes: the limit, in the sizes given to `put`.
        n_kept: the number of latest entries that stay whatever their size; without them no large value would be found.
        n_entries: the largest number of entries.
    """

    def __init__(self, n_bytes: int, *, n_kept: int = 2, n_entries: int = 1000) -> None:
        self._limit = n_bytes
        self._n_kept = n_kept
        self._n_entries = n_entries
        self._entries: dict[K, tuple[V, int]] = {}
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value under `key` and make it the latest; `None` if there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry
        return entry[0]

    def put(self, key: K, value: V, size: int) -> bool:
        """Store `value` of `size` bytes and drop the oldest entries over a limit; return whether any was dropped."""
        self.drop(key)
        self._entries[key] = value, size
        self.n_bytes += size
        n = len(self._entries)
        while self._is_full():
            self.drop(next(iter(self._entries)))
        return len(self._entries) < n

    def drop(self, key: K) -> None:
        """Remove the entry under `key`, if any."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.n_bytes -= entry[1]

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self.n_bytes = 0

    def _is_full(self) -> bool:
        n = len(self._entries)
        return n > self._n_entries or (self.n_bytes > self._limit and n > self._n_kept)
