"""Attributes that a future does not have."""

from __future__ import annotations

import pytest

from taskfc_ext.client.future.attributes import why_no_attribute

KNOWN = ("result", "state", "taskid", "exception", "ns")
NONE: tuple[str, ...] = ()
MODEL = frozenset(("model", "n"))


@pytest.mark.parametrize(
    ("name", "is_cell", "out", "defines", "text"),
    [
        ("model", True, ("model",), MODEL, "a name that comes back is read with .ns: write .ns.model"),
        ("model", True, ("model",), (), "a name that comes back is read with .ns: write .ns.model"),
        ("model", True, ("*",), MODEL, "a name that comes back is read with .ns: write .ns.model"),
        (
            "model",
            True,
            ("n",),
            MODEL,
            "this task's cell has no -o model: add `-o model` to its %%task and run it again, then read .ns.model",
        ),
        (
            "model",
            True,
            NONE,
            NONE,
            "a TaskFuture has no attribute 'model'; a name that its cell brings back with -o is read as .ns.model",
        ),
        ("model", True, NONE, frozenset(("x",)), "a TaskFuture has no attribute 'model'"),
        ("model", False, NONE, NONE, "a TaskFuture has no attribute 'model'"),
        ("resutl", True, NONE, NONE, "a TaskFuture has no attribute 'resutl'; did you mean .result?"),
        ("get", False, NONE, NONE, "a TaskFuture has no attribute 'get'; did you mean .result()?"),
        ("status", True, ("x",), NONE, "a TaskFuture has no attribute 'status'; did you mean .state?"),
    ],
)
def test_an_attribute_that_is_none(
    name: str, is_cell: bool, out: tuple[str, ...], defines: frozenset[str], text: str
) -> None:
    assert why_no_attribute(name, KNOWN, is_cell=is_cell, out=out, defines=defines) == text
