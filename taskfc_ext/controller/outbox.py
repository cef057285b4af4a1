"""Sending: everything that one turn has for a peer goes in one frame, and nobody is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from taskfc_ext.drivers.transport import Router
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Ended, Resync
from taskfc_ext.protocol.limits import MAX_MESSAGES
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.worker_messages import Code, Prepare, Run

FRAME_BYTES = 8 * 2**20
"""A frame is closed at this size, so that small messages do not wait behind many large ones."""


class Outbox:
    """What the turns have for the peers of one router.

    A peer whose queue is full is *lagging*: what is for it is dropped, until a `Resync` gets through, which makes it
    ask for everything again. So a slow client costs itself only.

    Args:
        router: the peers' socket.
        package: makes one frame of messages.
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
        """Put `message` behind the others for this peer."""
        self._waiting.setdefault(identity, []).append(message)

    def add_frame(self, identity: bytes, frame: bytes) -> None:
        """Put a frame that was packaged already behind all messages for this peer."""
        self._packaged.append((identity, frame))

    def add_deferred(self, identity: bytes, message: Message) -> None:
        """Send `message` with the next ones for this peer, in place of an earlier one that still waits for that.

        A frame of its own would cost as much as a task.
        """
        self._deferred[identity] = message

    def send_deferred(self) -> None:
        """Send what has waited for company long enough."""
        for identity in self._deferred:
            self._waiting.setdefault(identity, [])
        self.flush()

    def flush(self) -> None:
        """Send what is there. Peers that are gone are noted in `gone`."""
        for identity, messages in self._waiting.items():
            if identity in self.lagging:
                continue
            if self._deferred and (companion := self._deferred.pop(identity, None)) is not None:
                messages.append(companion)
            for group in _groups(messages):
                if not self._send(identity, self._package(*group)):
                    break
        self._waiting.clear()
        for identity, frame in self._packaged:
            if identity not in self.lagging:
                self._send(identity, frame)
        self._packaged.clear()

    def resync_lagging(self) -> None:
        """Tell those that were too slow to ask again, as soon as that can be told."""
        frame = self._package(Resync())
        for identity in list(self.lagging):
            self.lagging.discard(identity)
            self._send(identity, frame)

    def probe(self, identity: bytes) -> None:
        """Send a frame that says nothing, to find out whether the peer is there."""
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


def _groups(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Divide `messages` into what goes in one frame each."""
    group: list[Message] = []
    size = 0
    for message in messages:
        weight = _weight(message)
        if group and (size + weight > FRAME_BYTES or len(group) >= MAX_MESSAGES):
            yield group
            group, size = [], 0
        group.append(message)
        size += weight
    yield group


def _weight(message: Message) -> int:
    """Return about how many bytes the payloads of `message` have."""
    match message:
        case Ended():
            return sum(len(value) for value in message.values if isinstance(value, bytes))
        case Run():
            return sum(len(body) for body in message.bodies if isinstance(body, bytes)) + sum(map(len, message.inputs))
        case Code():
            return len(message.body)
        case Prepare():
            return len(message.code) + len(message.body)
        case _:
            return 0
