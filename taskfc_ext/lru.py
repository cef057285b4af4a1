"""`ByteLRU`: a cache that is bounded by the bytes of what it holds."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLRU(Generic[K, V]):
    """Keeps what was used last. Not thread-safe.

    Args:
        n_bytes: so many at most, by the sizes that `put` is told.
        n_kept: the latest entries, which stay however large they are: without them nothing large would ever be found.
        n_entries: so many at most, however small.
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
        """Return what is kept under `key`, which is the latest then."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry
        return entry[0]

    def put(self, key: K, value: V, size: int) -> bool:
        """Keep `value`, of `size` bytes, in place of what was used longest ago; return whether something had to go."""
        self.drop(key)
        self._entries[key] = value, size
        self.n_bytes += size
        n = len(self._entries)
        while self._is_full():
            self.drop(next(iter(self._entries)))
        return len(self._entries) < n

    def drop(self, key: K) -> None:
        """Keep nothing under `key`."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.n_bytes -= entry[1]

    def clear(self) -> None:
        """Keep nothing."""
        self._entries.clear()
        self.n_bytes = 0

    def _is_full(self) -> bool:
        n = len(self._entries)
        return n > self._n_entries or (self.n_bytes > self._limit and n > self._n_kept)
