"""Check of `-o` names that a cell cannot have at its end, before it runs for an hour. Pure."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from taskfc_ext.ipython.hints import did_you_mean
from taskfc_ext.ipython.parse.requests import BadUsage

_BIND_UNSEEN = frozenset(
    ("exec", "eval", "compile", "globals", "locals", "vars", "setattr", "get_ipython", "__import__", "__builtins__")
)
"""Names through which a cell can bind names that its syntax tree does not show; `%` and `!` use `get_ipython`."""

_MODULES = frozenset(("sys", "importlib", "__main__", "builtins", "inspect", "runpy"))
"""Modules through which a cell can reach its own namespace."""


def check_out(out: Collection[str], defines: Collection[str], shipped: Mapping[str, object], code: str) -> None:
    """Refuse names to bring back that the cell neither binds nor gets; refuse nothing where that cannot be known.

    Args:
        out: the names to bring back.
        defines: the names that the cell binds.
        shipped: the names that it gets, with their values.
        code: the cell, in Python's syntax.

    Raises:
        BadUsage: names the first of them, and a similar name.
    """
    for name in out:
        if (
            name == "*"
            or name in defines
            or name in shipped
            or any(_mentions(value, name) for value in shipped.values())
        ):
            continue
        if not _may_bind_unseen(ast.parse(code)):
            near = did_you_mean(name, sorted({*defines, *shipped}))
            raise BadUsage(f"-o: the cell never assigns {name!r}{near}")


def _mentions(value: object, name: str) -> bool:
    """Tell whether `value` is a function of the notebook that uses this global, and so may bind it."""
    return name in getattr(getattr(value, "__code__", None), "co_names", ())


def _may_bind_unseen(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _BIND_UNSEEN | _MODULES:
            return True
        if isinstance(node, ast.Import) and any(alias.name.partition(".")[0] in _MODULES for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module in _MODULES or node.names[0].name == "*"):
            return True
    return False
