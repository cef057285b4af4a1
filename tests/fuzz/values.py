"""Odd messages: all that a type permits, with a liking for limits, for numbers that are in use, and for NaN."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, get_args

import msgspec
from msgspec import inspect

from tests.core.conversation import ALICE, BOB, CODE

Make = Callable[[random.Random], Any]

WORDS = ("", "f", "queued", "x" * 200, "é\u202e\x1b[31m", "a.b", "_", "taskfc", "\x00", "3.11", "\ud7ff", "name=1")

BYTES = (b"", b"x", b"\x00" * 9, b"\xc1", b"\x80\x04N.", b"x" * 300, b"\x93\x01\x02\x03")

DIGESTS = (CODE, CODE, CODE, b"d" * 16, bytes(16), b"\xff" * 16)

OF_PATTERN: dict[str, tuple[str, ...]] = {
    r"\A[0-9a-f]{16}\Z": (ALICE, BOB, "c" * 16, "0" * 16),
    r"\A[0-9a-f]{1,64}\Z": ("1", "ab", "f" * 64),
    r"\A[0-9a-z]{1,64}\Z": ("a", "z" * 64),
    r"\A[0-9a-f]{1,16}\Z": ("1", "f" * 16),
    r"\A[0-9a-z]{0,64}\Z": ("", "z" * 64),
    r"\A[0-9a-z]{1,32}\.[0-9a-f]{1,32}\Z": ("a.1", "z.ff"),
    r"\A[A-Za-z_][\w.-]{0,99}\Z": ("name", "cores", "licence", "_" * 100),
}
"""Texts for each pattern of the protocol; a new pattern needs some here."""

SMALL = 24
"""Ids, leases and numbers below this are in use, in a conversation of the harness."""

_EDGES = (0, 1, -1, 2**31, 2**53, -(2**53), 2**63 - 1, -(2**63), 10**6, 4096)
_FLOATS = (0.0, 0.01, 1.0, 30.0, 1e9, 1e18, -1.0, float("nan"), float("inf"), 5e-324)


def types_in(union: object) -> tuple[type, ...]:
    """Return the message types of a union, which may be one alone."""
    return get_args(union) or (union,)  # type: ignore[return-value]


class Maker:
    """Makes messages by their types; the functions that make each are built once."""

    def __init__(self) -> None:
        self._of_struct: dict[type, Make] = {}

    def make(self, kind: type, draw: random.Random) -> Any:
        """Return a message of this type. Its values have the right types; a decoder may refuse them all the same."""
        if kind not in self._of_struct:
            self._struct(inspect.type_info(kind))  # type: ignore[arg-type]
        return self._of_struct[kind](draw)

    def _struct(self, info: inspect.StructType) -> Make:
        if info.cls not in self._of_struct:
            self._of_struct[info.cls] = lambda draw: self._of_struct[info.cls](draw)  # for a type within itself
            fields = [(field.name, self._value(field.type), field.required) for field in info.fields]

            def make(draw: random.Random) -> Any:
                sparse = 0.2 if draw.random() < 0.7 else 0.8
                values = {name: made(draw) for name, made, needed in fields if needed or draw.random() < sparse}
                try:
                    return info.cls(**values)
                except ValueError:  # a type that checks itself
                    return make(draw)

            self._of_struct[info.cls] = make
        return lambda draw: self._of_struct[info.cls](draw)

    def _value(self, info: inspect.Type) -> Make:
        match info:
            case inspect.StructType():
                return self._struct(info)
            case inspect.UnionType():
                choices = [self._value(each) for each in info.types]
                return lambda draw: draw.choice(choices)(draw)
            case inspect.EnumType():
                members = list(info.cls)
                return lambda draw: draw.choice(members)
            case inspect.LiteralType():
                return lambda draw: draw.choice(info.values)
            case inspect.BoolType():
                return lambda draw: draw.random() < 0.5
            case inspect.NoneType():
                return lambda draw: None
            case inspect.IntType():
                return _int(info)
            case inspect.FloatType():
                return _float
            case inspect.StrType():
                texts = OF_PATTERN[info.pattern] if info.pattern else WORDS
                return lambda draw: draw.choice(texts)
            case inspect.BytesType():
                some = DIGESTS if info.min_length == 16 else BYTES
                return lambda draw: draw.choice(some)
            case inspect.VarTupleType() | inspect.ListType():
                item = self._value(info.item_type)
                return lambda draw: tuple(item(draw) for _ in range(_length(draw, info.min_length or 0)))
            case inspect.TupleType():
                items = [self._value(each) for each in info.item_types]
                return lambda draw: tuple(each(draw) for each in items)
            case inspect.DictType():
                key, value = self._value(info.key_type), self._value(info.value_type)
                return lambda draw: {key(draw): value(draw) for _ in range(_length(draw, 0))}
            case inspect.AnyType():
                return lambda draw: draw.choice((None, 1, "text", [1, (2, 3)], {"a": [None]}, b"x"))
        raise TypeError(f"no values are known for {info}")


def _length(draw: random.Random, least: int) -> int:
    return max(least, draw.choices((0, 1, 2, 3, 7, 40), (20, 40, 20, 10, 8, 2))[0])


def _int(info: inspect.IntType) -> Make:
    lowest = -(2**63) if info.ge is None else int(info.ge)
    highest = 2**63 - 1 if info.le is None else int(info.le)
    edges = [edge for edge in (*_EDGES, lowest, highest) if lowest <= edge <= highest]
    small = range(max(0, lowest), min(SMALL, highest) + 1)
    return lambda draw: draw.choice(small if small and draw.random() < 0.85 else edges)


def _float(draw: random.Random) -> float:
    return draw.choice(_FLOATS)


def is_sendable(message: msgspec.Struct) -> bool:
    """Return whether a message can be encoded: not all texts of Python can."""
    try:
        msgspec.msgpack.encode(message)
    except UnicodeEncodeError:
        return False
    return True
