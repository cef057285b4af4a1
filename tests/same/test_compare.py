"""Equal results have equal portraits; each kind of difference is found and named."""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import enum
import functools
import io
import pickle
import random
import re
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression

from tests.same.cells import sort_cells
from tests.same.compare import difference, shown_difference, text_difference
from tests.same.portrait import portrait
from tests.same.report import compare, on_card, share, table
from tests.same.runs import Seen


@dataclass
class Point:
    x: float = 0.0
    tags: list = field(default_factory=list)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def figure(height: float) -> Figure:
    made = Figure((2, 2))
    made.subplots().bar([0], [height])
    made.axes[0].set_ylim(0, 4)
    return made


def draw(seed: int) -> np.random.Generator:
    rng = np.random.default_rng(5)
    rng.random(seed)
    return rng


FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([3, 4], name="i"))
DIFFERENT: list[tuple[Any, Any]] = [
    (1, 2),
    (1, True),
    (1, 1.0),
    (1.0, 1.0001),
    ("a", "b"),
    ([1, 2], [1, 2, 3]),
    ([1], (1,)),
    ({1, 2}, {1, 3}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (collections.Counter("aab"), collections.Counter("ab")),
    (collections.deque([1]), collections.deque([2])),
    (collections.OrderedDict(a=1), {"a": 1}),
    (np.arange(3), np.arange(3.0)),
    (np.arange(4), np.arange(4).reshape(2, 2)),
    (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
    (np.array(["a", None], dtype=object), np.array(["a", "b"], dtype=object)),
    (np.float64(1), 1.0),
    (np.ma.masked_less([1, 2], 2), np.ma.masked_less([1, 2], 1)),
    (FRAME, FRAME.rename(columns={"a": "c"})),
    (FRAME, FRAME.assign(a=[1, 3])),
    (FRAME, FRAME.reset_index(drop=True)),
    (FRAME["b"], FRAME["b"].astype("category")),
    (Point(1), Point(2)),
    (Point(), Point(tags=["new"])),
    (Colour.RED, Colour.BLUE),
    (decimal.Decimal("0.10"), decimal.Decimal("0.1")),
    (datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)),
    (re.compile("a"), re.compile("a", re.IGNORECASE)),
    (functools.partial(pow, 2), functools.partial(pow, 3)),
    (draw(3), draw(4)),
    (random.Random(1), random.Random(2)),
    (lambda x: x + 1, lambda x: x + 2),
    (lambda x=1: x, lambda x=2: x),
    (ValueError("a"), ValueError("b")),
    (ValueError("a"), KeyError("a")),
    (ExceptionGroup("all", [ValueError(1)]), ExceptionGroup("all", [ValueError(2)])),
    (figure(1), figure(3)),
    (nx.path_graph(3), nx.path_graph(4)),
    (LinearRegression(), LinearRegression().fit([[0], [1]], [0, 1])),
    (Point, Colour),
    (None, 0),
]


@pytest.mark.parametrize(("here", "there"), DIFFERENT, ids=lambda value: type(value).__name__)
def test_different_values_differ(here: Any, there: Any) -> None:
    assert difference(portrait(here), portrait(there))
    assert difference(portrait(there), portrait(here))


EQUAL = [pair[0] for pair in DIFFERENT if not callable(pair[0]) or isinstance(pair[0], type)]


@pytest.mark.parametrize("value", [*EQUAL, float("nan"), {"again": EQUAL[5]}], ids=lambda value: type(value).__name__)
def test_a_value_that_has_travelled_is_equal(value: Any) -> None:
    portrait_here = pickle.loads(pickle.dumps(portrait(value)))
    assert difference(portrait_here, portrait(pickle.loads(pickle.dumps(value)))) == ""


def test_a_difference_says_where_it_is() -> None:
    here, there = ({"fit": {"size": 3, "x": [1, Point(tags=["a"])]}}, {"fit": {"size": 3, "x": [1, Point(tags=["b"])]}})
    assert difference(portrait(here), portrait(there), "it") == "it.fit.x.tags.str: 'a' here, 'b' there"
    assert difference(portrait(np.arange(4)), portrait(np.array([0, 1, 2, 4]))).endswith("1 of 4 numbers differ")


def test_a_cycle_ends_and_an_odd_value_breaks_nothing() -> None:
    class Odd:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    cycle: list[Any] = []
    cycle.append(cycle)
    assert not difference(portrait(cycle), portrait(cycle))
    assert portrait([Odd()])


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("<f at 0x7f0011223344>", "<f at 0x7f5566778899>"),
        ("/tmp/ipykernel_12/345.py:3: UserWarning: a", "<task 7>:3: UserWarning: a"),
        ("File: /tmp/ipykernel_12/345.py", "File: /tmp/here/<task 7>"),
        ("took 3.2 s", "took 41 ms"),
        ("a\n", "a"),
    ],
)
def test_what_changes_with_each_run_is_no_difference(here: str, there: str) -> None:
    assert text_difference(here, there) == ""


