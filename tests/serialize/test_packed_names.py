"""Names of a cell in one body: measured, limited, with references in place of futures."""

from __future__ import annotations

import concurrent.futures

import pytest

from taskfc_ext.serialize import dump_names, dump_value, load_cell
from taskfc_ext.serialize.limited import LimitReached
from taskfc_ext.serialize.packed_names import pack_names

MB = 10**6


@pytest.mark.parametrize("names", [{}, {"a": 1}, {"a": [1], "b": 2.5, "c": "x"}])
def test_the_body_is_read_as_that_of_dump_names(names: dict[str, object]) -> None:
    packed = pack_names(names, ["y"], what="the cell")
    assert load_cell(packed.body) == load_cell(dump_names(names, ["y"], what="the cell")) == (names, ("y",), {})
    assert packed == names
    assert packed.sizes.keys() == names.keys()


def test_each_name_is_measured() -> None:
    packed = pack_names({"a": b"x" * 3 * MB, "b": bytearray(2 * MB), "c": b"y" * MB, "d": 1}, (), what="the cell")
    assert [round(packed.sizes[name] / MB, 2) for name in "abcd"] == [3, 2, 1, 0]


def test_a_name_over_its_limit_ends_the_pickling() -> None:
    names: dict[str, object] = {"a": b"x" * 3 * MB, "b": b"y" * MB}
    with pytest.raises(LimitReached):
        pack_names(names, (), what="the cell", limits={"b": lambda n_before: n_before + MB // 2})
    with pytest.raises(LimitReached):
        pack_names(names, (), what="the cell", limits={"b": lambda n_before: 3 * MB})
    assert len(pack_names(names, (), what="the cell", limits={"b": lambda n_before: n_before + 2 * MB}).body) > 4 * MB


def test_a_future_is_a_reference_to_its_place() -> None:
    first, second = concurrent.futures.Future[int](), concurrent.futures.Future[int]()
    packed = pack_names({"a": first, "b": second, "c": first}, (), what="the cell")
    assert packed.futures == (first, second)
    assert packed == {"a": first, "b": second, "c": first}
    inputs = [dump_value(7, what="x"), dump_value(8, what="x")]
    assert load_cell(packed.body, inputs)[0] == {"a": 7, "b": 8, "c": 7}


def test_a_second_try_begins_with_an_empty_body() -> None:
    class Chained(Exception):
        pass

    error = Chained("x")
    error.__cause__ = ValueError(concurrent.futures.ThreadPoolExecutor())
    names, _, _ = load_cell(pack_names({"a": [1], "error": error}, (), what="the cell").body)
    assert (names["a"], str(names["error"])) == ([1], "x")
