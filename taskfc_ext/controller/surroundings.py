"""Surroundings of the controller's loop: its clock, its wait for messages, the limits of the machine.

A simulation gives it virtual ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import zmq

from taskfc_ext.core.events import Now
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.drivers.process_limits import require_limits_of_farm
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.client_messages import ErrorKind, Refused, Scale


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
        refuse_growth: returns why a farm cannot have so many workers; `None`: it can.
    """

    now: Callable[[], Now]
    make_poller: Callable[[], Poller]
    stopwatch: Callable[[], float] = lambda: 0.0
    refuse_growth: Callable[[Farm, Scale], Refused | None] = lambda farm, scale: None


def _refuse_growth(farm: Farm, scale: Scale) -> Refused | None:
    n_running = len(farm.workers)
    if farm.engine is not None or scale.n <= n_running:
        return None
    try:
        require_limits_of_farm(scale.n, n_running)
    except StartFailed as error:
        return Refused(scale.seq, ErrorKind.TOO_MUCH, error.message, error.hint)
    return None


def _now() -> Now:
    return Now(time.monotonic(), time.time())


REAL = Surroundings(_now, zmq.Poller, time.thread_time, _refuse_growth)
"""The machine's clocks and limits, and ZMQ's poller. The cost of work is its CPU time: what else the machine does is
nobody's."""

MEASURING_NOTHING = Surroundings(_now, zmq.Poller)
"""The machine's clock and ZMQ's poller, and a stopped stopwatch."""
