"""The line of an interrupted wait."""

from __future__ import annotations

import pytest

from taskfc_ext.ipython.interrupts import text_of_interrupt


@pytest.mark.parametrize(
    ("taskids", "text"),
    [
        ([], "the wait has ended; what it waited for goes on"),
        ([7], "the wait has ended; task 7 goes on: `%task wait 7` waits again, `%task abort 7` stops it"),
        (
            [9, 3, 4, 5, 4],
            "the wait has ended; tasks 3-5, 9 go on: `%task wait 3-5,9` waits again, `%task abort 3-5,9` stops them",
        ),
    ],
)
def test_the_line_names_the_tasks_and_what_to_type(taskids: list[int], text: str) -> None:
    assert text_of_interrupt(taskids) == text
