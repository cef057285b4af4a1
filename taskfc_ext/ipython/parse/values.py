"""The values that arguments of `%task` and `%%task` take, read from text. Pure.

Each raises an `argparse.ArgumentTypeError` for a text that it does not understand; its message is the answer.
"""

from __future__ import annotations

import argparse
import ast
import keyword
from collections.abc import Callable

from taskfc_ext.view import selection
from taskfc_ext.view.selection import TASK_NAME, Selection


def names(text: str) -> tuple[str, ...]:
    """Return the names of variables in `text`, which commas separate."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in found:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise argparse.ArgumentTypeError(f"{name!r} is no name of a variable")
    return found


def names_or_all(text: str) -> tuple[str, ...]:
    """Return the names of variables in `text`; "*" among them stands for all that the cell binds or changes."""
    parts = [part.strip() for part in text.split(",")]
    found = names(",".join(part for part in parts if part != "*"))
    return ("*", *found) if "*" in parts else found


def variable(text: str) -> str:
    """Return the one name of a variable that `text` is."""
    found = names(text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"one name, not {text!r}")
    return found[0]


def expression(text: str) -> str:
    """Return `text` if it is an expression that a lambda of `properties` may have."""
    try:
        ast.parse(text.strip(), mode="eval")
        compile(as_lambda(text), "<--depend>", "eval")
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise argparse.ArgumentTypeError(f"{text!r} is no Python expression: {why}") from None
    return text


def as_lambda(text: str) -> str:
    """Return the source of the function of a worker's `properties` that an expression stands for."""
    return f"lambda properties: (\n{text.strip()}\n)"  # on lines of its own: it may end in a comment


def dotted_names(text: str) -> tuple[str, ...]:
    """Return the names, with their modules where they have one, in `text`, which commas separate."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in found:
        names(name.replace(".", ","))
    return found


def parse_selection(text: str) -> Selection:
    """Return the tasks that `text` names: ids, ranges and names, separated by commas.

    Raises:
        argparse.ArgumentTypeError: a part of it is none of these.
    """
    try:
        return selection.parse_selection(text)
    except selection.BadSelection as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def task_name(text: str) -> str:
    """Return `text` if a task can be called so."""
    if not TASK_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name: a letter or _, then letters, digits, . _ - (100 at most)"
        )
    return text


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text!r}")
    return value


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"a whole number from {least} to {most}, not {text!r}")
        return value

    return parse
