"""Tests of sockets: removed files, and frames that are too large."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.drivers.transport import JUNK_AT_ONCE, Dealer, Router
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ClientMessage, ControllerMessage, Define, QueueStatus, Reply
from taskfc_ext.protocol.codec import from_controller
from tests.processes import DEADLINE, until


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))  # short: a socket's path has 107 bytes
    yield folder
    shutil.rmtree(folder)


def receive(router: Router) -> tuple[bytes, list[ClientMessage]]:
    ((peer, frame),) = until(lambda: router.receive(1), "something arrives")
    return peer, codec.from_client.decode(frame)


def receive_answers(dealer: Dealer[ControllerMessage]) -> list[ControllerMessage]:
    answer: list[ControllerMessage] = until(dealer.receive, "an answer")
    return answer


def test_a_removed_socket_is_bound_again_and_its_peers_stay(folder: Path) -> None:
    router = Router(folder / "c")
    old: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
    old.send([QueueStatus(seq=1)])
    peer, _ = receive(router)
    assert not router.rebind_if_vanished()

    for again in range(2):
        router.path.unlink()
        assert router.rebind_if_vanished()
        assert router.send(peer, codec.encode([Reply(again)]))
        assert receive_answers(old) == [Reply(again)]
        old.send([QueueStatus(seq=2)])
        assert receive(router) == (peer, [QueueStatus(seq=2)])
        new: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
        new.send([QueueStatus(seq=3)])
        assert receive(router)[1] == [QueueStatus(seq=3)]
        new.close()

    old.close()
    router.close()
    assert not router.path.exists()


def test_frames_of_ignored_peers_are_empty(folder: Path) -> None:
    router = Router(folder / "c")
    ignored: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
    ignored.send([QueueStatus(seq=1)])
    peer, _ = receive(router)
    other: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
    for seq in (2, 3):
        ignored.send([QueueStatus(seq=seq)])
        other.send([QueueStatus(seq=seq)])
    received: list[tuple[bytes, bytes]] = []
    until(lambda: len(received.__iadd__(router.receive(4, is_ignored=peer.__eq__))) == 4, "all have arrived")
    assert [frame for identity, frame in received if identity == peer] == [b"", b""]
    frames = [frame for identity, frame in received if identity != peer]
    assert [codec.from_client.decode(frame) for frame in frames] == [[QueueStatus(seq=2)], [QueueStatus(seq=3)]]

    def send_many(n: int) -> None:
        for seq in range(n):
            ignored.send([QueueStatus(seq=1 + seq)])
            other.send([QueueStatus(seq=1 + seq)])

    send_many(3 * JUNK_AT_ONCE)
    time.sleep(0.2)
    received = router.receive(100, is_ignored=peer.__eq__)
    assert [identity for identity, _ in received].count(peer) == JUNK_AT_ONCE
    assert len(received) >= 2 * JUNK_AT_ONCE - 1
    for dealer in (ignored, other):
        dealer.close()
    router.close()


def test_a_peer_that_announces_too_large_a_frame_loses_its_connection(folder: Path) -> None:
    router = Router(folder / "c", largest=2**20)
    dealer: Dealer[ControllerMessage] = Dealer(router.path, from_controller)
    dealer.send([QueueStatus(seq=1)])
    first, _ = receive(router)
    dealer.send([Define(bytes(16), bytes(2**20))])
    deadline = time.monotonic() + DEADLINE
    received: list[tuple[bytes, bytes]] = []
    while not received:  # ZMQ connects again, after a while
        assert time.monotonic() < deadline
        dealer.send([QueueStatus(seq=2)])
        time.sleep(0.01)
        received = [(peer, frame) for peer, frame in router.receive(1) if peer != first]
    assert codec.from_client.decode(received[0][1]) == [QueueStatus(seq=2)]
    with pytest.raises(ConnectionError):
        router.send(first, codec.encode([Reply(1)]))
    dealer.close()
    router.close()
