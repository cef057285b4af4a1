"""Harmless functions: a wrong verdict would leave the settings of a task in its process."""

from __future__ import annotations

import math
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

from taskfc_ext.serialize import dump_function
from taskfc_ext.serialize.scope import leave
from taskfc_ext.worker.load.harmless import are_atoms, is_harmless, only_reads
from taskfc_ext.worker.load.programs import Programs

LIMIT = 3


def define(source: str, **variables: Any) -> Callable[..., Any]:
    """Return the function that `source` makes, as if it was sent."""
    namespace: dict[str, Any] = {"__name__": "__main__", **variables}
    exec(source, namespace)
    found: Callable[..., Any] = namespace.pop("f")
    return found


HARMLESS = [
    "def f(): pass",
    "def f(x): return x",
    "def f(x, y=2): return x ** y + 1",
    "def f(n): return sum(i * i for i in range(n))",
    "def f(x): return math.sqrt(abs(x)) if x > limit else 0.0",
    "def f(x): return sorted(str(x).upper())[0]",
    "def f(x): return [max(part, 3) for part in (x, 1)]",
    "def f(x): return table[x].sum() + table.mean()",
    "def f(x): return float(np.sqrt(np.pi * x)) + np.zeros(3).sum()",
]

HARMFUL = [
    "def f(x): math.pi = x",
    "def f(x): f.seen = x",
    "def f(x): f.__defaults__ = (x,)",
    "def f(): del math.pi",
    "def f(): import os; os.umask(0)",
    "def f(): from sys import setrecursionlimit; setrecursionlimit(99)",
    "def f(): return os.getpid()",
    "def f(): print.__self__.open = None",
    "def f(): return ().__class__.__base__",
    "def f(): return getattr(math, 'x')",
    "def f(): return eval('1')",
    "def f(): return open('x')",
    "def f(): global limit; limit = 4",
    "def f():\n class A: pass",
    "def f(): return unknown()",
    "def f(): return other()",
    "def f(): np.seterr(all='raise')",
    "def f(): return np.random.rand()",
    "def f(): return np.vectorize(os.umask)(0)",
    "def f(): np.set_printoptions(precision=1)",
    "def f(): return objects[0].x",
    "async def f(): return 1",
    "def f(x=[]): return x",
    "def f():\n def g(): return os.getpid()\n return g()",
    "f = (lambda part: lambda: part())(print)",
]


@pytest.mark.parametrize("source", HARMLESS)
def test_functions_that_use_only_plain_things_are_harmless(source: str) -> None:
    assert is_harmless(define(source, math=math, np=np, table=np.ones(4), limit=3))


@pytest.mark.parametrize("source", HARMFUL)
def test_functions_that_may_reach_more_are_not(source: str) -> None:
    assert not is_harmless(define(source, math=math, np=np, os=os, limit=3, other=os.getpid, objects=np.array([os])))


def of_a_module(x: int) -> int:
    return x + LIMIT


@pytest.mark.parametrize("function", [len, abs, math.sqrt, operator.add])
def test_builtin_functions_are_known_by_name(function: Any) -> None:
    assert is_harmless(function)


@pytest.mark.parametrize(
    "function", [of_a_module, os.umask, sys.setrecursionlimit, open, eval, setattr, [].append, type]
)
def test_others_are_not(function: Any) -> None:
    assert not is_harmless(function)


def test_arguments_have_to_be_plain_too() -> None:
    assert are_atoms((1, "x", None, 2.5, b""))
    assert not are_atoms((1, [2]))
    assert not are_atoms((os.umask,))


CALLS = """
import os
factor = 3
def times(x): return x * factor
def scaled(x): return times(x) + even(x)
def even(x): return x == 0 or odd(abs(x) - 1)
def odd(x): return x != 0 and even(abs(x) - 1)
def leave(x): return os.umask(x)
def hidden(x): return leave(x)
"""


@pytest.mark.parametrize(
    ("name", "expected"), [("times", True), ("scaled", True), ("even", True), ("leave", False), ("hidden", False)]
)
def test_functions_of_a_notebook_are_judged_where_they_are_loaded(name: str, expected: bool) -> None:
    main = types.ModuleType("__main__")
    exec(CALLS, vars(main))
    with mock.patch.dict(sys.modules, {"__main__": main}):
        digest, body = dump_function(getattr(main, name))
        program = Programs().load(digest, body)
        leave(None, main)
    assert program.is_harmless is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x): return float(table[x])", True),
        ("def f(x): return x * table[1:][0] + len(table) + table.shape[0]", True),
        ("def f(x): return sum(row for row in table) + g(x)", True),
        ("def f(x): table[x] = 1.0", False),
        ("def f(x): table[x] += 1.0", False),
        ("def f(x):\n  t = table\n  t *= x", False),
        ("def f(x): del table[x]", False),
        ("def f(x): table.shape = 2, 2", False),
        ("def f(x): return table.fill(x)", False),
        ("def f(x): return np.add(table, x, table).size", False),
        ("def f(x): return (lambda t: t.sort())(table)", False),
        ("def f(x): return h(x)", False),
    ],
)
def test_functions_that_only_read_their_arrays(source: str, expected: bool) -> None:
    helpers = "def g(x): return table[x]\ndef h(x): table[x] = 0\n"
    assert only_reads(define(helpers + source, np=np, table=np.ones(4))) is expected
