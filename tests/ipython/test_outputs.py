from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from taskfc_ext.ipython.cell.names import used_names
from taskfc_ext.ipython.cell.outputs import check_out
from taskfc_ext.ipython.parse.requests import BadUsage

transform = TransformerManager().transform_cell


def check(source: str, out: tuple[str, ...], shipped: dict[str, object]) -> None:
    check_out(out, used_names(source, transform=transform).defines, shipped, transform(source))


BINDS_Y = [
    "y = 1",
    "x, (y, *z) = 1, (2, 3)",
    "if x:\n    y = 1",
    "for y in x: pass",
    "with x as y: pass",
    "import y.z",
    "from a import b as y",
    "def y(): ...",
    "class y: ...",
    "(y := 1)",
    "[y := i for i in x]",
    "def f():\n    global y\n    y = 1\nf()",
    "y: int = 1",
    "y += 1",
    "match x:\n    case {'a': y}: pass",
    "try: pass\nexcept E: y = 1",
]
UNKNOWABLE = [
    "from a import *",
    "exec('y = 1')",
    "globals()['y'] = 1",
    "vars().update(y=1)",
    "import sys\nsetup(sys)",
    "sys.modules['__main__'].y = 1",
    "from importlib import import_module",
    "y = !ls",
    "%run script.py",
    "%%time\ny = 1",
    "!echo",
    "def f():\n    exec(x)\nf()",
]


@pytest.mark.parametrize("source", BINDS_Y + UNKNOWABLE)
def test_names_that_may_be_bound_are_not_refused(source: str) -> None:
    check(source, ("y",), {})


def test_sent_names_come_back() -> None:
    check("y.append(1)", ("y",), {"y": []})

    def bind() -> None:
        global y
        y = 1

    check("bind()", ("y",), {"bind": bind})


@pytest.mark.parametrize("source", ["1", "x = 1", "def f():\n    y = 1\nf()", "[y for y in x]", "y: int", "a.y = 1"])
def test_names_that_cannot_be_bound_are_refused(source: str) -> None:
    with pytest.raises(BadUsage, match="-o: the cell never assigns 'y'"):
        check(source, ("y",), {})


def test_a_similar_name_is_suggested() -> None:
    with pytest.raises(BadUsage) as caught:
        check("totl = data", ("data", "total"), {"data": 1})
    assert str(caught.value) == "-o: the cell never assigns 'total'; did you mean totl?"