def test_texts_and_shown_forms_differ() -> None:
    assert text_difference("a\nb", "a\nc") == "'b' here, 'c' there"
    assert text_difference("a", "a\nb") == "'(nothing)' here, 'b' there"
    assert shown_difference({"text/plain": "a", "text/html": "<b>"}, {"text/plain": "a"})
    assert shown_difference({"image/png": png(1)}, {"image/png": png(3)})
    assert not shown_difference({"image/png": png(1)}, {"image/png": png(1)})
    chart, other = ({"application/x": {"data": [{"y": height}]}} for height in (1, 3))
    assert shown_difference(chart, other) == """application/x: '"y": 1' here, '"y": 3' there"""
    assert not shown_difference(chart, {"application/x": {"data": [{"y": 1}]}})


def png(height: float) -> str:
    file = io.BytesIO()
    figure(height).savefig(file, format="png", dpi=40)
    return base64.b64encode(file.getvalue()).decode()


def test_a_result_is_looked_for_on_the_card() -> None:
    card = {"text/plain": "✔ task 3 x · succeeded\n    42", "text/html": f'<img src="data:image/png;base64,{png(1)}">'}
    assert on_card({"text/plain": "42"}, [card]) == ""
    assert on_card({"text/plain": "4"}, [card])
    assert on_card({"text/plain": "<Figure>", "image/png": png(1)}, [card]) == ""
    assert on_card({"text/plain": "<Figure>", "image/png": png(3)}, [card])
    assert on_card({"text/html": "<table>1</table>"}, [card])
    assert on_card({"text/html": "<table>1</table>"}, [card, {"text/html": "<table>1</table>"}]) == ""


def test_a_result_that_shows_itself_is_looked_for_on_the_card() -> None:
    chart = {"text/html": "<b>chart</b>", "application/x": {"a": 1}}
    here = see(value=1, displays=[chart])
    other = {**chart, "application/x": {"a": 2}}
    for shown, kinds in (([chart], []), ([{"text/plain": "1"}], ["shown"]), ([other], ["shown"])):
        found = compare("n", sort_cells(["f()"]), [here], [see(value=1, shown=shown)])
        assert [each.kind for each in found.differs] == kinds


def see(**facts: Any) -> Seen:
    names = {name: portrait(value) for name, value in facts.pop("names", {}).items()}
    painted = {key: portrait(facts.pop(key)) for key in ("value", "error") if key in facts}
    return Seen(names=names, **painted, **facts)


@pytest.mark.parametrize(
    ("source", "here", "there", "kind"),
    [
        ("1", see(value=1), see(value=2), "value"),
        ("x = 1", see(names={"x": 1}), see(names={"x": 2}), "name"),
        ("x = 1", see(names={"x": 1}), see(), "name"),
        ("f()", see(names={"x": 1}), see(), "changed in place"),
        ("f()", see(), see(names={"x": 1}), "changed there only"),
        ("f()", see(stdout="a"), see(stdout="b"), "stdout"),
        ("f()", see(stderr="a"), see(), "stderr"),
        ("f()", see(), see(error=ValueError("a")), "error"),
        ("f()", see(error=ValueError("a")), see(), "error"),
        ("f()", see(error=ValueError("a")), see(error=ValueError("b")), "error"),
        ("f()", see(displays=[{"text/plain": "a"}]), see(), "displays"),
        ("f()", see(displays=[{"text/plain": "a"}]), see(displays=[{"text/plain": "b"}]), "displays"),
        ("f()", see(result={"text/plain": "a"}), see(shown=[{"text/plain": "b"}]), "shown"),
        ("f()", see(), see(refused="UsageError: no"), "refused"),
        (
            "x=1;1/0",
            see(names={"x": 1}, error=KeyError()),
            see(error=KeyError()),
            "names of a cell that raised",
        ),
    ],
)
def test_each_kind_of_difference_is_named(source: str, here: Seen, there: Seen, kind: str) -> None:
    found = compare("n", sort_cells([source]), [here], [there])
    assert [each.kind for each in found.differs] == [kind]
    assert compare("n", sort_cells([source]), [here], [here]).differs == ()


def test_what_follows_from_an_earlier_cell_says_so() -> None:
    cells = sort_cells(["x = f()", "x + 1", "x = 3", "x + 1"])
    here = [
        see(names={"x": 1}),
        see(names={"x": 1}, value=2),
        see(names={"x": 3}),
        see(names={"x": 3}, value=4),
    ]
    there = [
        see(names={"x": 2}),
        see(names={"x": 2}, value=3),
        see(names={"x": 3}),
        see(names={"x": 3}, value=4),
    ]
    found = compare("n", cells, here, there)
    assert [(each.cell, each.kind) for each in found.differs] == [(1, "name"), (2, "follows")]
    assert share([found]) == 0.5
    assert table([found]).splitlines()[-1].startswith("n, cell 2: follows: from cell 1; ")


def test_set_up_cells_count_only_where_they_differ() -> None:
    cells = sort_cells(["import os", "1"])
    same = compare("n", cells, [see(), see()], [see(), see()])
    assert (same.n_cells, same.n_equal) == (1, 1)
    found = compare("n", cells, [see(), see()], [see(stderr="no such module"), see()])
    assert (found.n_cells, found.n_equal) == (2, 1)
