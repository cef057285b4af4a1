"""Coroutines that run beside everything else in an event loop; an error in one is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Background:
    """Coroutines that run.

    Args:
        fail: called with the error of one that has failed.
    """

    def __init__(self, fail: Callable[[BaseException], object]) -> None:
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def cancel(self) -> None:
        """Cancel all but the one that calls this."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
