"""Telling futures from everything else in a notebook."""

from __future__ import annotations

import concurrent.futures


def is_future(value: object) -> bool:
    """Tell whether `value` is a task's future, without importing the client."""
    return isinstance(value, concurrent.futures.Future) and hasattr(type(value), "taskid")
