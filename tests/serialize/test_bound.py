"""Large objects that all items of a map share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from taskfc_ext.serialize.bound import Bound, bind_shared

BIG = np.zeros(100_000)


def f(*args: Any) -> Any:
    return args


def test_what_all_items_share_is_bound() -> None:
    function, columns = bind_shared(f, [[BIG] * 3, [1, 2, 3]])
    assert type(function) is Bound
    assert columns == [[1, 2, 3]]
    assert function(2) == (BIG, 2)


def test_all_that_is_shared_is_bound_together() -> None:
    holder = {"a": BIG}
    function, columns = bind_shared(f, [[BIG] * 3, [holder] * 3])
    assert columns == []
    first, second = function()
    assert second["a"] is first


@pytest.mark.parametrize(
    "other",
    [[{"a": BIG} for _ in range(3)], [BIG, None, None], [[BIG], 1, 2], [[1], [2], [3]]],
    ids=["inside", "some items", "inside of some", "containers"],
)
def test_nothing_is_bound_where_another_argument_may_hold_it(other: list[Any]) -> None:
    function, columns = bind_shared(f, [[BIG] * 3, other])
    assert function is f
    assert columns == [[BIG] * 3, other]
