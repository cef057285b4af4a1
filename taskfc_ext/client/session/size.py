"""The size of the farm, as the controller reports it to a session, and those who follow it."""

from __future__ import annotations

import weakref
from typing import Protocol


class Follower(Protocol):
    """An object that acts on the size of the farm."""

    def set_workers(self, n_workers: int) -> None:
        """Take the intended number of workers; 0 if it is unknown. I/O thread; must not block or raise."""
        ...


class FarmSize:
    """The intended number of workers of a farm; 0 if it is unknown. I/O thread only."""

    def __init__(self) -> None:
        self.n_workers = 0
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()

    def set(self, n_workers: int) -> None:
        """Note the number, and pass it on."""
        self.n_workers = n_workers
        for follower in list(self._followers):
            follower.set_workers(n_workers)

    def follow(self, follower: Follower) -> None:
        """Pass this and all later numbers to `follower`, as long as something else keeps it alive."""
        self._followers.add(follower)
        follower.set_workers(self.n_workers)
