"""A peer that speaks the wire without any of the client's manners."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import zmq

from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message

PYTHON = ".".join(platform.python_version_tuple()[:2])


def hello(session: str) -> said.Hello:
    """Return the greeting of a client that is called so."""
    return said.Hello(PROTOCOL, "0", PYTHON, session, label="hostile")


class Peer:
    """One connection to a controller's socket.

    Args:
        path: the socket.
        keep: frames that ZMQ holds for this peer in each direction; small ones make it a slow reader.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = self.socket.rcvhwm = keep
        self.socket.connect(f"ipc://{path}")
        self.session = os.urandom(8).hex()
        self.seq = 0

    def greet(self) -> said.Welcome:
        """Say hello, and return the answer."""
        self.send(hello(self.session))
        return next(message for message in self.receive(30.0) if isinstance(message, said.Welcome))

    def ask(self, kind: type[said.Request], **fields: Any) -> said.Request:
        """Return a request with the next number."""
        self.seq += 1
        return kind(seq=self.seq, **fields)

    def send(self, *messages: Message) -> None:
        """Send messages as our clients do; block while the controller takes none."""
        for frame in codec.pack(messages):
            self.socket.send(frame)

    def send_soon(self, messages: Sequence[Message], seconds: float = 10.0) -> bool:
        """The same; return `False` if the controller takes no frame for so long."""
        return all(self.send_raw(frame, seconds) for frame in codec.pack(messages))

    def send_raw(self, frame: bytes, seconds: float = 10.0) -> bool:
        """Send a frame as it is; return `False` if the controller takes none for so long."""
        if not self.socket.poll(int(seconds * 1000), zmq.POLLOUT):
            return False
        self.socket.send(frame, zmq.NOBLOCK)
        return True

    def receive(self, seconds: float) -> list[Any]:
        """Return the messages of the next frame; none if none comes in time."""
        if not self.socket.poll(int(seconds * 1000)):
            return []
        return codec.from_controller.decode(self.socket.recv())

    def answers_to(self, seqs: Iterable[int], seconds: float) -> dict[int, Any]:
        """Return the answers to these requests, as far as they come in time; answer the controller's questions."""
        missing, found, end = set(seqs), dict[int, Any](), time.monotonic() + seconds
        while missing and (left := end - time.monotonic()) > 0:
            for message in self.receive(left):
                seq = getattr(message, "seq", None)
                if seq in missing:
                    missing.discard(seq)
                    found[seq] = message
        return found

    def close(self) -> None:
        """Close at once."""
        self.socket.close(0)
