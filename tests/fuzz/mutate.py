"""Damage of frames: of their bytes, and of the trees that they stand for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(strict=False).decode

LONG_HEADS = (b"\xc6", b"\xdb", b"\xdd", b"\xdf", b"\xc5", b"\xda", b"\xdc", b"\xde", b"\xc9")
"""First bytes of values that give a length of four or two bytes: of bytes, texts, lists, maps and extensions."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64 - 1, -(2**63), 0.5, float("nan"), float("inf"), "", "x", "Submit",
    "x" * 2000, b"", b"x", b"y" * 16, b"z" * 2000, [], [1], [[]], [0] * 300, {}, {"type": "Submit"}, {"a": 1}, {1: 2},
    msgspec.msgpack.Ext(5, b"x"), msgspec.msgpack.Ext(-1, b"\0" * 12), "\x00", "9" * 400, {"type": None},
    ["ref", "a", 1], ["upload", "a", "1", 1], 1e308, -0.0,
)  # fmt: skip
"""Values that take the place of others."""


class Sample(NamedTuple):
    """A frame, and what it stands for.

    Attributes:
        frame: its bytes.
        tree: plain lists, maps and atoms; damaged in place and mended again.
        places: each value in it, as a container and its key there.
    """

    frame: bytes
    tree: Any
    places: tuple[tuple[Any, Any], ...]


def make_sample(frame: bytes) -> Sample:
    """Return a sample of a whole frame."""
    tree = _decode(frame)
    return Sample(frame, tree, tuple(places_in(tree)))


def places_in(tree: Any) -> list[tuple[Any, Any]]:
    """Return each value in a tree, as a container and its key there."""
    found: list[tuple[Any, Any]] = []
    keys = range(len(tree)) if isinstance(tree, list) else tree if isinstance(tree, dict) else ()
    for key in list(keys):
        found += [(tree, key), *places_in(tree[key])]
    return found


Damage = Callable[[random.Random, Sample, Sample], bytes]


def bits_flipped(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """One to four bits."""
    content = bytearray(sample.frame)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        content[int(draw.random() * len(content))] ^= 1 << int(draw.random() * 8)
    return bytes(content)


def bytes_changed(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """One byte, any value."""
    content = bytearray(sample.frame)
    content[int(draw.random() * len(content))] = int(draw.random() * 256)
    return bytes(content)


def cut(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """Only the begin."""
    return sample.frame[: int(draw.random() * len(sample.frame))]


def part_removed(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """All but some bytes in the middle."""
    at, n = int(draw.random() * len(sample.frame)), 1 + int(draw.random() * 12)
    return sample.frame[:at] + sample.frame[at + n :]


def part_doubled(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """A part again and again."""
    at, n = int(draw.random() * len(sample.frame)), 1 + int(draw.random() * 40)
    times = draw.choice((2, 2, 3, 20))
    return sample.frame[:at] + sample.frame[at : at + n] * times + sample.frame[at + n :]


def part_inserted(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """Bytes of chance in the middle, or behind the end."""
    at = int(draw.random() * (len(sample.frame) + 1))
    return sample.frame[:at] + draw.randbytes(1 + int(draw.random() * 8)) + sample.frame[at:]


def spliced(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """The begin of one frame and the end of another."""
    at, after = int(draw.random() * len(sample.frame)), int(draw.random() * len(other.frame))
    return sample.frame[:at] + other.frame[after:]


def lengthened(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """A value that claims to be much longer than it is."""
    at = int(draw.random() * len(sample.frame))
    head = draw.choice(LONG_HEADS) + draw.choice((b"\xff\xff\xff\xff", b"\x00\x01\x00\x00", draw.randbytes(4)))
    return sample.frame[:at] + head + sample.frame[at + 1 :]


def value_confused(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """Another value, mostly of another type, in a place of the tree."""
    return _with(sample, draw, draw.choice(ODD))


def value_grafted(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """A value of another message in a place of the tree."""
    if not other.places or other is sample:  # a value within itself has no end
        return spliced(draw, sample, other)
    place, key = other.places[int(draw.random() * len(other.places))]
    return _with(sample, draw, place[key])


def key_changed(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """A field that is left out, under another name, or one too many."""
    maps = [each for each in sample.tree if isinstance(each, dict) and each] if isinstance(sample.tree, list) else []
    if not maps:
        return sample.frame
    fields = draw.choice(maps)
    before = dict(fields)
    key = draw.choice(list(fields))
    if (choice := draw.random()) < 0.6:
        value = fields.pop(key)
        if choice < 0.3:
            fields[draw.choice(("x", "seq", "type", "taskids", "", "é" * 100))] = value
    else:
        fields[draw.choice(("more", "seq", "spec", "acked", "type", "watch"))] = draw.choice(ODD)
    frame = encode(sample.tree)
    fields.clear()
    fields.update(before)
    return frame


def nested(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """Lists in lists, or maps in maps, around a frame or in its middle."""
    depth = draw.choice((2, 30, 500, 5000))
    return draw.choice((b"\x91", b"\x81\xa1x", b"\x81\xa4type")) * depth + sample.frame


def noise(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """Bytes of chance."""
    return draw.randbytes(int(draw.random() ** 2 * 64))


def unchanged(draw: random.Random, sample: Sample, other: Sample) -> bytes:
    """A whole frame."""
    return sample.frame


DAMAGES: dict[Damage, int] = {
    bits_flipped: 18, bytes_changed: 10, cut: 5, part_removed: 8, part_doubled: 8, part_inserted: 8, spliced: 8,
    lengthened: 6, value_confused: 14, value_grafted: 6, key_changed: 3, nested: 1, noise: 4, unchanged: 1,
}  # fmt: skip
"""Each kind with its weight, in hundredths."""


def damaged(draw: random.Random, samples: Sequence[Sample], n: int) -> list[tuple[Damage, bytes]]:
    """Return `n` damaged frames, each with the kind of damage."""
    kinds = draw.choices(list(DAMAGES), list(DAMAGES.values()), k=n)
    chosen, others = draw.choices(samples, k=n), draw.choices(samples, k=n)
    return [
        (kind, kind(draw, sample, other)) for kind, sample, other in zip(kinds, chosen, others, strict=True)
    ]  # fmt: skip


def _with(sample: Sample, draw: random.Random, value: Any) -> bytes:
    """Return the frame with another value in one place of the tree."""
    if not sample.places:
        return encode(value)
    place, key = sample.places[int(draw.random() * len(sample.places))]
    before = place[key]
    place[key] = value
    try:
        return encode(sample.tree)
    finally:
        place[key] = before
