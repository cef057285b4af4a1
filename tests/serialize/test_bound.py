"""Large objects that all items of a map share."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskfc_ext.serialize import dump_function, load_function
from taskfc_ext.serialize.bodies import MIN_BUFFER, Pieces
from taskfc_ext.serialize.bound import Bound, bind_shared

TEXT, OTHER = "x" * MIN_BUFFER, "y" * MIN_BUFFER
LIST = list(range(MIN_BUFFER))


class Unpicklable:
    def __init__(self) -> None:
        self.text, self.lock = TEXT, threading.Lock()


def collect(*args: Any) -> tuple[Any, ...]:
    return args


@pytest.mark.parametrize(
    ("columns", "bound"),
    [
        ([[TEXT, TEXT], [1, 2]], {0}),
        ([[1, 2], [LIST, LIST], [3, 4], [TEXT, TEXT]], {1, 3}),
        ([[TEXT, TEXT], [TEXT, TEXT]], {0, 1}),
        ([[TEXT, OTHER], [1, 2]], set()),
        ([[TEXT, TEXT, OTHER], [1, 2, 3]], set()),
        ([["small", "small"], [None, None], [(), ()]], set()),
        ([[LIST, LIST, LIST], [1, LIST, 2]], set()),  # in the second call they are one object
        ([[LIST, LIST], [LIST, LIST], [1, LIST]], set()),
        ([[TEXT], [1]], set()),  # one item shares nothing
        ([[], []], set()),
    ],
)
def test_what_all_items_share_is_bound_and_each_call_is_complete(columns: list[list[Any]], bound: set[int]) -> None:
    func, different = bind_shared(collect, columns)
    assert len(columns) - len(different) == len(bound)
    assert set(func.fixed if isinstance(func, Bound) else ()) == bound
    rows = list(zip(*columns, strict=True))
    for row, rest in zip(rows, zip(*different, strict=True) if different else [()] * len(rows), strict=True):
        assert all(one is other for one, other in zip(func(*rest), row, strict=True))


def test_a_value_that_cannot_be_pickled_stays_where_its_error_names_it() -> None:
    value = Unpicklable()
    assert bind_shared(collect, [[value, value]]) == (collect, [[value, value]])


def test_types_can_be_left_out() -> None:
    assert bind_shared(collect, [[LIST, LIST]], (list,))[0] is collect


def test_a_bound_function_travels_with_its_values_under_its_own_name() -> None:
    array = pytest.importorskip("numpy").zeros(MIN_BUFFER)
    func, _ = bind_shared(collect, [[1, 2], [array, array]])
    assert isinstance(func, Bound)
    assert func.__qualname__ == "collect"
    _, body = dump_function(func)
    assert isinstance(body, Pieces)
    one, other = load_function(b"".join(body.parts))(3)
    assert (one, other.shape, other.flags.writeable) == (3, (MIN_BUFFER,), True)
