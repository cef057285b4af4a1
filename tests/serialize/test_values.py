from __future__ import annotations

import threading

import pytest

from taskfc_ext.errors import UnpicklableArgument, UnpicklableResult
from taskfc_ext.serialize import InputRef, dump_call, dump_names, dump_value, load_call, load_cell, load_value


class Refuses:
    def __reduce__(self) -> str:
        raise ZeroDivisionError("not me")


class HasALock:
    def __init__(self) -> None:
        self.data = {"a": [1, threading.Lock()]}


@pytest.mark.parametrize("value", [None, 1, "text", b"bytes", [1, {"a": (2.5,)}], {1, 2}, lambda: 3])
def test_a_value_is_restored(value: object) -> None:
    loaded = load_value(dump_value(value, what="it"))
    assert (loaded() if callable(loaded) else loaded) == (value() if callable(value) else value)


def test_a_call_is_restored_with_its_keywords() -> None:
    assert load_call(dump_call((1, [2]), {"x": "y"}, what="f")) == ((1, [2]), {"x": "y"})
    assert load_call(dump_call((1, "a"), {}, what="f")) == ((1, "a"), {})


def test_inputs_replace_whole_arguments_only() -> None:
    inputs = [dump_value("zero", what="it"), dump_value([1], what="it")]
    body = dump_call((InputRef(1), [InputRef(0)]), {"a": InputRef(0)}, what="f")
    assert load_call(body, inputs) == (([1], [InputRef(0)]), {"a": "zero"})


def test_names_are_restored() -> None:
    body = dump_names({"a": 1, "b": InputRef(0)}, ["c"], what="the cell")
    assert load_cell(body, [dump_value(5, what="it")])[:2] == ({"a": 1, "b": 5}, ("c",))


def test_an_argument_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(UnpicklableArgument, match=r"^argument 2 of fit \(a _thread.lock\) cannot be pickled: "):
        dump_call((1, threading.Lock()), {}, what="fit")
    with pytest.raises(TypeError, match=r"^argument `x` of fit .*\(a .*Refuses\) cannot be pickled: not me"):
        dump_call((), {"x": Refuses()}, what="fit")
    with pytest.raises(UnpicklableArgument, match=r"^the name `x` given to the cell \(a _thread.lock\)"):
        dump_names({"w": 1, "x": threading.Lock()}, [], what="the cell")


def test_the_innermost_part_at_fault_is_named() -> None:
    with pytest.raises(
        UnpicklableResult, match=r"^the result: \.data\['a'\]\[1\] \(a _thread.lock\) cannot be pickled"
    ):
        dump_value(HasALock(), what="the result")


def test_a_value_nested_too_deeply_is_a_clear_failure() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnpicklableResult, match="the result"):
        dump_value(deep, what="the result")
