"""`Mailbox`: no frame is lost when an answer is, none is doubled, and its memory is bounded."""

from __future__ import annotations

import threading

from taskfc_ext.engines.mailbox import AT_ONCE, LIMIT, Mailbox
from tests.processes import DEADLINE, until


def test_a_batch_is_returned_again_until_it_has_arrived():
    n_woken = []
    box = Mailbox(lambda: n_woken.append(1))
    assert box.take(0) == (0, [])
    box.post("t.a", b"1")
    box.post("t.b", b"2")
    assert box.take(0) == (1, [("t.a", b"1"), ("t.b", b"2")])
    box.post("t.a", b"3")
    assert box.take(0) == (1, [("t.a", b"1"), ("t.b", b"2")]), "the answer was lost"
    assert box.take(1) == (2, [("t.a", b"3")])
    assert box.take(2) == (2, [])
    assert len(n_woken) == 3


def test_a_large_frame_travels_alone():
    box = Mailbox(lambda: None)
    large = bytes(AT_ONCE + 1)
    for frame in (b"1", large, b"2"):
        box.post("t.a", frame)
    assert [len(frame) for _, frame in box.take(0)[1]] == [1]
    assert [len(frame) for _, frame in box.take(1)[1]] == [AT_ONCE + 1]
    assert box.take(2)[1] == [("t.a", b"2")]


def test_a_slot_waits_while_much_is_waiting():
    box = Mailbox(lambda: None)
    box.post("t.a", bytes(LIMIT + 1))
    done = threading.Event()
    thread = threading.Thread(target=lambda: (box.post("t.b", b"1"), done.set()))
    thread.start()
    assert not done.wait(0.05)
    box.take(0)
    assert done.wait(DEADLINE)
    thread.join()
    until(lambda: box.take(1)[1] == [("t.b", b"1")], "it has come")
