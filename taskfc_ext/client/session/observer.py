"""`Observer`: the part of a subscriber that its connection calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskfc_ext.protocol.client_messages import Changed, Watching
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.snapshots import FarmState


class Observer(Protocol):
    """A subscriber: gets the state of the farm and its queue. All methods are called in the loop's thread."""

    def on_connecting(self) -> None:
        """Handle a new link: the farm's processes are there, and have not answered yet."""
        ...

    def on_live(self) -> None:
        """Handle an answer: the controller serves, or serves still."""
        ...

    def on_silent(self) -> None:
        """Handle a ping without an answer."""
        ...

    def on_lost(self) -> None:
        """Handle a link that broke."""
        ...

    def on_down(self, state: FarmState, error: Exception) -> Exception:
        """Handle a farm that cannot be reached; return the error that ends open requests."""
        ...

    def resume(self) -> Sequence[Message]:
        """Return the subscription, to be sent over a new link."""
        ...

    def receive(self, message: Watching | Changed) -> Sequence[Message]:
        """Take a message about the queue; return what has to be sent."""
        ...
