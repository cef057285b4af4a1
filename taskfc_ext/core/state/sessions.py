"""Sessions of clients across connections, with the answers kept for repeats."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct, field

from taskfc_ext.protocol.client_messages import Accepted, Refused, Reply

Answer = Accepted | Reply | Refused

MAX_ANSWERS = 4096
"""Answers remembered for a session: more than a client may have open, so a repeat always finds its first answer."""


class ClientSession(Struct):
    """One client across its connections.

    Attributes:
        answers: seq -> the answer given, for repeats.
        done_below: the client has the answers to all requests below this one.
        worker: the worker that the client runs on, or -1.
        viewer: it only watches, so it keeps no farm running.
        defined: code that the client has defined on this connection, and may name.
        is_worth_keeping: it has asked for a change, so it may repeat that over a new connection.
    """

    session: str
    label: str = ""
    owner: str = ""
    connected: bool = False
    answers: OrderedDict[int, Answer] = field(default_factory=OrderedDict)
    done_below: int = 0
    last_seen: float = 0.0
    worker: int = -1
    viewer: bool = False
    defined: set[bytes] = set()
    is_worth_keeping: bool = False

    def remember(self, answer: Answer) -> None:
        """Keep the first answer to a request."""
        self.is_worth_keeping = True
        self.answers[answer.seq] = answer
        while len(self.answers) > MAX_ANSWERS:
            self.answers.popitem(last=False)

    def forget_below(self, seq: int) -> None:
        """Drop the answers that the client has acknowledged."""
        self.done_below = max(self.done_below, seq)
        while self.answers and next(iter(self.answers)) < seq:
            self.answers.popitem(last=False)
