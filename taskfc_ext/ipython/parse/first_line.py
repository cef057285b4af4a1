"""Words of a line of options: continued lines, comments, lists with spaces, values filled in. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator

from taskfc_ext.ipython.parse.requests import BadUsage

Expand = Callable[[str], str]
"""Fills values into a word, for `{x}` and `$x`."""


def words_of(prog: str, text: str, expand: Expand = str) -> list[str]:
    """Return the words of `text`, without a comment, and without IPython's `;` at the end of a line of `%task`.

    Args:
        prog: the name of the magic in messages.
        text: the line after the magic.
        expand: fills values into each word, except the code of `--depend`, whose braces are Python's.

    Raises:
        BadUsage: a quote is not closed, or a value cannot be filled in.
    """
    text = without_comment(text)
    words = _split(prog, text if prog == "%%task" else text.rstrip().rstrip(";"))
    try:
        return [word if is_code else expand(word) for word, is_code in _mark_code(words)]
    except BadUsage as problem:
        raise BadUsage(f"{prog}: {problem}") from None


def _split(prog: str, text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadUsage(f"{prog}: {str(error).lower()}") from None
    joined: list[str] = []
    for word in words:  # `-o a, b` is one list, `{T * 2}` one value
        if joined and (joined[-1].endswith(",") or word.startswith(",")):
            joined[-1] += word
        elif joined and _is_open(joined[-1]):
            joined[-1] += f" {word}"
        else:
            joined.append(word)
    return joined


def _is_open(word: str) -> bool:
    return word.count("{") > word.count("}") and " " not in word.partition("{")[0]


def _mark_code(words: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each word, and whether it is the code of `--depend`."""
    is_code = False
    for word in words:
        yield word, is_code or word.startswith("--depend=")
        is_code = word == "--depend"


def without_comment(text: str) -> str:
    """Return `text` up to a `#` after a space and outside quotes."""
    quote = ""
    for i, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "#" and (i == 0 or text[i - 1].isspace()):
            return text[:i]
    return text


def joined_lines(line: str, cell: str) -> tuple[str, str]:
    """Return the first line of a cell, joined with the lines that a `\\` continues, and the rest."""
    while line.rstrip().endswith("\\") and without_comment(line) == line:
        following, _, cell = cell.partition("\n")
        line = f"{line.rstrip()[:-1]} {following.strip()}"
    return line, cell
