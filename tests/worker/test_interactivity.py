from __future__ import annotations

import ast

import pytest

from taskfc_ext.worker.run.interactivity import divide


@pytest.mark.parametrize(
    ("interactivity", "source", "steps", "last"),
    [
        ("last_expr", "x = 1\nx", ["M x = 1"], "x"),
        ("last_expr", "x = 1", ["M x = 1"], None),
        ("last_expr", "", ["M "], None),
        ("all", "1\nx = 2\n3", ["I 1", "I x = 2"], "3"),
        ("all", "", [], None),
        ("last", "1\nfor i in x: i", ["M 1", "I for i in x:\n    i"], None),
        ("last", "1\n2", ["M 1"], "2"),
        ("last", "", ["M "], None),
        ("last_expr_or_assign", "x = 1", ["M x = 1"], "x"),
        ("last_expr_or_assign", "x += 1", ["M x += 1"], "x"),
        ("last_expr_or_assign", "x: int = 1", ["M x: int = 1"], "x"),
        ("last_expr_or_assign", "x: int", ["M x: int"], None),
        ("last_expr_or_assign", "x = y = 1", ["M x = y = 1"], None),
        ("last_expr_or_assign", "x[0] = 1", ["M x[0] = 1"], None),
        ("none", "1\n2", ["M 1"], "2"),
    ],
)
def test_the_parts_of_a_cell(interactivity: str, source: str, steps: list[str], last: str | None) -> None:
    units = divide(ast.parse(source), interactivity, wants_value=True)
    assert [f"{type(step).__name__[0]} {ast.unparse(step)}" for step in units.steps] == steps
    assert (units.last and ast.unparse(units.last)) == last


def test_code_without_a_value_is_one_step() -> None:
    units = divide(ast.parse("1\n2"), "all", wants_value=False)
    assert ([ast.unparse(step) for step in units.steps], units.last) == (["1\n2"], None)
