"""Chunks of a map. This module imports nothing, as workers import it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class ForChunk:
    """A function that takes a chunk of calls in place of one.

    Args:
        func: the function. Lists show the task under its name.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, chunk: Iterable[tuple[Any, ...]]) -> list[Any]:
        return [self.func(*args) for args in chunk]
