"""Names of the modules that a text may import."""

from __future__ import annotations

import pytest

from taskfc_ext.client.context.imports import imported_names, with_parents


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import a", {"a"}),
        ("import a.b as c, d  # e, f", {"a.b", "d"}),
        ("    import a\n", {"a"}),
        ("if x: import a; import b", {"a", "b"}),
        ("from a.b import c as d, e", {"a.b", "a.b.c", "a.b.e"}),
        ("from a import (b,  # c\n    d,\n)", {"a", "a.b", "a.d"}),
        ("from a import *", {"a"}),
        ("import a, \\\n    b", {"a", "b"}),
        ("%%time\nimport a\n!ls\n", {"a"}),
        ("from . import a", set()),
        ("important = 1\nx = 'from here to there'", set()),
    ],
)
def test_the_imports_of_a_text(text: str, names: set[str]) -> None:
    assert imported_names(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from . import a", {"p.q", "p.q.a"}),
        ("from .a import b", {"p.q.a", "p.q.a.b"}),
        ("from .. import a", {"p", "p.a"}),
        ("from ..a.b import c", {"p.a.b", "p.a.b.c"}),
        ("from ... import a", set()),
        ("import a", {"a"}),
    ],
)
def test_imports_relative_to_a_package(text: str, names: set[str]) -> None:
    assert imported_names(text, "p.q") == names


def test_a_module_comes_with_its_packages() -> None:
    assert with_parents("a.b.c") == ["a", "a.b", "a.b.c"]
