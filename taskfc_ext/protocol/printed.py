"""The output of a task: text on stdout and stderr, in order."""

from __future__ import annotations

Printed = tuple[str, ...]
"""Pieces of the two streams in turn: stdout at even places, stderr at odd ones."""


def log_of(printed: Printed) -> str:
    """Return the text of both streams, in order."""
    return "".join(printed)


def stdout_of(printed: Printed) -> str:
    """Return the text on stdout."""
    return "".join(printed[::2])


def stderr_of(printed: Printed) -> str:
    """Return the text on stderr."""
    return "".join(printed[1::2])


def join_printed(before: Printed, more: Printed) -> Printed:
    """Return `before` followed by `more`."""
    if not before or not more:
        return before or more
    if len(before) % 2:  # it ends with stdout, and `more` begins with stdout
        return (*before[:-1], before[-1] + more[0], *more[1:])
    if not more[0] and len(more) > 1:
        return (*before[:-1], before[-1] + more[1], *more[2:])
    return before + more


def begins_with(printed: Printed, text: str) -> bool:
    """Return whether the output begins with `text`."""
    return next((piece for piece in printed if piece), "").startswith(text)


def whole_lines(printed: Printed) -> Printed:
    """Return all complete lines."""
    for place in reversed(range(len(printed))):
        end = printed[place].rfind("\n") + 1
        if end:
            return (*printed[:place], printed[place][:end])
    return ()


def tail(printed: Printed, limit: int) -> Printed:
    """Return the last `limit` characters."""
    room = limit
    for place in reversed(range(len(printed))):
        piece = printed[place]
        if len(piece) >= room:
            return (*([""] if place % 2 else []), piece[len(piece) - room :], *printed[place + 1 :])
        room -= len(piece)
    return printed
