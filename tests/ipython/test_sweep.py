"""`%task map`, on a farm whose controller and workers are threads."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.ipython.verbs.sweep import RIGHT_USE, submit_map
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE
from tests.shells import end_shell, new_shell


@pytest.fixture(scope="module")
def notebook() -> Iterator[Any]:
    shell = new_shell()
    shell.user_ns.update(xs=[1, 2, 3], scale=10)
    shell.run_cell("def fit(x, y=1):\n    return scale * x / y")
    with FakeFarm() as farm:
        session = SimpleNamespace(client=farm.client)
        yield SimpleNamespace(shell=shell, namespace=shell.user_ns, session=session)
    end_shell(shell)


@pytest.mark.parametrize(
    ("line", "results"),
    [
        ("fit(x) for x in xs", [10.0, 20.0, 30.0]),
        ("fit(x, y) for x in xs if x > 1 for y in (1, 2)", [20.0, 10.0, 30.0, 15.0]),
        ("fit(x, y + scale) for x, y in zip(xs, xs, strict=True)", [10 / 11, 20 / 12, 30 / 13]),
        ("-x for x in range(2)", [0, -1]),
    ],
)
def test_a_task_for_each_item(notebook: Any, line: str, results: list[Any]) -> None:
    assert submit_map(notebook, line).result(DEADLINE) == results


def test_its_tasks_and_the_columns_of_its_table_have_the_names_of_the_line(notebook: Any) -> None:
    group = submit_map(notebook, "fit(x, y) for x in xs for y in [1, 0]")
    group.wait(DEADLINE)
    assert {future.label for future in group} == {"fit(x, y)"}
    frame = group.to_frame()
    assert (frame["x"].to_list(), frame["y"].to_list()) == ([1, 1, 2, 2, 3, 3], [1, 0] * 3)
    assert frame["error"].to_list() == ["", "ZeroDivisionError: division by zero"] * 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("fit(3)", "%task map: 'fit(3)' has no `for`; write `%task map fit(x) for x in xs`"),
        ("", "%task map: '' has no `for`; write `%task map fit(x) for x in xs`"),
        ("fit(x) for x in", "%task map: invalid syntax; write `%task map fit(x) for x in xs`"),
        ("fit(x) for x in ys", "unknown name 'ys'"),
        ("fti(x) for x in xs", "unknown name 'fti'"),
        ("fit(x) for x in []", "%task map: there are no items"),
        ("fit(x) for x in 3", "%task map: the items raised TypeError: 'int' object is not iterable"),
        ("fit(xs[0]) for xs[0] in xs", f"%task map: a `for` binds plain names here; {RIGHT_USE}"),
    ],
)
def test_wrong_uses_are_one_line(notebook: Any, line: str, problem: str) -> None:
    with pytest.raises(BadUsage) as caught:
        submit_map(notebook, line)
    assert str(caught.value) == problem
