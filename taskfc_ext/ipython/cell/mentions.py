"""Names that a cell takes from its namespace by text: `df.query("a > @x")`, `globals()["x"]`. Pure.

`serialize.mentioned` decides which names a string mentions, for the code of functions too; this module adds the place
of the string in the syntax tree of a cell.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from taskfc_ext.ipython.cell.shell_syntax import called_name, words
from taskfc_ext.serialize.mentioned import EVALUATORS, NAMESPACES, NOTHING, SQL_CALLS, Mentions, names_in_text

_PROSE = words(
    """print display input log debug info warn warning error critical exception title suptitle set_title xlabel ylabel
    set_xlabel set_ylabel set_label text annotate Markdown HTML Exception ValueError TypeError RuntimeError"""
)
"""Calls whose strings are text for people."""


_MENTIONING = frozenset((ast.Constant, ast.Attribute, ast.ImportFrom, ast.Call))


@dataclass(frozen=True, slots=True)
class TextUse:
    """Uses of text in one cell.

    Attributes:
        looks_up: the cell reads its namespace by text, so any word in its strings may be a name.
        evaluates: the cell runs text that is not written at that place, so any of its strings may be code.
        variables: the variables whose text is run.
        prose: strings for people, by `id` of their node.
    """

    looks_up: bool = False
    evaluates: bool = False
    variables: frozenset[str] = frozenset()
    prose: frozenset[int] = frozenset()

    def mentions(self, node: ast.AST) -> Mentions:
        """Return the names that this node alone takes by text, without the nodes in it."""
        if type(node) not in _MENTIONING:
            return NOTHING
        match node:
            case ast.Constant(value=str(text)) if id(node) not in self.prose:
                return names_in_text(text, looks_up=self.looks_up, evaluates=self.evaluates, is_operand=False)
            case ast.Attribute(value=value, attr=attribute) if _is_main(value):
                return Mentions(frozenset((attribute,)))
            case ast.ImportFrom(module="__main__", names=names):
                return Mentions(frozenset(alias.name for alias in names))
            case ast.Call():
                return _mentioned_by_call(node)
        return NOTHING


def text_use(tree: ast.AST) -> TextUse:
    """Return how the code in `tree` uses text."""
    looks_up, evaluates = False, False
    variables: set[str] = set()
    prose: set[int] = set()
    for node in ast.walk(tree):
        kind = type(node)
        if kind is ast.Name:
            looks_up |= node.id in NAMESPACES  # type: ignore[attr-defined]
        elif kind is ast.Attribute:
            looks_up |= node.attr in NAMESPACES  # type: ignore[attr-defined]
        elif kind is ast.Subscript:
            looks_up |= _is_main(node)  # type: ignore[arg-type]
        elif isinstance(node, ast.Call):
            name = called_name(node)
            if name in EVALUATORS:
                texts = [argument for argument in _arguments(node) if not isinstance(argument, ast.Constant)]
                variables.update(argument.id for argument in texts if isinstance(argument, ast.Name))
                evaluates |= bool(texts)
            elif name in _PROSE:
                prose.update(map(id, _arguments(node)))
            elif name in ("locals", "vars") and not node.args:
                looks_up = True
    return TextUse(looks_up, evaluates, frozenset(variables), frozenset(prose))


def names_in_value(text: str, *, is_run: bool) -> Mentions:
    """Return the names in the text of a variable: a formula or a query that an earlier cell has written."""
    return names_in_text(text, evaluates=is_run, is_operand=False)


def _mentioned_by_call(node: ast.Call) -> Mentions:
    name = called_name(node)
    if name in _PROSE:
        return NOTHING
    found = NOTHING
    for argument in _arguments(node):
        for text in _texts(argument):
            found |= names_in_text(text, evaluates=name in EVALUATORS, takes_sql=name in SQL_CALLS)
    return found


def _arguments(node: ast.Call) -> Iterable[ast.expr]:
    yield from node.args
    yield from (keyword.value for keyword in node.keywords)


def _texts(node: ast.expr) -> Iterable[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.List | ast.Tuple):
        for element in node.elts:
            yield from _texts(element)


def _is_main(node: ast.expr) -> bool:
    """Tell whether `node` is the cell's own module: `__main__`, `sys.modules["__main__"]`."""
    match node:
        case ast.Name(id="__main__"):
            return True
        case ast.Subscript(value=ast.Attribute(attr="modules"), slice=ast.Constant(value="__main__")):
            return True
        case ast.Subscript(value=ast.Attribute(attr="modules"), slice=ast.Name(id="__name__")):
            return True
    return False
