"""Outgoing messages: those of one turn for one peer share a frame, and sending never blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from taskfc_ext.drivers.transport import Router
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Confirm, Ended, Resync
from taskfc_ext.protocol.limits import CONFIRM_EVERY, MAX_MESSAGES, MAX_UNTAKEN
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import bytes_outside_files
from taskfc_ext.protocol.worker_messages import Code, Prepare, Run

FRAME_BYTES = 8 * 2**20
"""Bytes at which a frame is full, so that small messages do not wait behind many large ones."""

_LEAST = 100
"""Bytes of memory that a waiting message takes at least."""


_END = object()
"""Stands for the end of messages that are made."""


class _Peer:
    """The messages of one peer that wait, and the frames that it has not confirmed.

    Attributes:
        queue: messages, and iterators that make the following ones when they can be sent; see `Outbox.add_made`.
        queued: bytes of the messages among them that were added while the peer was full.
        unready: iterators whose next message is not ready yet; the others pass them.
        untaken: bytes sent that are not confirmed.
        unasked: bytes sent since the last `Confirm`.
        asked: the last `Confirm`s that are not answered, each as its number and the bytes that it confirms.
    """

    __slots__ = ("asked", "queue", "queued", "unasked", "unready", "untaken")

    def __init__(self) -> None:
        self.queue: deque[Message | Iterator[Message | None]] = deque()
        self.queued = 0
        self.unready: deque[Iterator[Message | None]] = deque()
        self.untaken = 0
        self.unasked = 0
        self.asked: deque[tuple[int, int]] = deque()

    def drop_all(self) -> None:
        """Drop what waits."""
        self.queue.clear()
        self.unready.clear()


class Outbox:
    """Outgoing messages of one router.

    A peer that confirms what it reads is *full* while it has not confirmed `MAX_UNTAKEN` bytes: its messages wait, and
    large answers are not made before. A peer for which too much waits, or whose queue in ZMQ is full, is *lagging*:
    its messages are dropped until a `Resync` gets through, after which the peer asks for everything again. So a slow
    client slows down only itself, and takes a bounded memory.

    Args:
        router: the peers' socket.
        package: makes one frame of messages.
        confirms: the peers answer `Confirm`.
        begin: called with a peer before messages for it are made and packed.

    Attributes:
        full: the full peers.
        lagging: the lagging peers.
        gone: the peers that could not be reached.
    """

    def __init__(
        self,
        router: Router,
        package: Callable[..., bytes] | None = None,
        *,
        confirms: bool = False,
        begin: Callable[[bytes], None] = lambda identity: None,
    ) -> None:
        self._router = router
        self._package = package or (lambda *messages: codec.encode(messages))
        self._confirms = confirms
        self._begin = begin
        self._peers: dict[bytes, _Peer] = {}
        self._waiting: dict[bytes, _Peer] = {}  # the peers with messages that can be sent
        self._packaged: list[tuple[bytes, bytes]] = []
        self._deferred: dict[bytes, Message] = {}
        self._n_asked = 0
        self.full: set[bytes] = set()
        self.lagging: set[bytes] = set()
        self.gone: set[bytes] = set()

    def add(self, identity: bytes, message: Message) -> None:
        """Add `message` for this peer."""
        peer = self._peer(identity)
        peer.queue.append(message)
        if identity in self.full:
            peer.queued += _LEAST + _weight(message)
            if peer.queued > MAX_UNTAKEN:
                self._lag(identity, peer)

    def add_made(self, identity: bytes, messages: Iterable[Message | None]) -> None:
        """Add messages that are made one by one, when they can be sent.

        At a `None` the next message is not ready yet: the peer is *paused*, and `resume` goes on with it. Later
        messages are sent meanwhile.
        """
        self._peer(identity).queue.append(iter(messages))

    def is_paused(self, identity: bytes) -> bool:
        """Return whether a part of an answer to this peer is made."""
        peer = self._peers.get(identity)
        return peer is not None and bool(peer.unready)

    def resume(self, identity: bytes) -> None:
        """Go on with the answers of a paused peer that were not ready, at the next flush."""
        peer = self._peers.get(identity)
        if peer is None:
            return
        peer.queue.extendleft(reversed(peer.unready))
        peer.unready.clear()
        if identity not in self.full:
            self._waiting[identity] = peer

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
            self._peer(identity)
        self.flush()

    def flush(self) -> None:
        """Send all messages and frames."""
        for _ in self.flush_each():
            pass

    def flush_each(self) -> Iterator[bytes]:
        """Send all messages and frames; yield each peer when its messages are sent."""
        waiting, self._waiting = self._waiting, {}
        for identity, peer in waiting.items():
            if identity in self.lagging:
                peer.drop_all()
            else:
                if self._deferred and (companion := self._deferred.pop(identity, None)) is not None:
                    peer.queue.append(companion)
                self._flush_peer(identity, peer)
            yield identity
        for identity, frame in self._packaged:
            if identity not in self.lagging and identity not in self.full:
                self._send(identity, frame)
        self._packaged.clear()

    def confirm(self, identity: bytes, number: int) -> None:
        """Note that the peer has read all up to this `Confirm`."""
        peer = self._peers.get(identity)
        if peer is None:
            return
        while peer.asked and peer.asked[0][0] <= number:
            peer.untaken -= peer.asked.popleft()[1]
        if identity in self.full and peer.untaken < MAX_UNTAKEN:
            self.full.discard(identity)
            peer.queued = 0
            if identity in self.lagging:
                self.lagging.discard(identity)
                peer.queue.append(Resync())
            self._waiting[identity] = peer

    def forget(self, identity: bytes) -> None:
        """Forget a peer that is gone."""
        self._peers.pop(identity, None)
        self._waiting.pop(identity, None)
        self._deferred.pop(identity, None)
        self.full.discard(identity)
        self.lagging.discard(identity)

    def resync_lagging(self) -> None:
        """Send `Resync` to the lagging peers; a peer that still takes nothing stays lagging."""
        frame = self._package(Resync())
        for identity in self.lagging - self.full:
            self.lagging.discard(identity)
            self._send(identity, frame)

    def probe(self, identity: bytes) -> None:
        """Send an empty frame, to find out whether the peer still exists."""
        if identity not in self.lagging:
            self._send(identity, self._package())

    def _peer(self, identity: bytes) -> _Peer:
        """Return the peer, which now has something to send, unless it is full."""
        peer = self._peers.get(identity)
        if peer is None:
            peer = self._peers[identity] = _Peer()
        if identity not in self.full:
            self._waiting[identity] = peer
        return peer

    def _flush_peer(self, identity: bytes, peer: _Peer) -> None:
        self._begin(identity)
        while peer.queue and identity not in self.full:
            group = self._next_frame(peer)
            if group and not self._send_windowed(identity, peer, self._package(*group)):
                peer.drop_all()

    def _next_frame(self, peer: _Peer) -> list[Message]:
        """Take the messages of the next frame out of the queue, and what is not ready aside."""
        group: list[Message] = []
        n_bytes, queue = 0, peer.queue
        while queue:
            message = queue[0]
            if not isinstance(message, Message):
                made = next(message, _END)
                if made is _END:
                    queue.popleft()
                    continue
                if not isinstance(made, Message):
                    peer.unready.append(message)
                    queue.popleft()
                    continue
                message = made
                queue.appendleft(message)
            size = _weight(message)
            if group and (n_bytes + size > FRAME_BYTES or len(group) >= MAX_MESSAGES):
                break
            group.append(message)
            n_bytes += size
            queue.popleft()
        return group

    def _send_windowed(self, identity: bytes, peer: _Peer, frame: bytes) -> bool:
        """Send a frame, and ask for a confirmation if much was sent since the last one."""
        if not self._send(identity, frame):
            return False
        if not self._confirms:
            return True
        peer.untaken += len(frame)
        peer.unasked += len(frame)
        if peer.unasked >= CONFIRM_EVERY:
            self._n_asked += 1
            if not self._send(identity, self._package(Confirm(self._n_asked))):
                return False
            peer.asked.append((self._n_asked, peer.unasked))
            peer.unasked = 0
            if peer.untaken >= MAX_UNTAKEN:
                self.full.add(identity)
        return True

    def _send(self, identity: bytes, frame: bytes) -> bool:
        try:
            sent = self._router.send(identity, frame)
        except ConnectionError:
            self.gone.add(identity)
            return False
        if not sent:
            self.lagging.add(identity)
        return sent

    def _lag(self, identity: bytes, peer: _Peer) -> None:
        """Drop all messages of a full peer; the `Resync` comes when it has read some."""
        peer.drop_all()
        peer.queued = 0
        self.lagging.add(identity)


def _weight(message: Message) -> int:
    """Return the approximate bytes of payload in `message`."""
    match message:
        case Ended():
            return bytes_outside_files(message.values)
        case Run():
            return bytes_outside_files((*message.bodies, *message.inputs))
        case Code():
            return bytes_outside_files((message.body,))
        case Prepare():
            return len(message.code) + len(message.body)
        case _:
            return 0
