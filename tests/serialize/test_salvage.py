from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.serialize import SourceResult, dump_value, load_the_rest, load_value
from taskfc_ext.serialize.values import InputRef, dump_names, load_names


def explode(*_: object) -> Any:
    raise ValueError("not here")


class OnLoad:
    def __reduce__(self) -> Any:
        return explode, (1,)


class OnState:
    def __setstate__(self, state: object) -> None:
        raise KeyError("old state")

    def __getstate__(self) -> object:
        return {"x": 1}


SHARED = [1, 2]
PARTS = [OnLoad(), [1, OnLoad()], {"k": (OnLoad(), 2)}, OnState(), {OnLoad(): 1}, [OnState(), 3]]


@pytest.mark.parametrize("bad", PARTS, ids=lambda bad: type(bad).__name__)
def test_names_beside_one_that_cannot_be_rebuilt(bad: object) -> None:
    body = dump_value(SourceResult(5, {"a": SHARED, "bad": bad, "b": [SHARED]}, is_cell=True), what="it")
    with pytest.raises((ValueError, KeyError, TypeError)):
        load_value(body)
    rest = load_the_rest(body)
    assert rest is not None
    assert rest.ns == {"a": [1, 2], "b": [[1, 2]]}
    assert rest.ns["b"][0] is rest.ns["a"]
    assert rest.value == 5
    assert list(rest.lost) == ["bad"]
    assert rest.lost["bad"].startswith("it cannot be rebuilt here: ")


def test_a_value_that_cannot_be_rebuilt_beside_names() -> None:
    rest = load_the_rest(dump_value(SourceResult(OnLoad(), {"a": 1}, is_cell=True), what="it"))
    assert rest is not None
    assert rest.ns == {"a": 1}
    with pytest.raises(UnpicklableResult, match="ValueError: not here"):
        rest.checked_value()


@pytest.mark.parametrize(
    "result",
    [
        SourceResult(OnLoad(), {}, is_cell=True),
        SourceResult(1, {"bad": OnLoad()}, is_cell=True),
        OnLoad(),
        [OnLoad()],
    ],
)
def test_where_nothing_is_left_it_stays_a_failure(result: object) -> None:
    assert load_the_rest(dump_value(result, what="it")) is None
    assert load_the_rest(b"no pickle") is None


GENERATOR = (i for i in ())


def test_names_beside_one_that_cannot_be_pickled() -> None:
    result: Any = load_value(dump_value(SourceResult(3, {"a": SHARED, "g": GENERATOR, "b": SHARED}, True), what="it"))
    assert (result.value, result.ns, list(result.lost)) == (3, {"a": [1, 2], "b": [1, 2]}, ["g"])
    assert result.ns["a"] is result.ns["b"]
    assert result.lost["g"] == "it (a generator) cannot be pickled: cannot pickle 'generator' object"


def test_a_value_that_cannot_be_pickled_beside_names() -> None:
    result: Any = load_value(dump_value(SourceResult(GENERATOR, {"a": 1}, True), what="the result of fit"))
    assert result.ns == {"a": 1}
    for ask in (result.checked_value, lambda: result.as_input):
        with pytest.raises(UnpicklableResult, match=r"^the result of fit \(a generator\).*\n.*`;`"):
            ask()


@pytest.mark.parametrize(
    ("value", "ns", "hint"),
    [(GENERATOR, {}, "`;`"), (None, {"g": GENERATOR}, "return what"), (GENERATOR, {"g": GENERATOR}, "`;`")],
)
def test_a_result_of_which_nothing_can_travel_is_refused(value: object, ns: dict[str, Any], hint: str) -> None:
    with pytest.raises(UnpicklableResult, match=hint):
        dump_value(SourceResult(value, ns, True), what="it")


def test_an_input_that_could_not_travel_is_a_clear_failure() -> None:
    body = dump_value(SourceResult(GENERATOR, {"a": 1}, True), what="the result of fit")
    with pytest.raises(UnpicklableResult, match="the result of fit"):
        load_names(dump_names({"x": InputRef(0)}, (), what="the cell"), [body])
