"""Completions after `%task` and `%%task`. Pure: the text before the cursor becomes words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from taskfc_ext.ipython.parse.grammar import split_verb
from taskfc_ext.ipython.parse.tables import SUBMISSION, VERBS
from taskfc_ext.view.argument import Argument

_TAKE_TASKS = frozenset(name for name, verb in VERBS.items() if any(a.flags == ("tasks",) for a in verb.arguments))


def complete(text: str, task_names: Callable[[], Sequence[str]]) -> list[str]:
    """Return the words that may end `text`; none inside an expression.

    Args:
        text: the line up to the cursor.
        task_names: returns ids and names of tasks; called only where they fit.
    """
    match = re.match(r"\s*(?:.*=\s*)?(%%?)task\s+(.*)", text, re.DOTALL)
    if match is None:
        return []
    words = re.split(r"[\s,]+", match[2])
    last, before = words[-1], words[:-1]
    if match[1] == "%%":
        return _cell_words(last, before, task_names)
    if not before:
        return [name for name in VERBS if name.startswith(last)]
    verb, _ = split_verb(match[2].removesuffix(last))
    if verb not in VERBS:
        return []
    if last.startswith("-"):
        return _flags(VERBS[verb].arguments)
    if verb == "help":
        return list(VERBS)
    return list(task_names()) if verb in _TAKE_TASKS else []


def _cell_words(last: str, before: Sequence[str], task_names: Callable[[], Sequence[str]]) -> list[str]:
    if last.startswith("-"):
        return _flags(SUBMISSION)
    options = [word for word in before if word.startswith("-")]
    if options and options[-1] == "--after":
        return list(task_names())
    return ["retry", "fail"] if before and before[-1] == "--on-lost" else []


def _flags(arguments: Sequence[Argument]) -> list[str]:
    return [flag for argument in arguments for flag in argument.flags if flag.startswith("-")]
