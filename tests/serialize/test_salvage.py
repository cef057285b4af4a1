from __future__ import annotations

import threading
from typing import Any

import pytest

from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.serialize import SourceResult, dump_value, load_value, salvage_result
from taskfc_ext.serialize.in_place import ClassChange
from taskfc_ext.serialize.values import InputRef, dump_names, load_cell


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
def test_other_names_survive_one_that_cannot_be_rebuilt(bad: object) -> None:
    body = dump_value(SourceResult(5, {"a": SHARED, "bad": bad, "b": [SHARED]}, is_cell=True), what="it")
    with pytest.raises((ValueError, KeyError, TypeError)):
        load_value(body)
    rest = salvage_result(body)
    assert rest is not None
    assert rest.ns == {"a": [1, 2], "b": [[1, 2]]}
    assert rest.ns["b"][0] is rest.ns["a"]
    assert rest.value == 5
    assert list(rest.lost) == ["bad"]
    assert rest.lost["bad"].startswith("it cannot be rebuilt here: ")


class Made:
    """A value made by a call of its class, which fails for one argument."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __reduce__(self) -> Any:
        return Made.check, (self.n,)

    @staticmethod
    def check(n: int) -> Made:
        if n == 1:
            raise ValueError("not this one")
        return Made(n)


class New:
    """A value made by its class's `__new__`, which fails for one argument."""

    n: int

    def __new__(cls, n: int = 0) -> New:
        if n == 3:
            raise ValueError("not this one")
        made = super().__new__(cls)
        made.n = n
        return made

    def __getnewargs__(self) -> tuple[int]:
        return (self.n + 2,)


def test_objects_made_by_the_same_call_survive() -> None:
    names = {"a": Made(1), "b": Made(2), "c": New(1), "d": New(2), "e": Made.check, "f": 3}
    rest = salvage_result(dump_value(SourceResult(None, names, is_cell=True), what="it"))
    assert rest is not None
    assert list(rest.lost) == ["a", "c"]
    assert (rest.ns["b"].n, rest.ns["d"].n, rest.ns["e"], rest.ns["f"]) == (2, 2, Made.check, 3)


class Stateful(Exception):
    def __setstate__(self, state: object) -> None:
        raise KeyError("old state")


def test_an_object_that_a_setter_could_not_fill_is_lost() -> None:
    error = Stateful("text")
    error.place = "attribute"  # type: ignore[attr-defined]
    names = {"e": error, "again": [error], "others": [Exception("one"), 3]}
    rest = salvage_result(dump_value(SourceResult(None, names, is_cell=True), what="it"))
    assert rest is not None
    assert list(rest.lost) == ["e", "again"]
    assert rest.ns["others"][0].args == ("one",)


def test_the_arguments_of_a_failed_call_survive() -> None:
    class Given:
        def __reduce__(self) -> Any:
            return explode, (SHARED,)

    body = dump_value(SourceResult(None, {"a": [SHARED, [SHARED], SHARED], "bad": [SHARED, Given()]}, True), what="it")
    rest = salvage_result(body)
    assert rest is not None
    assert rest.ns == {"a": [[1, 2], [[1, 2]], [1, 2]]}


def test_names_survive_a_value_that_cannot_be_rebuilt() -> None:
    rest = salvage_result(dump_value(SourceResult(OnLoad(), {"a": 1}, is_cell=True), what="it"))
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
def test_a_result_without_any_part_left_stays_a_failure(result: object) -> None:
    assert salvage_result(dump_value(result, what="it")) is None
    assert salvage_result(b"no pickle") is None


GENERATOR = (i for i in ())


def test_other_names_survive_one_that_cannot_be_pickled() -> None:
    result: Any = load_value(dump_value(SourceResult(3, {"a": SHARED, "g": GENERATOR, "b": SHARED}, True), what="it"))
    assert (result.value, result.ns, list(result.lost)) == (3, {"a": [1, 2], "b": [1, 2]}, ["g"])
    assert result.ns["a"] is result.ns["b"]
    assert result.lost["g"] == "it (a generator) cannot be pickled: cannot pickle 'generator' object"


def test_names_survive_a_value_that_cannot_be_pickled() -> None:
    result: Any = load_value(dump_value(SourceResult(GENERATOR, {"a": 1}, True), what="the result of fit"))
    assert result.ns == {"a": 1}
    for ask in (result.checked_value, lambda: result.as_input):
        with pytest.raises(UnpicklableResult, match=r"^the result of fit \(a generator\).*\n.*`;`"):
            ask()


@pytest.mark.parametrize(
    ("value", "ns", "hint"),
    [(GENERATOR, {}, "`;`"), (None, {"g": GENERATOR}, "return what"), (GENERATOR, {"g": GENERATOR}, "`;`")],
)
def test_a_result_without_any_picklable_part_is_rejected(value: object, ns: dict[str, Any], hint: str) -> None:
    with pytest.raises(UnpicklableResult, match=hint):
        dump_value(SourceResult(value, ns, True), what="it")


class Changed:
    n = 1


def result_with_change(change: object) -> SourceResult:
    return SourceResult(None, {"x": 1, "C": Changed}, True, class_changes={"C": ClassChange({"n": change}, ())})


def test_other_names_survive_a_class_change_that_cannot_be_pickled() -> None:
    rest: Any = load_value(dump_value(result_with_change(threading.Lock()), what="it"))
    assert (rest.ns, rest.class_changes) == ({"x": 1}, {})
    assert rest.lost["C"].startswith("the task's change of it: ['n'] (a _thread.lock) cannot be pickled")


def test_a_class_whose_change_cannot_be_rebuilt_is_not_changed() -> None:
    rest = salvage_result(dump_value(result_with_change(OnLoad()), what="it"))
    assert rest is not None
    assert (rest.ns, rest.class_changes) == ({"x": 1}, {})
    assert rest.lost["C"].startswith("it cannot be rebuilt here: ValueError")


def test_an_unpicklable_input_is_a_clear_failure() -> None:
    body = dump_value(SourceResult(GENERATOR, {"a": 1}, True), what="the result of fit")
    with pytest.raises(UnpicklableResult, match="the result of fit"):
        load_cell(dump_names({"x": InputRef(0)}, (), what="the cell"), [body])
