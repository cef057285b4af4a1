"""Hints for mistyped words: the name that the user most likely meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskfc_ext.near_misses import OTHER_VERBS, nearest

MEANT = "; did you mean "
"""The beginning of each hint."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean ...?" if one of `known` is close to `word`, else nothing."""
    near = nearest(word, known)
    return f"{MEANT}{near}?" if near else ""


def or_else(problem: str, also: str) -> str:
    """Return `problem` with one more "; did you mean ...?", joined to its question if it has one."""
    if also and MEANT in problem and problem.endswith("?"):
        return f"{problem[:-1]}, or {also.removeprefix(MEANT)}"
    return f"{problem}{also}"


def public_names(namespace: Iterable[str]) -> list[str]:
    """Return the names that a hint may show, sorted."""
    return sorted(name for name in namespace if not name.startswith("_"))


ELSEWHERE = {**OTHER_VERBS, "ls": "status", "ps": "status"}
"""Names that other tools have for our verbs."""
