"""Data of a card for pages that draw it live, in its output beside its saved HTML and text.

A page that knows the type draws the card from the state of the farm; any other one shows the saved form.
"""

from __future__ import annotations

from msgspec import Struct

CARD_TYPE = "application/vnd.taskfc.card+json"
"""MIME type of a `TaskCard`."""

GROUP_TYPE = "application/vnd.taskfc.group+json"
"""MIME type of a `GroupOfTasks`."""

MAX_RANGES = 1000
"""Ranges of ids in a card of a group; with more, a page shows the saved form."""

CARD_VERSION = 1
"""Version of `TaskCard` and `GroupOfTasks`. A page shows the saved form of a card of another version."""

OF_CARD = "taskfc_card"
"""Key in the metadata of outputs that belong to a card, with its id: a page that draws the card hides them."""


class TaskCard(Struct, frozen=True, kw_only=True):
    """The card of one task, as its kernel saw it last.

    Attributes:
        card: id of the card, which the outputs beneath it have in their metadata.
        farm: name of the task's farm.
        submitted: wall-clock seconds; tells the task from one of the same id in a fresh store.
        title: the task's name, or the label of its code.
        state: as the card shows it.
        as_of: wall-clock seconds of that.
    """

    version: int = CARD_VERSION
    card: str
    farm: str
    taskid: int
    submitted: float
    title: str
    state: str
    as_of: float


class GroupOfTasks(Struct, frozen=True, kw_only=True):
    """The card of a group of tasks, as its kernel saw it last.

    Attributes:
        card: id of the card, which its buttons have in their metadata.
        farm: name of the tasks' farm.
        ranges: the first and the last id of each range of tasks.
        submitted: wall-clock seconds of the client; tells the tasks from those of the same ids in a fresh store.
        title: the map, with the name of its function.
        state: as the card shows it.
        as_of: wall-clock seconds of that.
    """

    version: int = CARD_VERSION
    card: str
    farm: str
    ranges: tuple[tuple[int, int], ...]
    submitted: float
    title: str
    state: str
    as_of: float
