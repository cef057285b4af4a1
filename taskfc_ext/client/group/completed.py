"""Futures of a group in the order in which their tasks end, for loops and for async loops."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Self

from taskfc_ext.client.future.endings import Endings
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.waiting import iterate


class AsCompleted:
    """Iterates over futures as they end: with `for`, or with `async for` in an event loop. One reader.

    Its length is the number of futures that it has not given yet, so `tqdm(group.as_completed())` knows the total.

    Args:
        futures: the futures.
    """

    def __init__(self, futures: Sequence[TaskFuture]) -> None:
        self._n_left = len(futures)
        self._endings = Endings()
        for future in futures:
            if not future.call_at_end(self._endings.add):
                self._endings.add(future)

    def __len__(self) -> int:
        return self._n_left

    def __iter__(self) -> Generator[TaskFuture, None, None]:
        return iterate(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskFuture:
        if not self._n_left:
            raise StopAsyncIteration
        future = await self._endings.take()
        self._n_left -= 1
        return future

    def close(self) -> None:
        """Do nothing: the tasks go on, and the other futures can be read later."""
