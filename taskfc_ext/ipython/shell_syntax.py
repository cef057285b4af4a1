"""What a line of `!` or `%` hides in a text: expanded names, and code of magics that run code. Pure.

IPython turns such lines into calls on `get_ipython()` whose arguments are strings; this reads them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

_RUN_CODE = frozenset(("time", "timeit", "prun", "memit", "mprun", "lprun", "capture", "debug"))
"""Magics whose text, after their options, is code that runs in the cell's namespace."""

_DEFINE_ANYTHING = frozenset(("run", "pylab", "store", "load_ext", "R", "sql", "bash", "script", "sh"))
"""Magics that may bind names that their text does not show."""

_OPTIONS = re.compile(r"(?:-\w+(?:[ \t]*\d+)?[ \t]+|--\w[\w-]*[ \t]+)*")
_BRACES = re.compile(r"\{([^{}]+)\}")
_DOLLAR = re.compile(r"\$([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one such call uses and does.

    `expanded`: names that IPython fills into the text where they exist (`$name`, `{expression}`).
    `code`: statements that run in the cell's namespace. `binds`: names that the magic itself binds.
    """

    expanded: frozenset[str] = frozenset()
    code: tuple[ast.stmt, ...] = ()
    binds: frozenset[str] = frozenset()
    defines_anything: bool = False


def embedded(node: ast.Call, transform: Callable[[str], str]) -> Embedded | None:
    """Return what a call made of `!` or `%` hides; `None` for any other call."""
    function = node.func
    if not (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "get_ipython"
    ):
        return None
    constants = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
    texts = [text for text in constants if isinstance(text, str)]
    match function.attr, texts:
        case ("system" | "getoutput" | "getoutput_with_output", [text]):
            return Embedded(expanded_names(text))
        case ("run_line_magic", [name, line]):
            return _magic(name, line, _OPTIONS.sub("", line, count=1), transform)
        case ("run_cell_magic", [name, line, body]):
            return _magic(name, line, body, transform)
    return None


def _magic(name: str, line: str, code: str, transform: Callable[[str], str]) -> Embedded:
    if name not in _RUN_CODE:
        return Embedded(expanded_names(line), defines_anything=name in _DEFINE_ANYTHING)
    try:
        statements = tuple(ast.parse(transform(code)).body)
    except SyntaxError:
        return Embedded(expanded_names(line))
    outputs = re.findall(r"(?<!\S)[A-Za-z_]\w*", line) if name == "capture" else []
    return Embedded(code=statements, binds=frozenset(outputs))


def expanded_names(text: str) -> frozenset[str]:
    """Return the names in `$name` and `{expression}`; the shell's own `$HOME` and `{a,b}` look the same."""
    names = set(_DOLLAR.findall(text))
    for expression in _BRACES.findall(text):
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except SyntaxError:
            continue
        names.update(leaf.id for leaf in ast.walk(tree) if isinstance(leaf, ast.Name))
    return frozenset(names)
