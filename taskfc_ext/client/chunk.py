"""Chunks of a map: several calls in one task. This module imports no client, as workers import it."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from inspect import iscoroutinefunction
from itertools import count, islice
from typing import Any, SupportsIndex

from taskfc_ext.errors import attach_note

Calls = Iterable[tuple[Any, ...]]
"""The arguments of each call."""


class ForChunk:
    """A function that takes a chunk of calls in place of one.

    Args:
        func: the function. Lists show the task under its name.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, first: int, chunk: Calls) -> Any:
        """Return the results of `chunk`, whose first call is the item `first`. An error gets a note with its item.

        Of a coroutine function, it returns a coroutine that returns them.
        """
        return self._await_each(first, chunk) if iscoroutinefunction(self.func) else self._call_each(first, chunk)

    def _call_each(self, first: int, chunk: Calls) -> list[Any]:
        results: list[Any] = []
        with _noting_item(first, results):
            for args in chunk:
                results.append(self.func(*args))  # noqa: PERF401  an error has to know how many there are
        return results

    async def _await_each(self, first: int, chunk: Calls) -> list[Any]:
        results: list[Any] = []
        with _noting_item(first, results):
            for args in chunk:
                results.append(await self.func(*args))  # noqa: PERF401  as above
        return results


@contextmanager
def _noting_item(first: int, results: Sequence[object]) -> Iterator[None]:
    """Give an error a note with its item: the one behind the `results` that are there."""
    try:
        yield
    except Exception as error:
        attach_note(error, f"item {first + len(results)} in a map")
        raise


def divide(calls: Calls, chunksize: int) -> Iterator[tuple[int, tuple[tuple[Any, ...], ...]]]:
    """Yield the arguments of `ForChunk` for each `chunksize` calls."""
    rest = iter(calls)
    for first in count(step=chunksize):
        chunk = tuple(islice(rest, chunksize))
        if not chunk:
            return
        yield first, chunk


def check_chunksize(chunksize: SupportsIndex) -> int:
    """Return `chunksize`, at most as large as any list, if it is one.

    Raises:
        TypeError: it is not an int.
        ValueError: it is less than 1.
    """
    try:
        size = operator.index(chunksize)
    except TypeError:
        raise TypeError(f"chunksize is an int, not {chunksize!r}") from None
    if size < 1:
        raise ValueError(f"chunksize is at least 1, not {size}")
    return min(size, sys.maxsize)


def check_block(block: object) -> bool:
    """Return `block` if it is a bool, as text that means no would be true, else raise a `TypeError`."""
    if not isinstance(block, bool):
        raise TypeError(f"block is True or False, not {block!r}")
    return block
