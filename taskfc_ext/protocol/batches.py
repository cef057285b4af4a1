"""Batches of messages, results and ids: divided by their bytes and their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Divide `items`, in their order, into tuples of at most `size`."""
    for first in range(0, len(items), size):
        yield tuple(items[first : first + size])


def split(items: Iterable[T], size_of: Callable[[T], int], *, max_bytes: int, max_items: int) -> Iterator[list[T]]:
    """Divide `items`, in their order, into batches within both limits; an item that is too large is a batch alone.

    Args:
        items: what is divided.
        size_of: returns the bytes of an item.
        max_bytes: the limit for the sum of the bytes of a batch.
        max_items: the limit for its length.
    """
    batch: list[T] = []
    n_bytes = 0
    for item in items:
        size = size_of(item)
        if batch and (n_bytes + size > max_bytes or len(batch) >= max_items):
            yield batch
            batch, n_bytes = [], 0
        batch.append(item)
        n_bytes += size
    if batch:
        yield batch
