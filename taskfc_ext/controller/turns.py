"""Received messages that wait to be handled, and the order in which connections take turns. Pure: no clock, no socket.

A connection is served until it has used its *quantum* of the loop's time, then the next one is: deficit round robin,
with the cost of each message charged when it is known. So a client that floods the controller waits for itself only.

A connection may use some time for long requests as it likes: a person who asks for a list gets it soon. After that,
while others ask as well, it rests for some times as long after each, so that most requests of the others meet none. A
client that is alone never rests.

A long request is handled in parts where that is possible. The others hardly notice a part, so the rests after it are
shorter: the whole takes twice as long as alone, not twenty times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from typing import Generic, TypeVar

from taskfc_ext.protocol.limits import MAX_UNHANDLED, MAX_UNHANDLED_BYTES

QUANTUM = 0.001
"""Seconds of the loop that a connection may use while others wait: some dozens of small requests."""

LONG = 0.002
"""Seconds from which a request is long: more than a round trip of a tiny task takes."""

REST = 20
"""A connection rests this many times as long as its long request took: few of the round trips of others meet it."""

REST_OF_PART = 1
"""The same after each part of a request that is handled in parts."""

BURST = 0.1
"""Seconds that a connection may use for long requests without a rest."""

BURST_AGAIN = 20.0
"""Seconds until it may do so again."""

ACTIVE = 1.0
"""Seconds after its last frame in which a client counts as one that others should not hold up."""

PER_BYTE = 2e-9
"""Seconds that a byte costs when it is committed, which is done for all messages of a turn together."""

FREED_A_TURN = 500
"""Dropped messages that one turn frees, or an eighth of them: all that a connection may have sent ahead take 6 ms."""

LEAST = 1e-6
"""Seconds that a message costs at least: turns are fair also by a clock that stands still."""

M = TypeVar("M")


class Inbox(Generic[M]):
    """The messages of one connection that are not handled yet.

    Attributes:
        credit: seconds that it may use before the next connection is served; negative: it has used more.
        rests_until: the time until which others are served before it.
        burst: seconds that it may use for long requests without a rest, at the time `burst_at`.
    """

    __slots__ = ("burst", "burst_at", "credit", "messages", "n_bytes", "rests_until")

    def __init__(self) -> None:
        self.messages: deque[tuple[M, int, int]] = deque()  # each with the bytes of its frame, and those it frees
        self.n_bytes = 0
        self.credit = QUANTUM
        self.rests_until = 0.0
        self.burst = BURST
        self.burst_at = 0.0


class Turns(Generic[M]):
    """The inboxes of all connections. Times are monotonic seconds.

    Args:
        held: connections that are not served now, since they have not taken their former answers.
    """

    def __init__(self, held: Container[bytes] = ()) -> None:
        self._held = held
        self._inboxes: dict[bytes, Inbox[M]] = {}
        # The connections with messages, in the order of their turns; those in `new` have used little, and go first.
        self._new: deque[bytes] = deque()
        self._ring: deque[bytes] = deque()
        self._deferred: set[bytes] = set()
        self._dropped: list[tuple[M, int, int]] = []
        self._last = (b"", 0.0)  # the connection with the newest frame, and its time
        self._last_other = 0.0  # the time of the newest frame of any other

    @property
    def is_empty(self) -> bool:
        """Whether no message waits."""
        return not (self._new or self._ring)

    def is_shared(self, now: float) -> bool:
        """Return whether several connections are active."""
        return self._last_other + ACTIVE > now

    def add(self, connection: bytes, messages: Sequence[M], n_bytes: int, now: float) -> bool:
        """Add the messages, at least one, of a frame of `n_bytes`.

        Return `False`, and add none, if too many wait already.
        """
        inbox = self._inboxes.get(connection)
        if inbox is None:
            inbox = self._inboxes[connection] = Inbox()
        elif len(inbox.messages) + len(messages) > MAX_UNHANDLED or inbox.n_bytes > MAX_UNHANDLED_BYTES:
            return False
        if connection != self._last[0]:
            self._last_other = self._last[1]
        self._last = connection, now
        if not inbox.messages:
            (self._new if inbox.credit > 0 else self._ring).append(connection)
        inbox.messages.extend([(message, n_bytes, 0) for message in messages[:-1]])
        inbox.messages.append((messages[-1], n_bytes, n_bytes))
        inbox.n_bytes += n_bytes
        inbox.credit -= n_bytes * PER_BYTE
        return True

    def put_back(self, connection: bytes, message: M) -> None:
        """Put what is left of a message that was taken before the others of its connection."""
        inbox = self._inboxes.get(connection)
        if inbox is None:
            return
        if not inbox.messages:
            (self._new if inbox.credit > 0 else self._ring).append(connection)
        inbox.messages.appendleft((message, 0, 0))

    def take(self, now: float) -> tuple[bytes, M, int] | None:
        """Take the next message: its connection, itself, and the bytes of its frame. `None`: none may go.

        The caller charges its cost afterwards.
        """
        for _ in range(len(self._new)):
            connection = self._new.popleft()
            inbox = self._inboxes[connection]
            if inbox.credit > 0 and self._may_go(connection, inbox, now):
                return self._take_from(connection, inbox, self._new)
            self._ring.append(connection)
        in_debt: list[Inbox[M]] = []
        for _ in range(2):
            for _ in range(len(self._ring)):
                connection = self._ring.popleft()
                inbox = self._inboxes[connection]
                if self._may_go(connection, inbox, now):
                    if inbox.credit > 0:
                        return self._take_from(connection, inbox, self._ring)
                    in_debt.append(inbox)
                self._ring.append(connection)
            if not in_debt:
                return None
            _give_credit(in_debt)  # now one of them has some
        return None

    def charge(
        self, connection: bytes, cost: float, now: float, *, can_rest: bool = True, is_part: bool = False
    ) -> None:
        """Note that a message has cost so many seconds.

        A connection that may rest does so after a long one, and after each part of one that is handled in parts, when
        it has used its burst.
        """
        inbox = self._inboxes.get(connection)
        if inbox is None:
            return
        inbox.credit -= max(cost, LEAST)
        if can_rest and (cost >= LONG or is_part):
            inbox.burst = min(BURST, inbox.burst + (now - inbox.burst_at) * BURST / BURST_AGAIN)
            inbox.burst_at = now
            if cost <= inbox.burst:
                inbox.burst -= cost
            else:
                inbox.rests_until = now + (REST_OF_PART if is_part else REST) * cost

    def defer(self, connection: bytes) -> None:
        """Take no more messages from this connection until `end_turn`: the cost of the last one is not known yet."""
        self._deferred.add(connection)

    def end_turn(self) -> None:
        """Note that all costs of this turn of the loop are charged; free some of the messages that were dropped."""
        self._deferred.clear()
        n = len(self._dropped)
        del self._dropped[max(0, n - max(FREED_A_TURN, n // 8)) :]

    def clear(self, connection: bytes) -> None:
        """Drop all messages of a connection."""
        inbox = self._inboxes.get(connection)
        if inbox is not None and inbox.messages:
            self._dropped += inbox.messages
            inbox.messages.clear()
            inbox.n_bytes = 0
            (self._new if connection in self._new else self._ring).remove(connection)

    def forget(self, connection: bytes) -> None:
        """Forget a connection that is gone."""
        self.clear(connection)
        self._inboxes.pop(connection, None)

    def next_at(self, now: float) -> float | None:
        """Return when the next turn has something to do if nothing else happens before; `None`: never."""
        if self._dropped:
            return now
        times = [
            now if self._may_go(connection, inbox, now) else min(inbox.rests_until, self._active_until(connection))
            for connection in (*self._new, *self._ring)
            if connection not in self._held
            for inbox in (self._inboxes[connection],)
        ]
        return min(times, default=None)

    def _take_from(self, connection: bytes, inbox: Inbox[M], line: deque[bytes]) -> tuple[bytes, M, int]:
        """Take the next message of a connection that was taken out of `line`; it keeps its place there."""
        message, n_bytes, freed = inbox.messages.popleft()
        inbox.n_bytes -= freed
        if inbox.messages:
            line.appendleft(connection)
        return connection, message, n_bytes

    def _may_go(self, connection: bytes, inbox: Inbox[M], now: float) -> bool:
        if connection in self._held or connection in self._deferred:
            return False
        return inbox.rests_until <= now or self._active_until(connection) <= now

    def _active_until(self, connection: bytes) -> float:
        """Return the time until which other connections than this one count as active."""
        newest = self._last_other if connection == self._last[0] else self._last[1]
        return newest + ACTIVE


def _give_credit(inboxes: Sequence[Inbox[M]]) -> None:
    """Give all the same credit: as many quanta as it takes until one of them has some."""
    rounds = 1 + int(-max(inbox.credit for inbox in inboxes) / QUANTUM)
    for inbox in inboxes:
        inbox.credit = min(inbox.credit + rounds * QUANTUM, QUANTUM)
