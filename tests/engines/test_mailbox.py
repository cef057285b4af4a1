"""`Mailbox`: no frame is lost when an answer is, none is doubled, and its memory is bounded."""

from __future__ import annotations

from taskfc_ext.engines.mailbox import AT_ONCE, LIMIT, Mailbox


def test_a_batch_is_returned_again_until_it_has_arrived():
    n_woken = []
    box = Mailbox(lambda: n_woken.append(1))
    start, letters = box.take(0)
    assert not letters
    box.post("t.a", b"1")
    box.post("t.b", b"2")
    assert box.take(start) == (start + 1, [("t.a", b"1"), ("t.b", b"2")])
    box.post("t.a", b"3")
    assert box.take(start) == (start + 1, [("t.a", b"1"), ("t.b", b"2")]), "the answer was lost"
    assert box.take(start + 1) == (start + 2, [("t.a", b"3")])
    assert box.take(start + 2) == (start + 2, [])
    assert len(n_woken) == 3


def test_a_large_frame_travels_alone():
    box = Mailbox(lambda: None)
    large = bytes(AT_ONCE + 1)
    for frame in (b"1", large, b"2"):
        box.post("t.a", frame)
    got, letters = box.take(0)
    assert letters == [("t.a", b"1")]
    got, letters = box.take(got)
    assert [len(frame) for _, frame in letters] == [AT_ONCE + 1]
    assert box.take(got)[1] == [("t.a", b"2")]


def test_it_takes_no_more_while_much_is_waiting():
    box = Mailbox(lambda: None)
    assert box.post("t.a", bytes(LIMIT + 1))
    assert not box.post("t.b", b"1")
    got, _ = box.take(0)
    assert box.post("t.b", b"1")
    assert box.take(got)[1] == [("t.b", b"1")]


def test_no_batch_has_the_number_of_one_of_an_earlier_mailbox():
    assert len({Mailbox(lambda: None).take(0)[0] for _ in range(5)}) == 5


def test_a_closed_one_keeps_nothing_and_holds_up_nobody():
    box = Mailbox(lambda: None)
    box.post("t.a", bytes(LIMIT + 1))
    box.take(0)
    box.close()
    assert box.post("t.a", bytes(LIMIT + 1))
    assert box.post("t.a", b"1")
    assert box.take(0)[1] == []
