"""Names of variables in string constants: queries, formulas, SQL over a data frame, formats, code as text. Pure.

Such names are neither in a syntax tree nor in `co_names`, but the code reads them from its namespace. They are only
candidates: the caller keeps the names that exist in its namespace.
"""

from __future__ import annotations

import ast
import functools
import re
import string
from collections.abc import Iterable
from types import CodeType
from typing import NamedTuple

MAX_TEXT = 20_000
"""Longest constant in characters that is searched: a longer one is data."""

EVALUATORS = frozenset(
    ("eval", "exec", "evaluate", "re_evaluate", "timeit", "repeat", "Timer", "run", "runctx", "runcall", "ev", "ex")
)
"""Functions and methods that run a string as Python in the namespace of their caller."""

SQL_CALLS = frozenset(
    ("sql", "execute", "query", "sqldf", "read_sql", "read_sql_query", "query_df", "from_query", "sql_query")
)
"""Functions and methods that take SQL. Some libraries look up tables among their caller's variables."""

NAMESPACES = frozenset(("globals", "user_ns", "user_global_ns", "__main__"))
"""Names by which code gets the namespace of its module, in which it then looks up names by text."""

_MARKED = re.compile(r"(?<![\w.@])@([A-Za-z_]\w*)")
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_SQL = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*\(?\s*(?:select\b.*?\bfrom|with\b.*?\bas\s*\(|insert\s+into|update\b.*?\bset|delete\s+from"
    r"|create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?(?:table|view))\b",
    re.IGNORECASE | re.DOTALL,
)
_SHORT_SQL = re.compile(r"\s*(?:from|describe|summarize|pivot|unpivot|show|table|explain|copy)\b", re.IGNORECASE)
_TABLES = re.compile(
    r"\b(?:from|join|into|update|table|using|describe|summarize|pivot|unpivot|copy)\s+"
    r"((?:\"?[A-Za-z_]\w*\"?(?:\s+(?:as\s+)?[A-Za-z_]\w*)?\s*,\s*)*\"?[A-Za-z_]\w*)",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"%\(([A-Za-z_]\w*)\)")
_DOLLAR = re.compile(r"\$\{?([A-Za-z_]\w*)")
_CAUSES_WARNING = re.compile(r"\\(?!\n)|[0-9](?:and|or|if|in|is|not|else|for)\b")
_OPERATIONS = ast.BinOp | ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Call | ast.Subscript


class Mentions(NamedTuple):
    """Names in text.

    Attributes:
        plain: names that certainly mean a variable: marked as one, or in code that is run.
        likely: names in a text that looks like an expression or a formula; they may be columns instead.
    """

    plain: frozenset[str] = frozenset()
    likely: frozenset[str] = frozenset()

    def __or__(self, other: tuple[object, ...]) -> Mentions:
        assert isinstance(other, Mentions)
        return Mentions(self.plain | other.plain, self.likely | other.likely)


NOTHING = Mentions()


@functools.lru_cache(maxsize=4096)
def names_in_strings(code: CodeType) -> Mentions:
    """Return the names in the string constants of `code` and of the functions in it."""
    names = frozenset(code.co_names)
    looks_up, evaluates, takes_sql = bool(names & NAMESPACES), bool(names & EVALUATORS), bool(names & SQL_CALLS)
    found = NOTHING
    for text in _texts(code.co_consts):
        found |= names_in_text(text, looks_up=looks_up, evaluates=evaluates, takes_sql=takes_sql)
    if "__main__" in names:
        found |= Mentions(names - {"__main__"})  # they include the attributes that it reads of `__main__`
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= names_in_strings(constant)
    return found


def _texts(constants: Iterable[object]) -> Iterable[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple | frozenset):
            yield from _texts(constant)


def names_in_text(
    text: str, *, looks_up: bool = False, evaluates: bool = False, takes_sql: bool = False, is_operand: bool = True
) -> Mentions:
    """Return the names in one string.

    Args:
        text: the string.
        looks_up: its code reads its own namespace by text, so a word or a field of a format is a name.
        evaluates: its code runs strings as Python.
        takes_sql: its code runs SQL.
        is_operand: it is the argument of a call, so a library may evaluate it as an expression.
    """
    if not text or len(text) > MAX_TEXT:
        return NOTHING
    plain = set(_MARKED.findall(text)) if "@" in text else set()
    likely: set[str] = set()
    if looks_up:
        plain |= _names_to_look_up(text)
    if evaluates:
        plain |= _names_of_code(text.replace("@", ""))
    if _SQL.match(text) or (takes_sql and _SHORT_SQL.match(text)):
        plain |= _tables(text)
    elif _SHORT_SQL.match(text):
        likely |= _tables(text)
    elif "~" in text and _is_formula(text):
        likely |= set(_WORD.findall(_QUOTED.sub(" ", text)))
    elif is_operand:
        likely |= _operands(text)
    return Mentions(frozenset(plain), frozenset(likely - plain)) if plain or likely else NOTHING


def _is_formula(text: str) -> bool:
    """Return whether `text` is a formula as in patsy: `y ~ x`, `~ x`; `~/data` is a path."""
    left, _, right = text.partition("~")
    return "~" not in right and "\n" not in left and right[:1] != "/" and _WORD.search(right) is not None


def _names_to_look_up(text: str) -> set[str]:
    if text.isidentifier():
        return set() if text.startswith("__") else {text}
    found = {*_PERCENT.findall(text), *_DOLLAR.findall(text)}
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(text) if field]
    except ValueError:
        return found
    return found | {match[0] for field in fields if (match := _WORD.match(field))}


def _names_of_code(text: str) -> set[str]:
    tree = _parse(text, "exec")
    if tree is None:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _operands(text: str) -> set[str]:
    """Return the names of an expression that computes something; none for a word, a path or a sentence."""
    if not any(sign in text for sign in " (["):
        return set()
    tree = _parse(text, "eval")
    if not (isinstance(tree, ast.Expression) and isinstance(tree.body, _OPERATIONS)):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _parse(text: str, mode: str) -> ast.AST | None:
    """Return the syntax tree of `text`; `None` if it has none, or if Python would warn about the text."""
    if _CAUSES_WARNING.search(text):
        return None
    try:
        return ast.parse(text.strip(), mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _tables(text: str) -> set[str]:
    parts = [part for group in _TABLES.findall(text) for part in group.split(",")]
    return {match[0] for part in parts if (match := _WORD.search(part))}  # an alias may follow
