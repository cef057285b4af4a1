"""The virtual network: connections between peers and the present controller, as ZMQ over Unix sockets behaves.

A connection delivers its frames in order and drops none while it lives; different connections overtake one another.
When an end closes or dies, a prefix of the frames on their way still arrives, as from a kernel's buffer, and the rest
is lost. A peer whose controller died keeps its connection: what it sends waits, and reaches the next controller under
a routing id of which that one knows nothing. A partition delays all frames of a peer until it heals; a cut ends its
connection. A full queue refuses frames at the controller's end, which then drops messages until a `Resync`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from tests.simulate.timeline import Timeline

REBOUND_AFTER = 0.015
"""Seconds until a peer's old connection reaches a new controller by itself."""


class Crash(BaseException):
    """The controller was killed at this point. Not an `Exception`: no code of the controller may catch it."""


class Network:
    """All connections, and their faults.

    Args:
        latency: mean seconds of a frame's way.

    Attributes:
        slow: peer -> (until when, longest delay in seconds).
        parted: peer -> until when its frames wait.
        full: peer -> until when the controller's queue to it is full.
        clients, workers: the routers of the present controller.
    """

    def __init__(self, timeline: Timeline, rng: random.Random, latency: float) -> None:
        self.timeline, self.rng, self.latency = timeline, rng, latency
        self.slow: dict[str, tuple[float, float]] = {}
        self.parted: dict[str, float] = {}
        self.full: dict[str, float] = {}
        self.routers: dict[str, VirtualRouter] = {}
        self.wires: dict[Wire, None] = {}
        self.n_identities = 0

    def arrival(self, peer: str) -> float:
        """Return when a frame to or from `peer` arrives that is sent now."""
        now = self.timeline.now
        when = now + self.rng.expovariate(1.0) * self.latency + 1e-5
        if self.slow or self.parted:
            until, longest = self.slow.get(peer, (0.0, 0.0))
            if now < until:
                when += self.rng.random() * longest
            when = max(when, self.parted.get(peer, 0.0))
        return when

    def bind(self, kind: str, router: VirtualRouter) -> None:
        """Let peers of this kind reach `router`."""
        self.routers[kind] = router
        for wire in [wire for wire in self.wires if wire.kind == kind]:
            self.timeline.after(REBOUND_AFTER, wire.attach, router)

    def unbind(self, *, flushes: bool) -> None:
        """End the controller's side of all connections; `flushes`: with all frames on their way to the peers."""
        routers, self.routers = self.routers, {}
        for router in routers.values():
            router.is_open = False
        for wire in list(self.wires):
            wire.lose_controller(flushes=flushes)

    def cut(self, peer: str) -> None:
        """Break the connections of `peer`."""
        for wire in [wire for wire in self.wires if wire.peer == peer]:
            wire.break_off()


class Wire:
    """One connection of a peer.

    Args:
        kind: "clients" or "workers".
        peer: its name, for faults and traces.
        on_frame: called at the peer with each frame that arrives.
        on_lost: called at the peer when the connection broke.
    """

    def __init__(
        self, net: Network, kind: str, peer: str, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]
    ) -> None:
        self.net, self.kind, self.peer = net, kind, peer
        self._on_frame, self._on_lost = on_frame, on_lost
        self.identity = b""
        self._router: VirtualRouter | None = None
        self._is_closed = False
        self._waiting: list[bytes] = []
        self._up = self._down = 0.0  # when the last frame arrives
        self._ups: deque[list[bytes]] = deque()  # on their way; an empty list stands for a lost one
        self._downs: deque[list[bytes]] = deque()
        net.wires[self] = None
        router = net.routers.get(kind)
        if router is not None:
            self.attach(router)

    def attach(self, router: VirtualRouter) -> None:
        """Reach `router`, under a routing id of its own."""
        if self._is_closed or self._router is not None or not router.is_open:
            return
        self._router = router
        self.net.n_identities += 1
        self.identity = b"%d" % self.net.n_identities
        router.wires[self.identity] = self
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            self.send(frame)

    def send(self, frame: bytes) -> None:
        """Send a frame to the controller."""
        if self._is_closed:
            return
        router = self._router
        if router is None:
            self._waiting.append(frame)
            return
        self._up = max(self._up, self.net.arrival(self.peer))
        self._ups.append([frame])
        self.net.timeline.at(self._up, self._arrive_up, router)

    def _arrive_up(self, router: VirtualRouter) -> None:
        frames = self._ups.popleft()
        if frames:
            router.arrived.append((self.identity, frames[0]))
            router.wake()

    def send_down(self, frame: bytes) -> None:
        """Send a frame to the peer."""
        if self._is_closed:
            raise ConnectionError
        self._down = max(self._down, self.net.arrival(self.peer))
        self._downs.append([frame])
        self.net.timeline.at(self._down, self._arrive_down)

    def _arrive_down(self) -> None:
        frames = self._downs.popleft()
        if frames and not self._is_closed:
            self._on_frame(frames[0])

    def _lose(self, frames: deque[list[bytes]], n_kept: int) -> None:
        for frame in islice(frames, n_kept, None):
            frame.clear()

    def close(self) -> None:
        """Close or kill the peer's end: a prefix of its frames on their way arrives."""
        if not self._is_closed:
            self._is_closed = True
            self._lose(self._ups, self.net.rng.randint(0, len(self._ups)))
            del self.net.wires[self]

    def break_off(self) -> None:
        """Break the connection; both ends notice."""
        if not self._is_closed:
            self.close()
            self.net.timeline.after(self.net.rng.random() * 0.05, self._on_lost)

    def lose_controller(self, *, flushes: bool) -> None:
        """Note the end of the controller."""
        if self._router is None:
            return
        self._router = None
        if not flushes:
            self._lose(self._downs, self.net.rng.randint(0, len(self._downs)))
        self._lose(self._ups, 0)
        self.net.timeline.at(max(self._down, self.net.timeline.now) + self.net.rng.random() * 0.02, self._report_lost)

    def _report_lost(self) -> None:
        if not self._is_closed:
            self._on_lost()


class VirtualRouter:
    """Stands in for a `Router`: the controller's end of all connections of one kind."""

    path = Path("/virtual")

    def __init__(self, net: Network, kind: str, wake: Callable[[], None], step: Callable[[], None]) -> None:
        self.net, self.wake, self._step = net, wake, step
        self.socket: Any = kind
        self.arrived: deque[tuple[bytes, bytes]] = deque()
        self.wires: dict[bytes, Wire] = {}
        self.is_open = True
        net.bind(kind, self)

    def receive(self, at_most: int, enough: int = 0, is_ignored: Any = None) -> list[tuple[bytes, bytes]]:
        """Return up to `at_most` received (routing id, frame), however large."""
        return [self.arrived.popleft() for _ in range(min(at_most, len(self.arrived)))]

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send a frame; the controller may be killed before it."""
        self._step()
        wire = self.wires.get(identity)
        if wire is None:
            raise ConnectionError
        if self.net.full and self.net.full.get(wire.peer, 0.0) > self.net.timeline.now:
            return False
        wire.send_down(frame)
        return True

    def rebind_if_vanished(self) -> bool:
        """Return `False`: its file is always there."""
        return False
