"""Surroundings of the controller's loop: its clock, and its wait for messages. A simulation gives it virtual ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import zmq

from taskfc_ext.core.events import Now


class Poller(Protocol):
    """The part of `zmq.Poller` that the loop uses."""

    def register(self, socket: Any, /, flags: int) -> None:
        """Let `poll` wait for this socket as well."""
        ...

    def poll(self, timeout: int | None = None, /) -> list[tuple[Any, int]]:
        """Return the readable sockets, after at most `timeout` milliseconds."""
        ...


class Surroundings(NamedTuple):
    """Everything outside the loop that is neither a message nor the store.

    Attributes:
        now: returns the present time.
        make_poller: returns a poller of no socket.
        stopwatch: returns seconds, whose differences are the costs of work. By a stopped one all work costs the same,
            so that a run can be repeated.
    """

    now: Callable[[], Now]
    make_poller: Callable[[], Poller]
    stopwatch: Callable[[], float] = lambda: 0.0


def _now() -> Now:
    return Now(time.monotonic(), time.time())


REAL = Surroundings(_now, zmq.Poller, time.thread_time)
"""The machine's clocks and ZMQ's poller; the cost of work is its CPU time: what else the machine does is nobody's."""

MEASURING_NOTHING = Surroundings(_now, zmq.Poller)
"""The machine's clock and ZMQ's poller, and a stopped stopwatch."""
