"""`%task map EXPR for NAME in ITEMS`: a task for each item of a comprehension, as one group."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskfc_ext.ipython.cell.shipping import choose
from taskfc_ext.ipython.notebook import Notebook
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.text import one_line

if TYPE_CHECKING:
    from taskfc_ext.client.group.group import TaskGroup

RIGHT_USE = "write `%task map fit(x) for x in xs`"

_MAX_LABEL = 60


def submit_map(notebook: Notebook, expression: str) -> TaskGroup[Any]:
    """Submit a task for each item, and return their group at once. The items are made here, the expressions there.

    Raises:
        BadUsage: it is not such an expression, a name is unknown, or the items cannot be made.
    """
    comprehension = _parse(expression)
    names = _names_of(comprehension)
    choose(f"({expression})", None, notebook.namespace, hidden=notebook.shell.user_ns_hidden)  # unknown names
    user_ns: dict[str, Any] = notebook.shell.user_ns
    namespace = user_ns if notebook.namespace is user_ns else dict(notebook.namespace)
    items = _make_items(comprehension, names, namespace)
    columns = [[item[at] for item in items] for at in range(len(names))]
    call = _make_function(notebook, names, ast.unparse(comprehension.elt), namespace)
    return notebook.session.client().map_async(call, *columns)


def _parse(expression: str) -> ast.GeneratorExp:
    try:
        parsed = ast.parse(f"({expression}\n)", mode="eval").body
    except SyntaxError as error:
        why = "it takes no options" if expression.startswith("-") else error.msg
        raise BadUsage(f"%task map: {why}; {RIGHT_USE}") from None
    if not isinstance(parsed, ast.GeneratorExp):
        raise BadUsage(f"%task map: {one_line(expression)!r} has no `for`; {RIGHT_USE}")
    return parsed


def _names_of(comprehension: ast.GeneratorExp) -> list[str]:
    """Return the names that the `for` clauses bind, in their order."""
    targets = [node for clause in comprehension.generators for node in ast.walk(clause.target)]
    if any(clause.is_async for clause in comprehension.generators) or any(
        isinstance(node, ast.Attribute | ast.Subscript | ast.Starred) for node in targets
    ):
        raise BadUsage(f"%task map: a `for` binds plain names here; {RIGHT_USE}")
    return list(dict.fromkeys(node.id for node in targets if isinstance(node, ast.Name)))


def _make_items(comprehension: ast.GeneratorExp, names: list[str], namespace: dict[str, Any]) -> list[tuple[Any, ...]]:
    values = ast.Tuple([ast.Name(name, ast.Load()) for name in names], ast.Load())
    tree = ast.Expression(ast.ListComp(values, comprehension.generators))
    code = compile(ast.fix_missing_locations(tree), "<%task map>", "eval")
    try:
        items: list[tuple[Any, ...]] = eval(code, namespace)
    except Exception as error:  # of the user's iterables and conditions
        raise BadUsage(f"%task map: the items raised {type(error).__name__}: {one_line(str(error))}") from error
    if not items:
        raise BadUsage("%task map: there are no items")
    return items


def _make_function(notebook: Notebook, names: list[str], call: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    source = f"lambda {', '.join(names)}: {call}"
    code = compile(source, notebook.shell.compile.cache(source), "eval")  # tracebacks show the line
    function: Callable[..., Any] = eval(code, namespace)
    function.__name__ = function.__qualname__ = call if len(call) <= _MAX_LABEL else f"{call[: _MAX_LABEL - 1]}…"
    return function
