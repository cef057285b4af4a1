"""Completions on a line of `%task` or `%%task`. Pure: a cell and a place in it become words.

All words come from the tables; an argument's values from its parser. An expression gets the notebook's names and
builtins; in the body of a cell Python is completed. Where a value is free there are no candidates, and no Python.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from taskfc_ext.ipython.parse import values
from taskfc_ext.ipython.parse.grammar import split_verb
from taskfc_ext.ipython.parse.tables import SUBMISSION, VERBS
from taskfc_ext.view.argument import Argument


class Candidate(NamedTuple):
    """A word that may stand there, and its kind, which front ends show beside it."""

    word: str
    kind: str


class Found(NamedTuple):
    """The candidates, best first, and the text before the cursor that they replace; the metavar of a free value."""

    replaces: str
    candidates: list[Candidate]
    expects: str = "value"


class Names(Protocol):
    """Names that only the notebook and its farm know; each is asked for only where it fits."""

    def tasks(self) -> Sequence[str]:
        """Return names and ids of tasks, and variables that hold a future, those of this notebook first."""
        ...

    def variables(self) -> Sequence[str]:
        """Return the names of the notebook that can be sent."""
        ...

    def functions(self) -> Sequence[str]:
        """Return the functions and classes of the notebook."""
        ...

    def exceptions(self) -> Sequence[str]:
        """Return the names of exception types."""
        ...

    def bound_by(self, body: str) -> Sequence[str]:
        """Return the names that a cell binds."""
        ...

    def farms(self) -> Sequence[str]:
        """Return the names of farms."""
        ...


_LINE = re.compile(r"\s*(?:[\w.,\[\] ]*=\s*)?%task\s+(.*)", re.DOTALL)
_CELL = re.compile(r"%%task\s+(.*)", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Place(NamedTuple):
    """A place on a line of ours: the text of the line before it, and the body of the cell if it is `%%task`."""

    text: str
    body: str | None


def find_place(cell: str, row: int, column: int) -> Place | None:
    """Return the place on a line of `%task` or `%%task` at the cursor; `None` elsewhere.

    Args:
        cell: the whole text.
        row: the line of the cursor, from 0.
        column: the characters before it on that line.
    """
    lines = cell.split("\n")
    begin = row
    while begin and lines[begin - 1].rstrip().endswith("\\"):
        begin -= 1
    text = " ".join([*(line.rstrip().removesuffix("\\") for line in lines[begin:row]), lines[row][:column]])
    if match := _LINE.match(text):
        return Place(match[1], None)
    if (match := _CELL.match(text)) and not any(line.strip() for line in lines[:begin]):
        end = row
        while end < len(lines) - 1 and lines[end].rstrip().endswith("\\"):
            end += 1
        return Place(match[1], "\n".join(lines[end + 1 :]))
    return None


def complete(cell: str, row: int, column: int, names: Names) -> Found | None:
    """Return what may end the word at the cursor; `None` where Python is completed.

    Args:
        cell: the whole text.
        row: the line of the cursor, from 0.
        column: the characters before it on that line.
        names: the names that it may be.
    """
    place = find_place(cell, row, column)
    if place is None or re.search(r"['\"]", _QUOTED.sub("", place.text)):
        return None
    last = re.split(r"\s", place.text)[-1]
    before = place.text.removesuffix(last)
    if place.body is not None:
        return _arguments("%%task", SUBMISSION, before, last, names, place.body)
    if not before.strip() and re.fullmatch(r"\w*", last):
        found = _starting(last, [*_kind("verb", VERBS), *(_kind("name", _python(names)) if last else [])])
        return found if found.candidates else None
    verb, rest = split_verb(before)
    if verb is None or verb == "run":
        return _expression(place.text, names)
    return _arguments(verb, VERBS[verb].arguments, rest, last, names, "")


def _expression(text: str, names: Names) -> Found | None:
    """Return the names that may end an expression: jedi understands no line of a magic."""
    word = re.search(r"(?<![\w.])[^\W\d]\w*$", text)
    return _starting(word[0], _kind("name", _python(names))) if word else None


def _python(names: Names) -> list[str]:
    return [name for name in (*names.variables(), *dir(builtins)) if name not in VERBS]


def _arguments(
    topic: str, arguments: Sequence[Argument], before: str, last: str, names: Names, body: str
) -> Found | None:
    options, pending = _read(arguments, before)
    flag, equals, value = last.partition("=")
    if flag.startswith("-") and equals:
        wanted = _option(arguments, flag)
        return None if wanted is None else _starting(value, _values(topic, wanted, names, body), wanted)
    if last.startswith("-"):
        return _starting(last, _flags(arguments, options))
    if pending is not None:
        return _starting(last, _values(topic, pending, names, body), pending)
    found = [word for each in arguments if not _is_option(each) for word in _values(topic, each, names, body)]
    flags = _flags(arguments, options) if not last else []
    # a cell's first words are options: its name is new
    return _starting(last, [*flags, *found] if topic == "%%task" else [*found, *flags])


def _read(arguments: Sequence[Argument], text: str) -> tuple[set[str], Argument | None]:
    """Return the options in `text`, and the one whose value comes next."""
    given: set[str] = set()
    pending: Argument | None = None
    for word in re.sub(r"\s*,\s*", ",", _QUOTED.sub("x", text)).split():
        if pending is not None:
            pending = pending if word.endswith(",") else None
            continue
        option = _option(arguments, word.partition("=")[0]) if word.startswith("-") else None
        if option is not None:
            given.update(option.flags)
            takes_value = option.settings.get("action") != "store_true"
            pending = option if takes_value and "=" not in word else None
    return given, pending


def _option(arguments: Iterable[Argument], flag: str) -> Argument | None:
    return next((each for each in arguments if flag in each.flags), None)


def _is_option(argument: Argument) -> bool:
    return argument.flags[0].startswith("-")


def _flags(arguments: Iterable[Argument], given: set[str]) -> list[Candidate]:
    return _kind("option", (flag for each in arguments if _is_option(each) for flag in each.flags if flag not in given))


def _values(topic: str, argument: Argument, names: Names, body: str) -> list[Candidate]:
    """Return the possible values of an argument, by its choices or its parser; none where they are free."""
    if choices := argument.settings.get("choices"):
        return _kind("value", choices)
    if argument.flags[0] == "verb":
        return _kind("verb", VERBS)
    if argument.flags[0] == "--name" or topic == "use":
        return _kind("farm", names.farms())
    kinds: dict[object, tuple[str, Callable[[], Sequence[str]]]] = {
        values.parse_selection: ("task", names.tasks),
        values.task_name: ("task", lambda: [name for name in names.tasks() if re.fullmatch(r"[^\W\d][\w.-]*", name)]),
        values.names: ("name", names.variables),
        values.names_or_all: ("name", lambda: [*names.bound_by(body), "*"] if topic == "%%task" else []),
        values.variable: ("function", names.functions),
        values.dotted_names: ("class", names.exceptions),
    }
    kind, find = kinds.get(argument.settings.get("type"), ("", list))
    return _kind(kind, find())


def _kind(kind: str, words: Iterable[str]) -> list[Candidate]:
    return [Candidate(word, kind) for word in words]


def _starting(last: str, candidates: Iterable[Candidate], argument: Argument | None = None) -> Found:
    """Return the candidates that begin like the part of `last` after a comma, without those before it."""
    *chosen, part = last.split(",")
    words = [each for each in candidates if each.word.startswith(part) and each.word not in chosen]
    return Found(part, words, argument.settings.get("metavar", "value") if argument is not None else "value")
