"""Tests of the outbox: one frame a turn for each peer, and the handling of slow and lost peers."""

from __future__ import annotations

import pytest

from taskfc_ext.controller import outbox as module
from taskfc_ext.controller.outbox import FRAME_BYTES, Outbox
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Ended, Reply, Resync
from taskfc_ext.protocol.limits import MAX_MESSAGES
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.worker_messages import Code, Committed, Run


class Router:
    """Fake router. Peers in `full` accept no frame, peers in `gone` are lost; `room`: frames that each one accepts."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, list]] = []
        self.full: set[bytes] = set()
        self.gone: set[bytes] = set()
        self.room = 10**6

    def send(self, identity: bytes, frame: bytes) -> bool:
        if identity in self.gone:
            raise ConnectionError
        if identity in self.full or sum(to == identity for to, _ in self.frames) >= self.room:
            return False
        decoder = codec.to_worker if identity == b"worker" else codec.from_controller
        self.frames.append((identity, decoder.decode(frame)))
        return True


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def outbox(router) -> Outbox:
    return Outbox(router)


def big(n_bytes: int) -> Ended:
    return Ended(
        ids=(0,), reasons=("",), values=(b"x" * n_bytes,), workers=(0,), attempts=(1,), submitted=(0.0,), completed=0.0,
        seconds=(0.0,),
    )  # fmt: skip


def test_the_messages_of_a_turn_for_a_peer_share_a_frame_in_order(router, outbox):
    for seq in range(3):
        outbox.add(b"a", Reply(seq))
        outbox.add(b"b", Reply(10 + seq))
    outbox.flush()
    assert router.frames == [(b"a", [Reply(0), Reply(1), Reply(2)]), (b"b", [Reply(10), Reply(11), Reply(12)])]
    outbox.flush()
    assert len(router.frames) == 2, "it was sent, and is not sent again"


def test_frames_have_a_limit_of_messages(router, outbox):
    for seq in range(2 * MAX_MESSAGES + 1):
        outbox.add(b"a", Reply(seq))
    outbox.flush()
    assert [len(messages) for _, messages in router.frames] == [MAX_MESSAGES, MAX_MESSAGES, 1]
    assert [message.seq for _, messages in router.frames for message in messages] == list(range(2 * MAX_MESSAGES + 1))


@pytest.mark.parametrize(
    ("sizes", "frames"),
    [
        ((0.6, 0.6), [1, 1]),
        ((0.3, 0.3, 0.3, 0.3), [3, 1]),
        ((3.0,), [1]),
        ((0.1, 3.0, 0.1), [1, 1, 1]),
    ],
)
def test_frames_have_a_size_past_which_they_are_closed(router, outbox, sizes, frames):
    for size in sizes:
        outbox.add(b"a", big(int(size * FRAME_BYTES)))
    outbox.flush()
    assert [len(messages) for _, messages in router.frames] == frames


def test_code_and_bodies_count_towards_the_size(router, outbox):
    half = b"x" * int(0.6 * FRAME_BYTES)
    spec = Spec(kind=Kind.FUNCTION, code=b"c" * 16, label="f")
    outbox.add(b"worker", Code(b"c" * 16, half))
    outbox.add(b"worker", Run(spec=spec, first_lease=1, ids=(0,), bodies=(half,)))
    outbox.add(b"worker", Run(spec=spec, first_lease=2, ids=(1,), bodies=(b"",), inputs=(half,)))
    outbox.flush()
    assert [len(messages) for _, messages in router.frames] == [1, 1, 1]


def test_a_peer_that_is_full_lags_and_the_others_do_not_notice(router, outbox):
    router.full.add(b"slow")
    for peer in (b"slow", b"quick"):
        outbox.add(peer, Reply(1))
    outbox.flush()
    assert router.frames == [(b"quick", [Reply(1)])]
    assert outbox.lagging == {b"slow"}


def test_messages_for_a_lagging_peer_are_dropped_until_its_resync(router, outbox):
    router.full.add(b"slow")
    outbox.add(b"slow", Reply(1))
    outbox.flush()
    router.full.clear()
    outbox.add(b"slow", Reply(2))
    outbox.flush()
    assert router.frames == [], "after a gap nothing may come but the word that there was one"
    outbox.resync_lagging()
    outbox.add(b"slow", Reply(3))
    outbox.flush()
    assert router.frames == [(b"slow", [Resync()]), (b"slow", [Reply(3)])]
    assert outbox.lagging == set()


def test_a_peer_that_still_is_full_goes_on_lagging(router, outbox):
    router.full.add(b"slow")
    outbox.add(b"slow", Reply(1))
    outbox.flush()
    outbox.resync_lagging()
    assert outbox.lagging == {b"slow"}
    assert router.frames == []


def test_a_peer_that_fills_up_in_the_middle_gets_nothing_after_the_gap(router, outbox):
    router.room = 1
    for size in (0.6, 0.6, 0.1):
        outbox.add(b"a", big(int(size * FRAME_BYTES)))
    outbox.flush()
    assert len(router.frames) == 1
    assert outbox.lagging == {b"a"}


def test_a_lost_peer_is_gone_and_not_lagging(router, outbox):
    router.gone.add(b"a")
    outbox.add(b"a", Reply(1))
    outbox.add(b"b", Reply(2))
    outbox.flush()
    assert (outbox.gone, outbox.lagging) == ({b"a"}, set())
    assert router.frames == [(b"b", [Reply(2)])]


def test_a_lagging_peer_that_is_lost_is_gone(router, outbox):
    router.full.add(b"a")
    outbox.add(b"a", Reply(1))
    outbox.flush()
    router.gone.add(b"a")
    outbox.resync_lagging()
    assert (outbox.gone, outbox.lagging) == ({b"a"}, set())


def test_no_frame_of_ours_is_over_the_limit_of_the_decoder():
    assert module.FRAME_BYTES * 2 < codec.MAX_FRAME


def test_a_probe_is_an_empty_frame_and_finds_lost_peers(router, outbox):
    router.gone.add(b"gone")
    outbox.probe(b"gone")
    outbox.probe(b"here")
    assert router.frames == [(b"here", [])]
    assert outbox.gone == {b"gone"}


def test_a_deferred_message_goes_with_the_next_and_replaces_an_earlier_one(router, outbox):
    outbox.add_deferred(b"worker", Committed(1))
    outbox.add_deferred(b"worker", Committed(2))
    outbox.flush()
    assert router.frames == []
    code = Code(b"c" * 16, b"body")
    outbox.add(b"worker", code)
    outbox.flush()
    assert router.frames == [(b"worker", [code, Committed(2)])]
    outbox.add_deferred(b"worker", Committed(3))
    outbox.send_deferred()
    outbox.send_deferred()
    assert router.frames[1:] == [(b"worker", [Committed(3)])]


def test_every_frame_of_messages_is_made_by_the_package_it_was_given(router):
    made = []

    def package(*messages):
        made.append(list(messages))
        return codec.encode(messages)

    outbox = Outbox(router, package)
    outbox.add(b"a", Reply(1))
    outbox.add_frame(b"a", codec.encode([Reply(2)]))
    outbox.flush()
    outbox.probe(b"a")
    outbox.lagging.add(b"a")
    outbox.resync_lagging()
    assert made == [[Reply(1)], [], [Resync()]]
    assert router.frames == [(b"a", [Reply(1)]), (b"a", [Reply(2)]), (b"a", []), (b"a", [Resync()])]
