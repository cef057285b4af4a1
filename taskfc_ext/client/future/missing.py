"""Search for the name that a failed task missed: one that this process has, and that was not sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taskfc_ext.protocol.payloads import Failure, Reason

_MISSING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:name|variable|identifier|symbol) ['\"`]?(\w+)['\"`]? (?:is|was) (?:not defined|undefined|not found)",
        r"module ['\"]__main__['\"] has no attribute ['\"](\w+)",
        r"cannot import name ['\"](\w+)['\"] from ['\"]__main__['\"]",
        r"can't get attribute ['\"](\w+)['\"] on <module ['\"]__main__['\"]",
        r"\b(?:table|relation|view)\b(?: with name|:)? ['\"`]?(\w+)['\"`]? (?:does not exist|(?:was )?not found)",
        r"\bno such table: (\w+)",
        r"\b(?:unknown|undefined) (?:name|variable|identifier|symbol|table):? ['\"`]?(\w+)",
        r"\bcould not find (?:function|name|variable) ['\"`]?(\w+)",
    )
)
"""Texts in which Python, pandas, patsy, DuckDB, SQLite, Polars and line_profiler name what they have not found."""

_OF_IPYTHON = frozenset(("exit", "quit", "get_ipython", "display", "In", "Out"))

_KEY = re.compile(r"['\"]([A-Za-z_]\w*)['\"]")

_LOOKS_UP = re.compile(r"\b(?:globals|locals|vars)\(\)|\b(?:local|global)_dict\b|\buser_ns\b|\bf_(?:globals|locals)\b")
"""Source lines from which a `KeyError` is a missing variable, not a missing column."""


def note_of_missing(failure: Failure, here: Mapping[str, Any], sent: Sequence[str] | None = None) -> str:
    """Return the sentence that names a variable which the task missed and this process has; else empty.

    Args:
        failure: of the task.
        here: the variables of this process, in a notebook the notebook's.
        sent: the names that a cell was sent with; `None` where that is not known.
    """
    if failure.reason is not Reason.ERROR:
        return ""
    for name in _missing(failure):
        if name in here and name not in (sent or ()) and name not in _OF_IPYTHON and not name.startswith("__"):
            if sent is None:
                way = "name it in the code, send it with `-i`, or pass it as an argument"
            else:
                way = f"`-i {','.join([*sent, name])}`"
            where = "in the notebook" if "get_ipython" in here else "here"
            return f"`{name}` exists {where} and was not sent: {way}"
    return ""


def _missing(failure: Failure) -> Iterable[str]:
    if failure.type_name in ("KeyError", "builtins.KeyError"):
        if _LOOKS_UP.search(failure.traceback) and (match := _KEY.fullmatch(failure.message)):
            yield match[1]
        return
    for pattern in _MISSING:
        yield from pattern.findall(failure.message)
