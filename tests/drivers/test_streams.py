"""`FrameStream`: frames arrive whole and in order, whatever their sizes; nothing blocks."""

from __future__ import annotations

import socket

import pytest

from taskfc_ext.drivers.streams import LIMIT, FrameStream


@pytest.fixture
def ends():
    pair = [FrameStream(end) for end in socket.socketpair()]
    yield pair
    for end in pair:
        end.close()


def pumped(sender: FrameStream, receiver: FrameStream, n: int) -> list[bytes]:
    """Return the next `n` frames."""
    frames: list[bytes] = []
    while len(frames) < n:
        sender.flush()
        frames += receiver.receive()
    return frames


def test_frames_arrive_whole_and_in_order(ends):
    ours, theirs = ends
    frames = [b"", b"a", bytes(300_000), b"b" * 2_000_000, b"", b"end"]
    for frame in frames:
        ours.send(frame)
    assert ours.is_behind, "two megabytes do not fit into the socket"
    assert pumped(ours, theirs, len(frames)) == frames
    assert not ours.is_behind


def test_a_sender_is_full_before_it_takes_all_memory(ends):
    ours, theirs = ends
    ours.send(bytes(LIMIT))
    assert not ours.is_full
    ours.send(bytes(10_000_000))
    assert ours.is_full
    assert [len(frame) for frame in pumped(ours, theirs, 2)] == [LIMIT, 10_000_000]
    assert not ours.is_full


def test_the_last_frames_of_an_end_that_is_closed_arrive(ends):
    ours, theirs = ends
    ours.send(b"last words")
    ours.close()
    assert (theirs.receive(), theirs.has_ended) == ([b"last words"], True)
    theirs.send(b"nobody is there")
    assert not theirs.is_behind


def test_a_frame_that_is_too_large_ends_the_stream_on_both_sides():
    one, other = socket.socketpair()
    ours, theirs = FrameStream(one), FrameStream(other, largest=1000)
    ours.send(b"a")
    ours.send(bytes(1001))
    assert (theirs.receive(), theirs.has_ended, theirs.receive()) == ([b"a"], True, [])
    ours.send(b"b")
    assert (ours.is_behind, ours.receive(), ours.has_ended) == (False, [], True)
    for end in (ours, theirs):
        end.close()
