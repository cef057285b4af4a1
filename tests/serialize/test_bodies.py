"""Bodies with large buffers behind their pickle."""

from __future__ import annotations

import pickle

import pytest

from taskfc_ext.serialize.bodies import (
    MIN_BUFFER,
    Body,
    Buffers,
    Pieces,
    has_buffers,
    join,
    size_without_buffers,
    split_body,
)

BUFFERS = {
    "none": [],
    "a small one": [bytearray(b"x" * (MIN_BUFFER - 1))],
    "a large one": [bytearray(b"y" * MIN_BUFFER)],
    "several": [bytearray(bytes([i]) * (MIN_BUFFER + i)) for i in range(4)],
    "read-only": [b"z" * MIN_BUFFER],
}


def body_of(values: list[bytes | bytearray]) -> Body:
    buffers = Buffers()
    wrapped = [pickle.PickleBuffer(value) for value in values]
    return buffers.body(pickle.dumps(wrapped, 5, buffer_callback=buffers.take))


@pytest.mark.parametrize("values", BUFFERS.values(), ids=BUFFERS)
def test_buffers_are_restored(values: list[bytes | bytearray]) -> None:
    body = body_of(values)
    joined = join(body)
    large = [value for value in values if len(value) >= MIN_BUFFER]
    assert has_buffers(joined) == bool(large)
    assert size_without_buffers(body) < MIN_BUFFER + 2000
    for source in (joined, bytearray(joined)):
        pickled, buffers = split_body(source)
        assert [bytes(value) for value in pickle.loads(pickled, buffers=buffers)] == [bytes(value) for value in values]
        assert len(buffers) == len(large)


def test_a_large_body_stays_in_pieces_that_are_views_of_the_buffers() -> None:
    buffers, values = Buffers(), [bytearray(b"a" * MIN_BUFFER), bytearray(b"b" * (MIN_BUFFER + 1))]
    body = buffers.body(pickle.dumps(list(map(pickle.PickleBuffer, values)), 5, buffer_callback=buffers.take))
    assert isinstance(body, Pieces)
    assert [part.obj for part in body.parts if isinstance(part, memoryview)] == values
    assert len(body) == len(join(body))


def test_what_was_sent_without_a_file_can_be_written_to() -> None:
    body = join(body_of([bytearray(b"a" * MIN_BUFFER)]))
    _, (view,) = split_body(body)
    view[0] = ord("b")
    assert split_body(body)[1][0][0] == ord("a")


def test_buffers_are_aligned_for_vector_instructions() -> None:
    body = join(body_of([bytearray(b"q" * (MIN_BUFFER + 3)), bytearray(b"r" * MIN_BUFFER)]))
    assert body.index(b"q" * MIN_BUFFER) % 64 == body.index(b"r" * MIN_BUFFER) % 64 == 0


def test_buffers_of_a_pickle_that_failed_are_forgotten() -> None:
    buffers = Buffers()
    buffers.take(pickle.PickleBuffer(bytearray(MIN_BUFFER)))
    buffers.clear()
    assert buffers.body(b"\x80\x05N.") == b"\x80\x05N."
