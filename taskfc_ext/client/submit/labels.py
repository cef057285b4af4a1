"""The names of code in lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from taskfc_ext.text import encodable

_MAX_LABEL = 80

_IMPORT = re.compile(r"(import|from)\s")

_NOT_TELLING = ("#", "%", "!", "@")
"""Beginnings of comments, magics, shell commands and decorators."""


def label_of(function: Callable[..., Any]) -> str:
    """Return a function's name in lists."""
    function = getattr(function, "func", function)  # a functools.partial
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return shorten(encodable(str(name)).rpartition("<locals>.")[2])


def label_of_source(source: str) -> str:
    """Return the name of code in lists: its first line that is not a comment, a magic, an import or a decorator.

    If it has no other lines, its first one.
    """
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    first = next(_telling_lines(lines), lines[0] if lines else "")
    return shorten(encodable(first)) or "empty"


def shorten(label: str) -> str:
    """Return a label of at most the length that a message may have."""
    return label[:_MAX_LABEL]


def _telling_lines(lines: Iterable[str]) -> Iterator[str]:
    in_brackets = goes_on = False  # of an import
    for line in lines:
        code = line.partition("#")[0].rstrip()
        if in_brackets or goes_on or _IMPORT.match(line):
            in_brackets = (in_brackets or "(" in code) and ")" not in code
            goes_on = code.endswith("\\")
        elif not line.startswith(_NOT_TELLING):
            yield line
