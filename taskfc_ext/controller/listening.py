"""The sockets that the loop waits for, and those whose messages it leaves there for a while. Pure: the poller waits."""

from __future__ import annotations

from typing import Any

import zmq

from taskfc_ext.controller.surroundings import Poller

REST = 0.001
"""Seconds for which a socket is left alone after junk has come from it. Its sender waits meanwhile, which leaves the
machine to others. Those who use the same socket wait as well: for one rest, or for some if hundreds send junk."""


class Listening:
    """The sockets of a poller, each with the time until which it rests. Times are monotonic seconds."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._is_heard: dict[Any, bool] = {}
        self._rests_until: dict[Any, float] = {}

    def set(self, socket: Any, now: float, *, listens: bool = True) -> None:
        """Let the next wait end when a message comes on `socket`, if the loop `listens` to it and it does not rest."""
        until = self._rests_until.get(socket)
        if until is not None and until <= now:
            del self._rests_until[socket]
            until = None
        is_heard = listens and until is None
        if is_heard != self._is_heard.get(socket, False):
            self._is_heard[socket] = is_heard
            self._poller.register(socket, zmq.POLLIN if is_heard else 0)

    def rest(self, socket: Any, now: float) -> None:
        """Leave the messages of `socket` where they are for a while."""
        self._rests_until[socket] = now + REST

    @property
    def next_at(self) -> float | None:
        """The time until which the next socket rests; `None`: none does."""
        return min(self._rests_until.values(), default=None)
