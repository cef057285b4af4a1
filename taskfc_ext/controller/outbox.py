"""Outgoing messages: those of one turn for one peer share a frame, and sending never blocks."""

from __future__ import annotations

from collections.abc import Callable

from taskfc_ext.drivers.transport import Router
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.batches import split
from taskfc_ext.protocol.client_messages import Ended, Resync
from taskfc_ext.protocol.limits import MAX_MESSAGES
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.worker_messages import Code, Prepare, Run

FRAME_BYTES = 8 * 2**20
"""Bytes at which a frame is full, so that small messages do not wait behind many large ones."""


class Outbox:
    """Outgoing messages of one router.

    A peer whose queue is full is *lagging*: its messages are dropped until a `Resync` gets through, after which the
    peer asks for everything again. So a slow client slows down only itself.

    Args:
        router: the peers' socket.
        package: makes one frame of messages.

    Attributes:
        lagging: the lagging peers.
        gone: the peers that could not be reached.
    """

    def __init__(self, router: Router, package: Callable[..., bytes] | None = None) -> None:
        self._router = router
        self._package = package or (lambda *messages: codec.encode(messages))
        self._waiting: dict[bytes, list[Message]] = {}
        self._packaged: list[tuple[bytes, bytes]] = []
        self._deferred: dict[bytes, Message] = {}
        self.lagging: set[bytes] = set()
        self.gone: set[bytes] = set()

    def add(self, identity: bytes, message: Message) -> None:
        """Add `message` for this peer."""
        self._waiting.setdefault(identity, []).append(message)

    def add_frame(self, identity: bytes, frame: bytes) -> None:
        """Add a complete frame for this peer, to be sent after all messages."""
        self._packaged.append((identity, frame))

    def add_deferred(self, identity: bytes, message: Message) -> None:
        """Send `message` together with the next messages for this peer. It replaces an earlier deferred one.

        A frame of its own would cost as much as a task.
        """
        self._deferred[identity] = message

    def send_deferred(self) -> None:
        """Send the deferred messages that no other message has followed."""
        for identity in self._deferred:
            self._waiting.setdefault(identity, [])
        self.flush()

    def flush(self) -> None:
        """Send all messages and frames."""
        for identity, messages in self._waiting.items():
            if identity in self.lagging:
                continue
            if self._deferred and (companion := self._deferred.pop(identity, None)) is not None:
                messages.append(companion)
            for group in split(messages, _weight, max_bytes=FRAME_BYTES, max_items=MAX_MESSAGES):
                if not self._send(identity, self._package(*group)):
                    break
        self._waiting.clear()
        for identity, frame in self._packaged:
            if identity not in self.lagging:
                self._send(identity, frame)
        self._packaged.clear()

    def resync_lagging(self) -> None:
        """Send `Resync` to the lagging peers; a peer whose queue is still full stays lagging."""
        frame = self._package(Resync())
        for identity in list(self.lagging):
            self.lagging.discard(identity)
            self._send(identity, frame)

    def probe(self, identity: bytes) -> None:
        """Send an empty frame, to find out whether the peer still exists."""
        if identity not in self.lagging:
            self._send(identity, self._package())

    def _send(self, identity: bytes, frame: bytes) -> bool:
        try:
            sent = self._router.send(identity, frame)
        except ConnectionError:
            self.gone.add(identity)
            return False
        if not sent:
            self.lagging.add(identity)
        return sent


def _weight(message: Message) -> int:
    """Return the approximate bytes of payload in `message`."""
    match message:
        case Ended():
            return sum(len(value) for value in message.values if isinstance(value, bytes))
        case Run():
            return sum(len(body) for body in (*message.bodies, *message.inputs) if isinstance(body, bytes))
        case Code():
            return len(message.body) if isinstance(message.body, bytes) else 0
        case Prepare():
            return len(message.code) + len(message.body)
        case _:
            return 0
