"""Reception of clients: receives their messages, handles them in turns, and sends what is for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from functools import partial

from taskfc_ext.controller.endpoint import Connection, FCTaskControllerFromTaskController, Handled
from taskfc_ext.controller.failed_requests import FailedRequests
from taskfc_ext.controller.outbox import Outbox
from taskfc_ext.controller.turns import Turns
from taskfc_ext.core.effects import SendEnded, ToComplete
from taskfc_ext.core.events import Now
from taskfc_ext.drivers.transport import Router
from taskfc_ext.protocol.client_messages import (
    ClientMessage,
    Confirmed,
    ErrorKind,
    GetDetails,
    GetLog,
    GetOutputs,
    GetResults,
    GetSubmission,
    ListTasks,
    Refused,
    Retry,
    Submit,
    Watch,
)
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.limits import MAX_SESSIONS, MAX_UNHANDLED, MAX_UNHANDLED_BYTES
from taskfc_ext.protocol.message import Message

FRAMES_A_TURN = 256
"""Frames received in one turn."""

FRAMES_AT_ONCE = 16
"""Frames received before the time is read."""

BYTES_AT_ONCE = 16 * 2**10
"""Bytes of frames after which it is read as well: to unpack so many small messages takes a turn."""

TURN = 0.001
"""Seconds for which a turn of the loop unpacks messages, and for which it handles them, at least one. All other peers
wait so long while one floods the farm; a commit takes a tenth of a millisecond."""

SHARED_TURN = 0.0003
"""The same while several clients are active. A round trip of a tiny task meets three or four turns."""

PROBE_AFTER = 60.0
"""Seconds of silence after which a client is probed: ZMQ reports a lost peer only when something is sent to it."""

PROBE_STRANGER_AFTER = 5.0
"""The same for a client that has asked for nothing: many may come and leave."""

MANY = 1000
"""Connections beyond which each new one lets two others be probed: so those that are gone are few."""

PROBE_OTHER_AFTER = 0.5
"""Seconds of silence after which these are probed."""

USUAL_FRAME = 16 * 2**20
"""Bytes of the frames in which our clients submit, and some. A client may submit as much of these as the loop can take,
while others ask as well."""


class _Rest(Enum):
    """Stands among the messages of a connection for an answer of which a part is made."""

    OF_ANSWER = auto()


_FROM_STORE = GetResults | ListTasks | GetLog | GetSubmission | GetOutputs | GetDetails | Watch | Retry
"""Requests whose cost is known only at the end of the turn: the store completes their answers."""


class Reception:
    """The connections of clients.

    Args:
        router: their socket.
        endpoint: handles each message.
        failed: learns what is handled, or made for whom.
        stopwatch: see `Surroundings`.
        expect: called with the bytes of frames and the monotonic time before they are handled.

    Attributes:
        connections: by routing id.
        outbox: the messages for them.
        turns: their messages that wait to be handled.
        hears_junk: whether some of the last frames came from a connection that is cut off.
        probe_after: seconds of silence after which a client that has asked is probed.
    """

    def __init__(
        self,
        router: Router,
        endpoint: FCTaskControllerFromTaskController,
        failed: FailedRequests,
        stopwatch: Callable[[], float],
        expect: Callable[[int, float], None],
    ) -> None:
        self.connections: dict[bytes, Connection] = {}
        self.outbox = Outbox(router, endpoint.packageSuccess, confirms=True, begin=self._begin)
        self.turns: Turns[ClientMessage | bytes | _Rest] = Turns(self.outbox.full)
        self.hears_junk = False
        self.probe_after = PROBE_AFTER
        self._router = router
        self._endpoint = endpoint
        self._failed = failed
        self._stopwatch = stopwatch
        self._expect = expect
        self._cost_of_answer = 0.0  # of the dearest of the last ones
        self._to_probe: deque[Connection] = deque()  # the connections, and some that are gone
        self._resumed: set[bytes] = set()  # the connections for which a part of an answer is made in this turn

    # receiving

    def receive(self, now: Now) -> None:
        """Put received messages into the inboxes, for as long as a turn may take."""
        n, n_bytes, begun, longest = 0, 0, self._stopwatch(), self._longest_turn(now)
        self.hears_junk = False
        while n < FRAMES_A_TURN and self._stopwatch() - begun < longest:
            frames = self._router.receive(FRAMES_AT_ONCE, BYTES_AT_ONCE, self._is_ignored)
            size = sum(len(frame) for _, frame in frames)
            n_bytes += size
            self._expect(n_bytes, now.mono)
            for identity, frame in frames:
                self.unpack(identity, frame, now)
            n += len(frames)
            if len(frames) < FRAMES_AT_ONCE and size < BYTES_AT_ONCE:
                return  # there are no more: to ask once again costs each turn

    def _open(self, connection: Connection, now: Now) -> None:
        """Take a new connection; look at two others, and forget which of them are gone."""
        connection.received_at = now.mono
        self.connections[connection.identity] = connection
        self._to_probe.append(connection)
        for _ in range(2):
            other = self._to_probe.popleft()
            if self.connections.get(other.identity) is other:
                self._to_probe.append(other)
                if len(self.connections) > MANY and now.mono - other.received_at >= PROBE_OTHER_AFTER:
                    self.outbox.probe(other.identity)

    def _longest_turn(self, now: Now) -> float:
        return SHARED_TURN if self.turns.is_shared(now.mono) else TURN

    def _is_ignored(self, identity: bytes) -> bool:
        """Return whether nobody looks at the frames of a connection."""
        connection = self.connections.get(identity)
        return connection is not None and connection.is_cut_off

    def unpack(self, identity: bytes, frame: bytes, now: Now) -> None:
        """Put the messages of a frame into the inbox of its connection."""
        connection = self.connections.get(identity)
        if connection is None:
            connection = Connection(identity)
            if len(self.connections) >= MAX_SESSIONS:
                text = f"this farm has {len(self.connections):,} connections, the most that it takes"
                self._refuse(connection, self._endpoint.cut_off(connection, text))
                return
            self._open(connection, now)
        connection.received_at = now.mono
        self.hears_junk = self.hears_junk or connection.is_cut_off
        messages = self._endpoint.unpack(connection, frame)
        if isinstance(messages, Refused):
            self._refuse(connection, messages)
            return
        requests: list[ClientMessage | bytes] = []
        for message in messages:
            if isinstance(message, Confirmed):
                self.outbox.confirm(identity, message.number)
            else:
                requests.append(message)
        if requests and not self.turns.add(identity, requests, len(frame), now.mono):
            text = f"this client has sent {MAX_UNHANDLED:,} requests, or {MAX_UNHANDLED_BYTES:,} bytes, ahead of the "
            self._refuse(connection, self._endpoint.cut_off(connection, f"{text}answers: the most that may wait"))

    def handle(self, now: Now) -> Iterator[tuple[Connection, Handled]]:
        """Handle messages in turns, for as long as a turn may take; yield the outcome of each."""
        before, spent, longest = self._stopwatch(), 0.0, self._longest_turn(now)
        while spent < longest:
            taken = self.turns.take(now.mono)
            if taken is None:
                return
            identity, message, n_bytes = taken
            if isinstance(message, _Rest):
                self.outbox.resume(identity)
                self._resumed.add(identity)
                self.turns.defer(identity)
                spent += self._cost_of_answer
                continue
            connection = self.connections[identity]
            if isinstance(message, bytes):
                decoded = self._endpoint.decode(connection, message)
                if isinstance(decoded, Refused):
                    self._refuse(connection, decoded)
                    before, spent = self._charge_handling(identity, before, spent, now)
                    continue
                message = decoded
            handled = self._endpoint.handle(connection, message, n_bytes, now)
            if handled.refusal is not None:
                self._refuse(connection, handled.refusal)
            connection.has_asked = connection.has_asked or (handled.effects is not None and handled.opened is None)
            yield connection, handled
            if isinstance(message, _FROM_STORE):
                self.turns.defer(identity)
                spent += self._cost_of_answer
            can_rest = not isinstance(message, Submit) or n_bytes > USUAL_FRAME
            before, spent = self._charge_handling(identity, before, spent, now, can_rest=can_rest)

    def _charge_handling(
        self, identity: bytes, before: float, spent: float, now: Now, *, can_rest: bool = True
    ) -> tuple[float, float]:
        """Charge a client for the time since `before`; return the time now, and the sum of what a turn has spent."""
        after = self._stopwatch()
        self.turns.charge(identity, after - before, now.mono, can_rest=can_rest)
        return after, spent + after - before

    def _refuse(self, connection: Connection, refusal: Refused) -> None:
        """Send a refusal; drop all that waits of a connection that is cut off, or that has not said hello."""
        if connection.is_cut_off or connection.session is None:
            self.turns.clear(connection.identity)
            self.outbox.resume(connection.identity)  # else it would be paused for ever
        self.outbox.add_frame(connection.identity, self._endpoint.packageFailure(refusal))

    # sending

    def answer(
        self,
        identity: bytes,
        session: Session,
        message: ToComplete,
        complete: Callable[[ToComplete], Iterable[Message | None]],
        now: Now,
    ) -> None:
        """Send what `complete` makes of `message`. What it costs to make that is charged to the receiver."""
        before = self._stopwatch()
        if isinstance(message, SendEnded):
            made = complete(message)  # ends of tasks answer no request alone
        else:
            made = self._failed.run(session, message.seq, partial(complete, message))
            made = self._failed.each(session, message.seq, made)
        self.outbox.add_made(identity, made)
        self._charge(identity, before, now)

    def flush(self, now: Now) -> None:
        """Send all messages; what it costs to pack them is charged to the receiver."""
        before = self._stopwatch()
        for identity in self.outbox.flush_each():
            before = self._charge(identity, before, now)
            if self.outbox.is_paused(identity):
                self.turns.put_back(identity, _Rest.OF_ANSWER)
        self._failed.end()
        self.turns.end_turn()
        self._resumed.clear()

    def _begin(self, identity: bytes) -> None:
        connection = self.connections.get(identity)
        self._failed.begin(connection.session if connection is not None else None)

    def _charge(self, identity: bytes, before: float, now: Now) -> float:
        """Charge a client for the time since `before`; return the time now."""
        after = self._stopwatch()
        self._cost_of_answer = max(after - before, 0.9 * self._cost_of_answer)
        is_part = identity in self._resumed or self.outbox.is_paused(identity)
        self.turns.charge(identity, after - before, now.mono, is_part=is_part)
        return after

    # connections

    def probe_silent(self, now: Now) -> None:
        """Find out whether silent clients still exist."""
        for connection in self.connections.values():
            if now.mono - connection.received_at >= (
                self.probe_after if connection.has_asked else PROBE_STRANGER_AFTER
            ):
                connection.received_at = now.mono
                self.outbox.probe(connection.identity)

    def replace(self, identity: bytes) -> None:
        """Forget a connection whose session another one has opened: messages for it are void.

        If its client has it still, the other one is older and its `Hello` came late. The client greets again then.
        """
        self.forget(identity)
        text = "another connection has opened this session"
        refusal = Refused(0, ErrorKind.SAY_HELLO, text, "send Hello again")
        self.outbox.add_frame(identity, self._endpoint.packageFailure(refusal))

    def forget(self, identity: bytes) -> Connection | None:
        """Forget a connection that is gone; return it if it was known."""
        self.turns.forget(identity)
        self.outbox.forget(identity)
        return self.connections.pop(identity, None)
