"""Messages about the part of a value that cannot be pickled, and the time to find it."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import dataclasses
import functools
import queue
import threading
import time
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.serialize import dump_call, dump_function, dump_names

lock = threading.Lock()


class Holder:
    def __init__(self) -> None:
        self.seen = [1]
        self.guard = lock

    def run(self) -> None: ...

    @property
    def computed(self) -> object:
        raise AssertionError("no property is evaluated")


@dataclasses.dataclass(slots=True)
class Slotted:
    name: str
    guard: object


class Below(Slotted):
    __slots__ = ("more",)


class Named(NamedTuple):
    first: int
    guard: object


class MisleadingList(list):  # type: ignore[type-arg]
    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("no code of the user's is run")


class OwnState:
    def __init__(self) -> None:
        self.hidden = 1

    def __getstate__(self) -> object:
        return {"made": [threading.Lock()]}


class OwnReduce:
    def __reduce__(self) -> Any:
        return list, ([threading.Lock()],)


class TypeWithoutHash(type):
    def __eq__(cls, other: object) -> bool:
        return cls is other

    __hash__ = None  # type: ignore[assignment]


class OfNoHash(metaclass=TypeWithoutHash):
    pass


class Refuses:
    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


def cyclic() -> object:
    one: list[object] = []
    two = {"one": one}
    one += [two, one, types.SimpleNamespace(guard=lock, back=two)]
    return two


def series() -> object:
    return pd.Series([1, lock])


def deep() -> object:
    value: object = lock
    for _ in range(50):
        value = [value]
    return value


VALUES: dict[str, tuple[Callable[[], object], str]] = {
    "attribute": (Holder, "argument 1 of f: .guard (a _thread.lock)"),
    "slot": (lambda: Slotted("a", lock), ": .guard (a _thread.lock)"),
    "slot of a base": (lambda: Below("a", lock), ": .guard (a _thread.lock)"),
    "named tuple": (lambda: Named(1, lock), ": .guard (a _thread.lock)"),
    "deque": (lambda: collections.deque([1, lock]), ": [1] (a _thread.lock)"),
    "default dict": (lambda: collections.defaultdict(list, a=[lock]), ": ['a'][0] (a _thread.lock)"),
    "ordered dict": (lambda: collections.OrderedDict(a=lock), ": ['a'] (a _thread.lock)"),
    "mapping proxy": (lambda: types.MappingProxyType({"a": lock}), ": ['a'] (a _thread.lock)"),
    "namespace": (lambda: types.SimpleNamespace(a=1, guard=lock), ": .guard (a _thread.lock)"),
    "nested": (lambda: ({"k": ([lock],)},), ": [0]['k'][0][0] (a _thread.lock)"),
    "set": (lambda: {1, lock}, "its item <unlocked _thread.lock"),
    "key": (lambda: {(1, lock): 2}, "its key (1, <unlocked _thread.lock"),
    "list of a subclass": (lambda: MisleadingList([lock]), ": [0] (a _thread.lock)"),
    "array": (lambda: np.array([[1, 2], [3, lock]], dtype=object), ": [1, 1] (a _thread.lock)"),
    "series": (series, ": [1] (a _thread.lock)"),
    "column": (lambda: pd.DataFrame({"ok": [1], "bad": [lock]}), "its column 'bad'[0] (a _thread.lock)"),
    "index": (lambda: pd.Series([1], index=[lock]), "its index[0] (a _thread.lock)"),
    "frame in a dict": (
        lambda: {"df": pd.DataFrame({"bad": [lock]})},
        ": ['df'], its column 'bad'[0] (a _thread.lock)",
    ),
    "partial": (lambda: functools.partial(print, 1, lock), "its argument 2 (a _thread.lock)"),
    "partial keyword": (lambda: functools.partial(print, guard=lock), "its argument `guard` (a _thread.lock)"),
    "bound method": (lambda: Holder().run, "its `__self__`.guard (a _thread.lock)"),
    "method of C code": (lambda: lock.acquire, "its `__self__` (a _thread.lock)"),
    "exception": (lambda: ValueError(1, lock), ": .args[1] (a _thread.lock)"),
    "state of its own": (OwnState, "its `__reduce__`: the state['made'][0] (a _thread.lock)"),
    "reduce of its own": (OwnReduce, "its `__reduce__`: the arguments[0][0] (a _thread.lock)"),
    "refusal": (lambda: [1, {"a": Refuses()}], ": [1]['a'] (a "),
    "class without a hash": (lambda: [1, OfNoHash()], ": [1] (a tests.serialize.test_blame.OfNoHash)"),
    "queue": (queue.Queue, ": .mutex (a _thread.lock)"),
    "beside a queue": (lambda: [asyncio.Queue(), threading.RLock()], ": [1] (a _thread.RLock)"),
    "context variable": (lambda: {"var": contextvars.ContextVar("x")}, ": ['var'] (a _contextvars.ContextVar)"),
    "generator": (lambda: [(j for j in "ab")], ": [0] (a generator)"),
    "iterator": (lambda: iter([1, lock]), "(a _thread.lock)"),
    "map": (lambda: map(print, [lock]), "(a _thread.lock)"),
    "cycle": (cyclic, ": ['one'][2].guard (a _thread.lock)"),
    "deep": (deep, ": [0][0][0][0][0][0] ... [0][0][0][0][0][0] (a _thread.lock)"),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_part_of_a_value_is_named(name: str) -> None:
    make, text = VALUES[name]
    with pytest.raises(UnpicklableArgument) as caught:
        dump_call((make(),), {}, what="f")
    assert text in str(caught.value)
    assert "argument 1 of f" in str(caught.value)
    with pytest.raises(UnpicklableArgument, match="the name `x` given to the cell") as caught:
        dump_names({"a": 1, "x": make()}, (), what="the cell")
    assert text.replace("argument 1 of f", "") in str(caught.value)


FUNCTIONS: dict[str, tuple[str, str]] = {
    "global": ("def f(): return lock", "f: its global `lock` (a _thread.lock)"),
    "in a lambda": ("def f(xs): return sorted(xs, key=lambda x: lock)", "f: its global `lock` (a _thread.lock)"),
    "in a comprehension": ("def f(xs): return [x for x in xs if lock]", "f: its global `lock` (a _thread.lock)"),
    "in a nested function": (
        "def f():\n def g():\n  def h(): return lock\n  return h\n return g",
        "f: its global `lock` (a _thread.lock)",
    ),
    "in a nested class": ("def f():\n class C:\n  def m(self): return lock\n return C", "f: its global `lock`"),
    "default": ("def f(a, guard=lock, b=1): ...", "f: its default of `guard` (a _thread.lock)"),
    "keyword-only default": ("def f(a, *, guard=lock): ...", "f: its default of `guard` (a _thread.lock)"),
    "attribute": ("def f(): ...\nf.guard = lock", "f: its attribute `guard` (a _thread.lock)"),
    "closure": (
        "def make():\n guard = lock\n def f(): return guard\n return f\nf = make()\nf.__qualname__ = 'f'",
        "f: its closure variable `guard` (a _thread.lock)",
    ),
    "another function": (
        "def g(): return box\nbox = {'a': [lock]}\ndef f(): return g()",
        "f: its global `g`, its global `box`['a'][0] (a _thread.lock)",
    ),
    "class": (
        "class C:\n guard = lock\ndef f(): return C()",
        "f: its global `C`.guard (a _thread.lock)",
    ),
    "method": (
        "class C:\n def m(self): return lock\ndef f(): return C()",
        "f: its global `C`.m, its global `lock` (a _thread.lock)",
    ),
    "base": (
        "class B:\n guard = lock\nclass C(B): ...\ndef f(): return C()",
        "f: its global `C`, its base `B`.guard (a _thread.lock)",
    ),
    "property": (
        "class C:\n @property\n def p(self): return lock\ndef f(): return C",
        "f: its global `C`.p, its getter, its global `lock` (a _thread.lock)",
    ),
    "class attribute of an instance": (
        "class C:\n guard = lock\nc = C()\ndef f(): return c",
        "f: its global `c`, its class `C`.guard (a _thread.lock)",
    ),
    "module": (
        "import types\nm = types.ModuleType('made')\nm.guard = lock\ndef f(): return m",
        "f: its global `m`.guard (a _thread.lock)",
    ),
    "wrapped": (
        "import functools\ndef g(): return lock\n@functools.wraps(g)\ndef f(): ...",
        "f: its attribute `__wrapped__`, its global `lock` (a _thread.lock)",
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_part_of_a_function_is_named(name: str) -> None:
    source, text = FUNCTIONS[name]
    namespace: dict[str, Any] = {"__name__": "__main__", "lock": lock}
    exec(source, namespace)
    with pytest.raises(UnpicklableArgument) as caught:
        dump_function(namespace["f"])
    function = "g" if name == "wrapped" else "f"
    assert str(caught.value).startswith(f"{function}{text[1:]}")


class Counted:
    """A value that is slow to pickle, and counts its pickles."""

    times = 0

    def __reduce__(self) -> Any:
        Counted.times += 1
        return Counted, ()


def seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    with pytest.raises(UnpicklableArgument):
        action()
    return time.process_time() - began


def test_large_siblings_are_pickled_at_most_once_more() -> None:
    Counted.times = 0
    with pytest.raises(UnpicklableArgument, match=r": \[1\]\[2\] \(a _thread.lock\)"):
        dump_call(([Counted(), [Counted(), [Counted()], lock]],), {}, what="f")
    assert Counted.times == 6


def test_the_search_takes_about_as_long_as_the_failed_pickle() -> None:
    values = [float(i) for i in range(1_000_000)], np.zeros(2_000_000), [{"a": i} for i in range(100_000)], lock
    began = time.process_time()
    with pytest.raises(TypeError):
        dump_without_search(values)
    plain = time.process_time() - began
    assert seconds(lambda: dump_call((values,), {}, what="f")) < 6 * plain + 1


def dump_without_search(value: object) -> None:
    from taskfc_ext.serialize.values import pickle_alone

    pickle_alone(value)


class RefusesLate:
    """A value that fails after its parts were pickled, so it is not the object reduced last."""

    def __reduce__(self) -> Any:
        return list, ([Counted()],), None, 5


def endless() -> object:
    value: list[object] = []
    for _ in range(5_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([{"a": [i]} for i in range(200_000)] + [{"b": lock}], "argument 2 of f: [200000]['b'] (a _thread.lock)"),
        ([lock, *({"a": [i]} for i in range(200_000))], "argument 2 of f: [0] (a _thread.lock)"),
        ([1, {"a": RefusesLate()}], "argument 2 of f: [1]['a'] (a tests.serialize.test_blame.RefusesLate)"),
        (endless(), "argument 2 of f (a list) cannot be pickled: Could not pickle object as excessively deep"),
    ],
    ids=["last of many", "first of many", "refused late", "endless"],
)
def test_the_part_is_found_in_large_values_too(value: object, text: str) -> None:
    with pytest.raises(UnpicklableArgument) as caught:
        dump_call(([1], value), {}, what="f")
    assert str(caught.value).startswith(text)


def test_no_failure_of_the_search_hides_the_error() -> None:
    class Odd:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise RuntimeError("odd")

        def __reduce__(self) -> Any:
            return list, ([lock],)

    with pytest.raises(UnpicklableArgument, match=r"cannot pickle '_thread\.lock' object"):
        dump_call((Odd(),), {}, what="f")
