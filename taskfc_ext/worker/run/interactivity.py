"""Division of a cell into silent steps, steps whose values are displayed, and the last value. Pure."""

from __future__ import annotations

import ast
from typing import NamedTuple

LAST = "last_expr"
"""IPython's usual setting: show the value of the last expression."""


class Units(NamedTuple):
    """A cell in the order in which it runs: `steps`, then `last`, whose value is the value of the task.

    An `ast.Interactive` passes the values of its expressions to `sys.displayhook`.
    """

    steps: list[ast.Module | ast.Interactive]
    last: ast.expr | None


def divide(tree: ast.Module, interactivity: str, *, wants_value: bool) -> Units:
    """Return the parts of a cell.

    Args:
        tree: the cell; it is changed.
        interactivity: IPython's `ast_node_interactivity`: "all", "last", "last_expr_or_assign" or "none"; also for
            "none" the value of the last expression is the value of the task.
        wants_value: of the last expression.
    """
    body = tree.body
    if not wants_value:
        return Units([tree], None)
    if interactivity == "last_expr_or_assign" and body and (target := _assigned_name(body[-1])) is not None:
        read = ast.copy_location(ast.Name(target.id, ast.Load()), target)
        body.append(ast.copy_location(ast.Expr(read), target))
    end = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    last = end.value if isinstance(end, ast.Expr) else None
    if interactivity == "all":
        return Units([ast.Interactive([statement]) for statement in body], last)
    if interactivity == "last" and last is None and body:
        shown = ast.Interactive([body.pop()])
        return Units([tree, shown], None)
    return Units([tree], last)


def _assigned_name(statement: ast.stmt) -> ast.Name | None:
    """Return the name to which the statement assigns; `None` if there are none or several."""
    match statement:
        case ast.Assign(targets=[ast.Name() as target]):
            return target
        case ast.AugAssign(target=ast.Name() as target):
            return target
        case ast.AnnAssign(target=ast.Name() as target, value=ast.expr()):
            return target
    return None
