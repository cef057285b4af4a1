"""`Adapter`: what the bridge asks of an engine, and the events that come from one."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

# events


class Connected(NamedTuple):
    """The engine answers."""


class Lost(NamedTuple):
    """The engine does not answer any more; all slots are lost with it."""

    reason: str


class Frame(NamedTuple):
    """A host has sent a frame, see `slot_messages`."""

    slot: str
    frame: bytes


class Gone(NamedTuple):
    """These slots are lost with their process."""

    slots: tuple[str, ...]
    reason: str


class Failed(NamedTuple):
    """The engine does not hold this token: it could not, or holds it no more."""

    token: str
    reason: str


Event = Connected | Lost | Frame | Gone | Failed
Events = asyncio.Queue[Event]


class SlotGone(Exception):
    """The slot has no process any more."""


class Unreachable(Exception):
    """The engine cannot be reached, or refuses us; the text says why, in a line."""


class Adapter(Protocol):
    """An engine. All methods run in the bridge's event loop and never block it.

    It puts a `Ping` to each slot at least every `PING_EVERY` seconds, in whatever way is cheapest there; but to none
    whose token was withdrawn, or that was lost: those must end although their network is there again.

    Attributes:
        url: the engine's address, as tasks get it.
    """

    url: str

    async def connect(self) -> None:
        """Connect, end the slots of an earlier bridge, and announce `Connected`. Called again after `Lost`.

        Raises:
            Unreachable: try again later.
        """

    async def ask(self, token: str) -> None:
        """Ask for a place that is held until `withdraw`."""

    async def withdraw(self, token: str) -> None:
        """Give a place back, whatever has become of it."""

    async def put(self, slot: str, frame: bytes) -> None:
        """Send a frame to a slot's host. One call at a time for each slot.

        Raises:
            SlotGone: it has no process any more.
        """

    async def close(self) -> None:
        """Give all places back and disconnect."""
