"""What is said of tasks that have ended, and that it is said once."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.client.options import Options
from taskfc_ext.errors import ControllerStopped
from taskfc_ext.ipython.notices import Notices, ranges


def submitted(farm: Any, notices: Notices, name: str | None = None) -> Any:
    future = farm.add("1", Options(name=name))
    notices.submitted(future)
    return future


@pytest.fixture
def notices() -> Notices:
    return Notices()


def test_a_batch_is_told_of_once_when_the_last_has_ended(farm: Any, notices: Notices) -> None:
    for _ in range(4):
        submitted(farm, notices)
    submitted(farm, notices, "fit")
    assert notices.after_cell("%%task", {}) == ""
    for taskid in range(3):
        farm.succeed(taskid)
    farm.abort(3)
    assert notices.after_cell("x = 1", {}) == ""  # one is open
    farm.fail(4, ValueError("no\ndata"))
    said = "tasks 0-4 have ended: 3 succeeded, 1 failed, 1 aborted (task 4 fit: ValueError: no data)"
    assert notices.after_cell("x = 1", {}) == said
    assert notices.after_cell("x = 1", {}) == ""


def test_a_single_task(farm: Any, notices: Notices) -> None:
    submitted(farm, notices, "fit")
    notices.after_cell("%%task fit", {})
    farm.fail(0, ValueError("no"))
    assert notices.after_cell("x = 1", {}) == "task 0 fit has ended: failed: ValueError: no"


def test_what_ends_in_the_cell_that_submits_it_is_on_its_card(farm: Any, notices: Notices) -> None:
    submitted(farm, notices, "fit")
    farm.succeed(0)
    assert notices.after_cell("%%task fit --wait", {}) == ""
    assert notices.after_cell("x = 1", {}) == ""


@pytest.mark.parametrize(
    "cell",
    [
        "fit.result()",
        "y = 2 * fit.ns.y",
        "%task show fit",
        "%task result 0",
        "x = 1\n%task wait",
        "%task",
        "%task status --all",
        "%task history",
    ],
)
def test_who_looks_is_not_told(farm: Any, notices: Notices, cell: str) -> None:
    submitted(farm, notices, "fit")
    notices.after_cell("%%task fit", {})
    farm.succeed(0)
    assert notices.after_cell(cell, {}) == ""
    assert notices.after_cell("x = 1", {}) == ""


@pytest.mark.parametrize("cell", ["t.result()", "[each.result() for each in several]"])
def test_who_looks_at_a_variable_is_not_told(farm: Any, notices: Notices, cell: str) -> None:
    future = submitted(farm, notices)
    notices.after_cell("t = %task 1", {})
    farm.succeed(0)
    assert notices.after_cell(cell, {"t": future, "several": [future], "x": 3}) == ""


@pytest.mark.parametrize("cell", ["fitting()", "outfit.result()", "%task workers", "%task abort 1", ""])
def test_who_looks_at_something_else_is(farm: Any, notices: Notices, cell: str) -> None:
    submitted(farm, notices, "fit")
    notices.after_cell("%%task fit", {})
    farm.succeed(0)
    assert notices.after_cell(cell, {}) == "task 0 fit has ended: succeeded"


def test_a_look_at_what_still_runs_is_no_look_at_its_end(farm: Any, notices: Notices) -> None:
    submitted(farm, notices, "fit")
    notices.after_cell("%%task fit", {})
    assert notices.after_cell("%task hold fit", {}) == ""
    farm.succeed(0)
    assert notices.after_cell("x = 1", {}) == "task 0 fit has ended: succeeded"


def test_what_the_farm_did_not_tell_is_not_told(farm: Any, notices: Notices) -> None:
    future = submitted(farm, notices)
    notices.after_cell("%%task", {})
    future._settle_with(ControllerStopped("the farm was stopped"))
    assert notices.after_cell("x = 1", {}) == ""


def test_of_many_failures_the_first_are_named(farm: Any, notices: Notices) -> None:
    for _ in range(5):
        submitted(farm, notices)
    notices.after_cell("%%task", {})
    for taskid in range(5):
        farm.fail(taskid, KeyError("x" * 200))
    said = notices.after_cell("x = 1", {})
    assert said.startswith("tasks 0-4 have ended: 5 failed (task 0: KeyError: 'xxx")
    assert said.endswith("…; and 2 more)")
    assert len(said) < 500


@pytest.mark.parametrize(
    ("taskids", "said"),
    [
        ([3], "tasks 3"),
        ([3, 4, 5, 9], "tasks 3-5, 9"),
        ([1, 3, 5, 7, 9, 11], "6 tasks"),
    ],
)
def test_ranges(taskids: list[int], said: str) -> None:
    assert ranges(taskids) == said


def test_it_is_printed_after_the_next_cell(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%task fit\n1")
    farm.succeed(0, 42)
    capsys.readouterr()
    shell.run("x = 1")
    assert capsys.readouterr().out == "task 0 fit has ended: succeeded\n"
    shell.run("%config TaskMagics.notify = False\nt = %task 2")
    farm.succeed(1)
    shell.run("x = 1")
    assert "has ended" not in capsys.readouterr().out
