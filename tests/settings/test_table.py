"""The table of settings and its page in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskfc_ext.settings import TABLE, Entries, Items, Value

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def names_under(heading: str) -> list[str]:
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^- (.*)$", section, re.MULTILINE)


def test_the_page_lists_the_settings_that_end_with_a_task() -> None:
    assert names_under("Settings that end with a task") == [setting.name for setting in TABLE]


def test_the_page_lists_the_settings_that_are_sent() -> None:
    assert names_under("Settings that travel with a task") == [
        setting.name for setting in TABLE if setting.pack is not None
    ]


def test_every_setting_that_is_packed_is_unpacked_and_names_are_unique() -> None:
    assert all((setting.pack is None) == (setting.unpack is None) for setting in TABLE)
    assert len({setting.name for setting in TABLE}) == len(TABLE)


def nothing(*args: object) -> None:
    pass


@pytest.mark.parametrize(
    ("value", "before", "after", "expected"),
    [
        (["a", "b"], ["a", "b"], ["new", "a", "b"], ["new", "a", "b"]),
        (["a", "b"], ["a", "b"], ["a", "b", "new"], ["a", "b", "new"]),
        (["a", "b"], ["task's", "a", "b"], ["new", "task's", "a", "b"], ["new", "a", "b"]),
        (["a", "b"], ["a", "b"], ["b"], ["b"]),
        ([], [], ["new"], ["new"]),
    ],
)
def test_entries_made_by_an_import_are_merged_without_a_tasks_own(
    value: list[str], before: list[str], after: list[str], expected: list[str]
) -> None:
    assert Entries(name="x", read=nothing, write=nothing).merge(value, before, after) == expected


def test_earlier_entries_keep_their_places() -> None:
    assert Entries(name="x", read=nothing, write=nothing).keep(["mine", "a"], ["new", "a", "mine"]) == [
        "new",
        "mine",
        "a",
    ]


def test_items_made_by_an_import_are_merged_without_a_tasks_own() -> None:
    items = Items(name="x", read=nothing, write=nothing)
    assert items.merge({"a": 1}, {"a": 1, "task": 2}, {"a": 3, "task": 2, "new": 4}) == {"a": 3, "new": 4}
    assert items.merge({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}) == {"a": 1}


def test_a_value_set_by_an_import_is_merged() -> None:
    assert Value(name="x", read=nothing, write=nothing).merge(1, 1, 2) == 2
