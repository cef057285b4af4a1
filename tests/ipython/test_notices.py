"""The line that tells, once, that tasks have ended which nobody waited for."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.client.future.future import FINISHED
from taskfc_ext.errors import ControllerStopped
from taskfc_ext.ipython.notices import EndedTask, ids_of, write_notice
from tests.ipython.conftest import future_on


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        ([], ""),
        ([EndedTask(3, "", "succeeded")], "task 3 has ended: succeeded"),
        ([EndedTask(3, "fit", "failed", "ValueError: no\ndata")], "task 3 fit has ended: failed: ValueError: no data"),
        (
            [
                *(EndedTask(taskid, "", "succeeded") for taskid in (3, 4)),
                EndedTask(5, "fit", "failed", "ValueError: no data"),
            ],
            "tasks 3-5 have ended: 2 succeeded, 1 failed (task 5 fit: ValueError: no data)",
        ),
        (
            [EndedTask(i, "", "failed", "E: x") for i in range(5)],
            "tasks 0-4 have ended: 5 failed (task 0: E: x; task 1: E: x; task 2: E: x; and 2 more)",
        ),
        ([EndedTask(1, "", "aborted"), EndedTask(3, "", "succeeded")], "tasks 1, 3 have ended: 1 succeeded, 1 aborted"),
        ([EndedTask(1, "\x1b[31mred", "failed", "y" * 200)], f"task 1 red has ended: failed: {'y' * 119}…"),
    ],
)  # fmt: skip
def test_the_line(tasks: list[EndedTask], line: str) -> None:
    assert write_notice(tasks) == line


@pytest.mark.parametrize(
    ("ids", "text"),
    [([3], "tasks 3"), ([5, 3, 4, 9], "tasks 3-5, 9"), (range(0, 20, 2), "10 tasks (0-18)")],
)
def test_ids_are_written_as_people_do(ids: Any, text: str) -> None:
    assert ids_of(ids) == text


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], shell: Any) -> Any:
    """Runs a cell and returns what was printed of ends."""

    def run(cell: str) -> list[str]:
        capsys.readouterr()
        shell.ip.run_cell(cell)
        return [line for line in capsys.readouterr().out.splitlines() if "ended" in line]

    return run


def test_a_notice_comes_once_after_the_last_end_and_the_next_cell(lines: Any, farm: Any) -> None:
    assert lines("%%task fit\n1") == []
    assert lines("x = %task 2") == []
    farm.fail(0, ValueError("no data"))
    assert lines("1") == []
    farm.succeed(1)
    n_asked, n_looks = len(farm.asked), farm.n_looks
    assert lines("2") == ["tasks 0-1 have ended: 1 succeeded, 1 failed (task 0 fit: ValueError: no data)"]
    assert lines("3") == []
    assert (len(farm.asked), farm.n_looks) == (n_asked, n_looks), "nobody is asked"


@pytest.mark.parametrize(
    "look", ["fit.result()", "fit.exception()", "fit.ns", "%task result 0", "%task wait", "%task wait 0",
             "%task pull fit", "%task show 0"],
)  # fmt: skip
def test_tasks_whose_end_the_user_has_seen_are_left_out(lines: Any, farm: Any, look: str) -> None:
    lines("%%task fit\n1")
    farm.succeed(0)
    assert lines(look) == []
    assert lines("1") == []


def test_a_wait_for_some_leaves_the_news_of_the_others(lines: Any, farm: Any) -> None:
    lines("%%task fit\n1")
    lines("%%task plot\n1")
    farm.succeed(0)
    farm.succeed(1)
    assert lines("fit.result()") == ["task 1 plot has ended: succeeded"]


def test_a_wait_that_was_in_vain_is_none(lines: Any, farm: Any) -> None:
    lines("%%task fit\n1")
    assert lines("try:\n    fit.result(0)\nexcept TimeoutError:\n    pass") == []
    farm.succeed(0)
    assert lines("1") == ["task 0 fit has ended: succeeded"]


@pytest.mark.parametrize("look", ["%task result fit", "%task show fit", "%task pull fit"])
def test_the_task_of_another_farm_with_the_same_number_is_reported(
    lines: Any, farm: Any, shell: Any, look: str
) -> None:
    lines("%%task fit\n1")
    lines("%%task plot\n1")
    farm.succeed(1)
    other = future_on("night", farm.futures[1], taskid=1)
    payload, facts = farm._ends[1]
    other._settle(FINISHED, payload=payload, facts=facts)
    shell.ns["fit"] = other
    lines(look)
    farm.succeed(0)
    assert lines("1") == ["tasks 0-1 have ended: 2 succeeded"]


def test_a_retried_task_whose_result_was_read_is_left_out(lines: Any, farm: Any) -> None:
    lines("%%task fit\n1")
    farm.fail(0, ValueError("no data"))
    lines("fit.exception()")
    lines("%task retry fit")
    farm.succeed(1)
    assert lines("fit.result()") == []
    assert lines("1") == []


def test_abort_marks_all_its_tasks_as_seen(lines: Any, farm: Any) -> None:
    lines("%%task fit\n1")
    lines("%%task plot\n1")
    farm.succeed(0)
    lines("%task abort fit,plot")
    assert lines("1") == []


def test_tasks_that_end_in_their_own_cell_are_left_out(lines: Any, farm: Any) -> None:
    farm.flush = lambda *_: farm.succeed(0, 7)
    assert lines("%%task fit\n7") == []
    assert lines("1") == []


def test_aborted_tasks_are_reported_and_given_up_ones_are_not(lines: Any, farm: Any) -> None:
    lines("%%task fit\n1")
    lines("%%task plot\n1")
    farm.abort(0)  # by somebody else
    farm.futures[1]._settle_with(ControllerStopped("the farm was stopped"))
    assert lines("1") == ["task 0 fit has ended: aborted"]


def test_it_can_be_switched_off(lines: Any, farm: Any) -> None:
    lines("%config TaskMagics.notify = False")
    lines("%%task fit\n1")
    farm.succeed(0)
    assert lines("1") == []
    lines("%config TaskMagics.notify = True")
    assert lines("1") == [], "it is no news any more"


@pytest.fixture
def notices(live_shell: Any) -> Any:
    """Runs a cell in a notebook and returns the notices that it has shown, wherever they are."""

    def run(cell: str) -> list[str]:
        before = len(live_shell.shown)
        live_shell.ip.run_cell(cell)
        return [text for text in live_shell.texts()[before:] if "ended" in text]

    return run


def test_a_card_that_lives_shows_the_end_and_no_notice_repeats_it(notices: Any, farm: Any) -> None:
    notices("%%task fit\n1")
    farm.fail(0, ValueError("no data"))
    assert notices("1") == []
    notices("%task retry 0")
    farm.succeed(1)
    assert notices("1") == []


def test_tasks_without_a_card_are_reported_under_their_own_cell(
    notices: Any, farm: Any, live_shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher, hooks = live_shell.ip.display_pub, []
    publisher.register_hook, publisher.unregister_hook = hooks.append, lambda hook: None
    for number in (1, 2):
        publisher.parent_header = {"msg_id": f"cell {number}"}
        assert notices(f"x{number} = %task {number}") == []
    publisher.parent_header = {"msg_id": "cell 3"}
    farm.fail(1, ValueError("no data"))
    assert notices("1") == ["task 1 has ended: failed: ValueError: no data"], "the other cell's goes on"
    assert hooks.pop()({})["parent_header"] == {"msg_id": "cell 2"}
    farm.succeed(0)
    assert notices("1") == ["task 0 has ended: succeeded"]
    assert hooks.pop()({})["parent_header"] == {"msg_id": "cell 1"}
    assert notices("1") == []
    assert "ended" not in capsys.readouterr().out


def test_without_live_cards_a_notice_is_shown_in_a_notebook_too(notices: Any, farm: Any) -> None:
    notices("%config TaskMagics.live_cards = False")
    notices("%%task fit\n1")
    farm.succeed(0)
    assert notices("1") == ["task 0 fit has ended: succeeded"]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_a_line_that_cannot_be_made_harms_no_cell(lines: Any, farm: Any, shell: Any) -> None:
    lines("%%task fit\n1")
    farm.fail(0, ValueError("no data"))
    farm.futures[0]._decode()
    farm.futures[0]._value.error = Unprintable()
    assert lines("x = 5") == []
    assert shell.ns["x"] == 5
