from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from taskfc_ext.ipython.requests import BadUsage
from taskfc_ext.ipython.shipping import Shipment, format_size, pack


def packed(source: str, ship: tuple[str, ...] | None = None, **namespace: Any) -> Shipment:
    hidden = {"open": namespace["open"]} if namespace.get("open") == "the shell's" else {}
    return pack(source, ship, namespace, hidden=hidden)


def test_what_is_needed_and_what_may_be_needed_where_it_exists() -> None:
    assert packed("if a:\n    b = 1\nb", a=1, b=2, c=3).values == {"a": 1, "b": 2}
    assert packed("if a:\n    b = 1\nb", a=1).values == {"a": 1}


def test_modules_and_functions_travel() -> None:
    def f() -> None: ...

    assert packed("f(os)", f=f, os=os).values == {"f": f, "os": os}


def test_a_builtin_travels_only_if_it_was_replaced() -> None:
    assert packed("sum(open, len)", sum=1, open="the shell's").values == {"sum": 1}


@pytest.mark.parametrize(
    ("source", "namespace", "message"),
    [
        ("dta", {"data": 1}, "unknown name 'dta'; did you mean data?"),
        ("prnt(1)", {}, "unknown name 'prnt'; did you mean print?"),
        ("resutl\nresult = 1", {}, "unknown name 'resutl'; did you mean result?"),
        ("zzz", {"data": 1}, "unknown name 'zzz'"),
        ("_x", {"_xy": 1}, "unknown name '_x'"),
    ],
)
def test_an_unknown_name_and_its_near_miss(source: str, namespace: dict[str, Any], message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        packed(source, **namespace)
    assert str(caught.value) == message


def test_what_cannot_be_pickled_is_named_down_to_its_part() -> None:
    with pytest.raises(BadUsage, match=r"^settings: .*lock.* \(a _thread.lock\) cannot be pickled: "):
        packed("settings", settings={"lock": threading.Lock()})


def test_given_names_need_not_be_used() -> None:
    assert packed("1", ("a",), a=1).values == {"a": 1}
    assert packed("a", (), a=1).values == {}
    with pytest.raises(BadUsage, match="unknown name 'b'"):
        packed("1", ("b",), a=1)


def test_sizes_are_counted_without_copies() -> None:
    shipment = packed("a, b, c", a=bytearray(3_000_000), b=b"x" * 1_500_000, c=7)
    assert 3_000_000 <= shipment.sizes["a"] < 3_001_000
    assert shipment.large() == "a (3 MB), b (1.5 MB)"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (4e9, "4 GB")]
)
def test_sizes_as_people_read_them(size: float, text: str) -> None:
    assert format_size(size) == text
