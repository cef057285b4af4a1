"""Tasks as people type them, in the terminal and in magics: ids, ranges of ids and names, separated by commas. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from taskfc_ext.protocol.limits import TASK_NAME
from taskfc_ext.protocol.owners import split_name

Selection = tuple[range | str, ...]
"""Tasks as they were typed: ids as ranges (`3` is `range(3, 4)`), names as text, `NOTEBOOK:NAME` with its notebook."""

_IDS = re.compile(r"(\d{1,15})(?:-(\d{1,15}))?", re.ASCII)


class BadSelection(ValueError):
    """A text that names no tasks; the message is one line for people."""


def parse_selection(text: str) -> Selection:
    """Return the tasks that `text` names.

    Raises:
        BadSelection: a part of it is not an id, a range or a name.
    """
    return tuple(_parse_part(part.strip()) for part in text.split(",") if part.strip())


def _parse_part(part: str) -> range | str:
    if match := _IDS.fullmatch(part):
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise BadSelection(f"the range {part} runs backwards")
        return range(first, last + 1)
    notebook, name = split_name(part)
    if re.fullmatch(TASK_NAME, name) or (notebook is None and name.isidentifier()):
        return part
    raise BadSelection(f"{part!r} is not a task id, a range or a name")


def format_ranges(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Return ranges of ids as `parse_selection` takes them, each for itself: `3-7`, `9`."""
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]


def count_ids(selection: Selection) -> int:
    """Return how many ids a selection has; names are not counted."""
    return sum(part.stop - part.start for part in selection if isinstance(part, range))


def names_one(selection: Selection) -> bool:
    """Tell whether a selection names a single task: the answer is then one value and not a list."""
    return len(selection) == 1 and (isinstance(selection[0], str) or len(selection[0]) == 1)
