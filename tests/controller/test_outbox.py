"""Tests of the outbox: one frame a turn for each peer, and the handling of slow and lost peers."""

from __future__ import annotations

import msgspec
import pytest

from taskfc_ext.controller import outbox as module
from taskfc_ext.controller.outbox import FRAME_BYTES, Outbox
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Confirm, Ended, Reply, Resync
from taskfc_ext.protocol.limits import CONFIRM_EVERY, MAX_MESSAGES, MAX_UNTAKEN
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


# peers that confirm


@pytest.fixture
def confirmed(router) -> Outbox:
    return Outbox(router, confirms=True)


def asked(router: Router) -> list[int]:
    return [message.number for _, messages in router.frames for message in messages if isinstance(message, Confirm)]


def sent(router: Router) -> list[int]:
    """Return the ids of the tasks in the order in which their ends were sent."""
    return [message.ids[0] for _, messages in router.frames for message in messages if isinstance(message, Ended)]


def ends(n: int, n_bytes: int = CONFIRM_EVERY):
    for number in range(n):
        made.append(number)
        yield msgspec.structs.replace(big(n_bytes), ids=(number,))


made: list[int] = []


def test_a_peer_is_asked_to_confirm_after_so_many_bytes(router, confirmed):
    for _ in range(4):
        confirmed.add(b"a", big(CONFIRM_EVERY // 2))
        confirmed.flush()
    assert asked(router) == [1, 2]
    assert confirmed.full == set()


def test_answers_are_made_as_they_are_taken_and_none_is_lost(router, confirmed):
    made.clear()
    n_window = MAX_UNTAKEN // CONFIRM_EVERY
    confirmed.add_made(b"a", ends(3 * n_window))
    confirmed.add(b"a", Reply(7))
    confirmed.flush()
    assert confirmed.full == {b"a"}
    assert len(made) <= n_window + 2, "the others are not in memory"
    n_asked = 0
    while confirmed.full:
        n_asked += 1
        confirmed.confirm(b"a", asked(router)[-1])
        confirmed.flush()
    assert sent(router) == list(range(3 * n_window))
    assert router.frames[-1][1][-1] in (Reply(7), Confirm(asked(router)[-1]))
    assert Reply(7) in [message for _, messages in router.frames for message in messages]
    assert n_asked <= 3


def test_others_do_not_notice_a_full_peer(router, confirmed):
    confirmed.add_made(b"slow", ends(100))
    confirmed.flush()
    before = len(router.frames)
    confirmed.add(b"quick", Reply(1))
    confirmed.add(b"slow", Reply(2))
    confirmed.add_frame(b"slow", codec.encode([Reply(3)]))
    confirmed.flush()
    assert router.frames[before:] == [(b"quick", [Reply(1)])]


def test_a_full_peer_for_which_too_much_waits_begins_again_with_a_resync(router, confirmed):
    confirmed.add_made(b"slow", ends(100))
    confirmed.flush()
    before = len(router.frames)
    for _ in range(2 * MAX_UNTAKEN // CONFIRM_EVERY):
        confirmed.add(b"slow", big(CONFIRM_EVERY))
        confirmed.flush()
    assert confirmed.lagging == {b"slow"}
    confirmed.resync_lagging()
    assert len(router.frames) == before, "it would not read that either"
    confirmed.confirm(b"slow", asked(router)[-1])
    confirmed.add(b"slow", Reply(1))
    confirmed.flush()
    assert [message for _, messages in router.frames[before:] for message in messages] == [Resync(), Reply(1)]
    assert (confirmed.lagging, confirmed.full) == (set(), set())


def paused(outbox: Outbox) -> set[bytes]:
    return {peer for peer in (b"a", b"slow", b"quick") if outbox.is_paused(peer)}


def in_parts(n: int):
    yield from [None] * n
    yield Reply(n)


def sent_to(router: Router, identity: bytes) -> list[object]:
    return [message for peer, messages in router.frames if peer == identity for message in messages]


def test_others_do_not_wait_for_a_message_that_is_made_in_parts(router, confirmed):
    confirmed.add_made(b"slow", in_parts(2))
    confirmed.flush()
    assert paused(confirmed) == {b"slow"}
    confirmed.add(b"slow", Reply(5))
    confirmed.add(b"quick", Reply(6))
    confirmed.flush()
    assert sent_to(router, b"slow") == [Reply(5)], "nor do others for the same peer"
    assert sent_to(router, b"quick") == [Reply(6)]
    confirmed.resume(b"slow")
    confirmed.flush()
    assert paused(confirmed) == {b"slow"}, "there was a second part"
    confirmed.resume(b"slow")
    confirmed.flush()
    assert sent_to(router, b"slow") == [Reply(5), Reply(2)]
    assert paused(confirmed) == set()


def test_several_messages_in_parts_go_on_in_their_order(router, confirmed):
    for n in (2, 1):
        confirmed.add_made(b"a", in_parts(n))
    confirmed.flush()
    for _ in range(2):
        confirmed.resume(b"a")
        confirmed.flush()
    assert sent_to(router, b"a") == [Reply(1), Reply(2)]


def test_a_lagging_peer_has_to_ask_again_for_what_was_not_ready(router, confirmed):
    confirmed.add_made(b"slow", in_parts(1))
    confirmed.flush()
    router.full.add(b"slow")
    confirmed.add(b"slow", Reply(3))
    confirmed.flush()
    assert confirmed.lagging == {b"slow"}
    router.full.clear()
    confirmed.resync_lagging()
    confirmed.resume(b"slow")
    confirmed.flush()
    assert sent_to(router, b"slow") == [Resync()]


def test_a_peer_that_is_full_and_paused_goes_on_when_both_have_ended(router, confirmed):
    def confirm() -> None:
        confirmed.confirm(b"a", asked(router)[-1])

    def resume() -> None:
        confirmed.resume(b"a")

    for steps in ((confirm, resume), (resume, confirm)):
        confirmed.add_made(b"a", ends(MAX_UNTAKEN // CONFIRM_EVERY))
        confirmed.add_made(b"a", in_parts(1))
        confirmed.flush()
        assert (confirmed.full, paused(confirmed)) == ({b"a"}, {b"a"})
        for step in steps:
            assert Reply(1) not in sent_to(router, b"a")
            step()
            confirmed.flush()
        assert Reply(1) in sent_to(router, b"a")
        confirm()
        router.frames.clear()


def test_a_forgotten_peer_leaves_nothing(router, confirmed):
    confirmed.add_made(b"a", ends(100))
    confirmed.flush()
    confirmed.forget(b"a")
    confirmed.confirm(b"a", 1)
    before = len(router.frames)
    confirmed.flush()
    assert (confirmed.full, len(router.frames)) == (set(), before)
