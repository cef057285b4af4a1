from __future__ import annotations

import pytest

from taskfc_ext.errors import UnknownTasks
from taskfc_ext.view.steering import Steered, steer


def test_tasks_that_have_ended_are_left_out_and_the_rest_is_asked_again() -> None:
    asked: list[list[int]] = []

    def hold(taskids: list[int]) -> list[int]:
        asked.append(taskids)
        if ended := {3, 5}.intersection(taskids):
            raise UnknownTasks("no", taskids=tuple(ended))
        return [4]

    assert steer(hold, [3, 4, 3, 5, 6]) == Steered(done=[6], given=[4], ended=[3, 5])
    assert asked == [[3, 4, 5, 6], [4, 6]]


def test_an_error_about_other_tasks_is_raised() -> None:
    def hold(taskids: list[int]) -> list[int]:
        raise UnknownTasks("no", taskids=(9,))

    with pytest.raises(UnknownTasks):
        steer(hold, [3])
    assert steer(hold, []) == Steered([], [], [])
