"""Parsers of the values that arguments of `%task` and `%%task` take. Pure.

Each raises an `argparse.ArgumentTypeError` for a text that it does not understand; its message is shown.
"""

from __future__ import annotations

import argparse
import ast
import keyword
import re
from collections.abc import Callable

from taskfc_ext.protocol.limits import MAX_SECONDS, TASK_NAME
from taskfc_ext.protocol.resources import parse_size
from taskfc_ext.tasks import parse_resources
from taskfc_ext.view import selection
from taskfc_ext.view.selection import Selection


def names(text: str) -> tuple[str, ...]:
    """Return the names of variables in `text`, separated by commas."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in found:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise argparse.ArgumentTypeError(f"{name!r} is not a variable name")
    return found


def names_or_all(text: str) -> tuple[str, ...]:
    """Return the names of variables in `text`; "*" stands for every name that the cell binds or changes."""
    parts = [part.strip() for part in text.split(",")]
    found = names(",".join(part for part in parts if part != "*"))
    return ("*", *found) if "*" in parts else found


def variable(text: str) -> str:
    """Return `text` if it is the name of one variable."""
    found = names(text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"takes one name, not {text!r}")
    return found[0]


def expression(text: str) -> str:
    """Return `text` if it can be the body of a lambda of `properties`."""
    try:
        ast.parse(text.strip(), mode="eval")
        compile(as_lambda(text), "<--depend>", "eval")
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise argparse.ArgumentTypeError(f"{text!r} is not a Python expression: {why}") from None
    return text


def as_lambda(text: str) -> str:
    """Return the source of an expression as a function of a worker's `properties`."""
    return f"lambda properties: (\n{text.strip()}\n)"  # on a line of its own, as it may end in a comment


def dotted_names(text: str) -> tuple[str, ...]:
    """Return the names in `text`, separated by commas, which may have modules before them."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in found:
        names(name.replace(".", ","))
    return found


def parse_selection(text: str) -> Selection:
    """Return the tasks in `text`: ids, ranges and names, separated by commas.

    Raises:
        argparse.ArgumentTypeError: a part is not one of these.
    """
    try:
        return selection.parse_selection(text)
    except selection.BadSelection as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def task_name(text: str) -> str:
    """Return `text` if it can be the name of a task."""
    if not re.fullmatch(TASK_NAME, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a task name; use a letter or _, then letters, digits, . _ - (at most 100)"
        )
    return text


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return value


def seconds_from_0(text: str) -> float:
    """Return a number of seconds from 0."""
    try:
        return 0.0 if float(text) == 0 else seconds(text)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, not {text!r}") from None


def size(text: str) -> int:
    """Return the bytes of a size: 500M, 8G, 1.5GiB."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be {error}") from None


def amounts(text: str) -> dict[str, int]:
    """Return the amounts of own resources in `text`: `NAME=N`, separated by commas."""
    try:
        return parse_resources(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
        return value

    return parse
