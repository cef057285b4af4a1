"""Hints for what was mistyped: the name that was most likely meant. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

MEANT = "; did you mean "
"""How each hint begins."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean ...?" where one of `known` is close to `word`, else nothing."""
    near = nearest(word, known)
    return f"{MEANT}{near}?" if near else ""


def or_else(problem: str, also: str) -> str:
    """Return `problem` with one more "; did you mean ...?", as one question where it asks already."""
    if also and MEANT in problem and problem.endswith("?"):
        return f"{problem[:-1]}, or {also.removeprefix(MEANT)}"
    return f"{problem}{also}"


def nearest(word: str, known: Sequence[str]) -> str:
    """Return what `word` most likely was to be, empty where nothing is near: what it begins goes before all else."""
    begun = [each for each in known if each.startswith(word)] if len(word) > 2 else []
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return near[0] if near else ""


ELSEWHERE = {
    "cancel": "abort",
    "kill": "abort",
    "delete": "clear",
    "remove": "clear",
    "rm": "clear",
    "ls": "status",
    "ps": "status",
    "logs": "log",
    "rerun": "retry",
    "resubmit": "retry",
    "resume": "release",
    "pause": "hold",
}
"""What other tools call a verb of ours."""
