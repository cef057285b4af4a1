"""Names and code in the text of a line of `!` or `%`. Pure.

IPython turns such lines into calls of methods of `get_ipython()` with strings as arguments, which are read here.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_RUN_CODE = {
    "time": "",
    "timeit": "nrp",
    "prun": "DlsT",
    "memit": "rti",
    "mprun": "fT",
    "lprun": "fmDTsu",
    "capture": "",
    "debug": "b",
    "python": "",
    "pyinstrument": "",
    "scalene": "",
}
"""Magics whose text is code that runs in the cell's namespace, with their short options that take a value."""

_SET_UP_FIRST = frozenset(("timeit", "prun"))
"""Cell magics whose line, after the options, is code too: it runs before the cell."""

_NAMED_IN_OPTIONS = {"lprun": "fm", "mprun": "f", "R": "ico", "Rpush": "", "julia": "i"}
"""Options of magics whose value is a name, or names separated by commas."""

_INSPECT = frozenset(("pinfo", "pinfo2", "pdoc", "pdef", "psource", "pfile", "store", "xdel", "edit", "Rpush", "dirs"))
"""Magics whose text is names, with attributes."""

_DEFINE_ANYTHING = frozenset(("run", "pylab", "store", "load_ext", "R", "sql", "bash", "script", "sh"))
"""Magics that may bind names that their text does not show."""

_OPTION = re.compile(r"\s*(?:--([\w-]+)(?:=(\S+))?|-([A-Za-z])(\S*))(?=\s|$)")
_VALUE = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|\S+)")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_BRACES = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")
_DOLLAR = re.compile(r"(?<!\$)\$([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Embedded:
    """Names and code of one call.

    Attributes:
        expanded: names that IPython fills into the text if they exist (`$name`, `{expression}`).
        named: names that the magic looks up itself: in its options (`%lprun -f f`), or as its subject (`f?`).
        code: statements that run in the cell's namespace.
        binds: names that the magic itself binds.
        defines_anything: the magic may bind names that its text does not show.
        text: arguments of a magic that is not known to run code; some take SQL.
    """

    expanded: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    code: tuple[ast.stmt, ...] = ()
    binds: frozenset[str] = frozenset()
    defines_anything: bool = False
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MagicUse:
    """A magic that a cell uses: `kind` is "line" or "cell"."""

    kind: str
    name: str


def read_shell_call(node: ast.Call, transform: Callable[[str], str]) -> Embedded | None:
    """Return the names and the code of a call that was made from `!` or `%`; `None` for any other call."""
    match _shell_call(node):
        case ("system" | "getoutput" | "getoutput_with_output", [text]):
            return Embedded(expanded_names(text))
        case ("run_line_magic", [name, line]):
            return _magic(name, line, None, transform)
        case ("run_cell_magic", [name, line, body]):
            return _magic(name, line, body, transform)
    return None


def magics_in(tree: ast.AST, transform: Callable[[str], str] = str) -> Iterator[MagicUse]:
    """Yield the magics that the code in `tree` calls, also within cells of cell magics."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            method, texts = _shell_call(node)
            if method in ("run_line_magic", "run_cell_magic") and texts:
                yield MagicUse("cell" if method == "run_cell_magic" else "line", texts[0])
                call = read_shell_call(node, transform)
                for statement in call.code if call else ():
                    yield from magics_in(statement, transform)


def _shell_call(node: ast.Call) -> tuple[str, list[str]]:
    """Return the method of `get_ipython()` that is called, and its texts; nothing for any other call."""
    function = node.func
    if not (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Call)
        and isinstance(function.value.func, ast.Name)
        and function.value.func.id == "get_ipython"
    ):
        return "", []
    constants = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
    return function.attr, [text for text in constants if isinstance(text, str)]


def _magic(name: str, line: str, body: str | None, transform: Callable[[str], str]) -> Embedded:
    options, rest = _split_options(name, line)
    names = {word for option, value in options for word in _option_names(name, option, value)}
    if name in _INSPECT:
        names |= set(_NAME.findall(rest))
    if name in _RUN_CODE:
        code = _code_of(name, rest, body, transform)
        if code is not None:
            outputs = _NAME.findall(line) if name == "capture" else []
            return Embedded(expanded_names(line), frozenset(names), tuple(code), frozenset(outputs))
    binds = {word for option, value in options if (name, option) == ("R", "o") for word in _NAME.findall(value)}
    return Embedded(
        expanded_names(line),
        frozenset(names),
        binds=frozenset(binds),
        defines_anything=name in _DEFINE_ANYTHING,
        text=(line,) if body is None else (line, body),
    )


def _code_of(name: str, rest: str, body: str | None, transform: Callable[[str], str]) -> list[ast.stmt] | None:
    """Return the statements that the magic runs; `None` if they are not Python."""
    if body is None:
        parts = [rest]
    elif name in _SET_UP_FIRST:
        parts = [rest, body]
    else:
        parts = [body]
    try:
        return [statement for part in parts for statement in ast.parse(transform(part)).body]
    except SyntaxError:
        return None


def _split_options(name: str, line: str) -> tuple[list[tuple[str, str]], str]:
    """Return the options at the start of a magic's line, with their values, and the rest of the line."""
    with_value = _RUN_CODE.get(name, "") + _NAMED_IN_OPTIONS.get(name, "")
    found: list[tuple[str, str]] = []
    rest = line
    while match := _OPTION.match(rest):
        long, given, short, attached = match.groups()
        rest = rest[match.end() :]
        if long is None and short in with_value and not attached and (value := _VALUE.match(rest)):
            attached = value[1]
            rest = rest[value.end() :]
        found.append((long or short, given or attached or ""))
    return found, rest.lstrip()


def _option_names(name: str, option: str, value: str) -> list[str]:
    return _NAME.findall(value) if option in _NAMED_IN_OPTIONS.get(name, "") else []


def called_name(node: ast.Call) -> str:
    """Return the name of the function or method that is called; empty if it has none."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def words(text: str) -> frozenset[str]:
    """Return the words of a table that is written as text."""
    return frozenset(text.split())


def expanded_names(text: str) -> frozenset[str]:
    """Return the names in `$name` and `{expression}`; the shell's own `$HOME` and `{a,b}` look the same."""
    names = set(_DOLLAR.findall(text))
    for expression in {*_BRACES.findall(text), *_fields(text)}:
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except SyntaxError:
            continue
        names.update(leaf.id for leaf in ast.walk(tree) if isinstance(leaf, ast.Name))
    return frozenset(names)


def _fields(text: str) -> list[str]:
    """Return the expressions of a format, without conversions and formats (`{x!r:>8}`)."""
    try:
        return [field for _, field, _, _ in string.Formatter().parse(text) if field]
    except ValueError:
        return []
