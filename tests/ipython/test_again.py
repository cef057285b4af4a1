"""A cell that is run again while its task is unfinished."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import UsageError

from taskfc_ext.errors import VersionMismatch
from taskfc_ext.ipython.sessions import Session
from taskfc_ext.ipython.verbs.again import Choice
from taskfc_ext.ipython.welcome import welcome

REFUSED = (
    "%%task: task 0 (fit) of this cell is running, so nothing was submitted; "
    "`--replace` aborts it and runs this, `--beside` runs both"
)


def in_cell(shell: Any, cell_id: str) -> None:
    """Have the front end name the cell that runs from now on."""
    shell.ip.get_parent = lambda: {"metadata": {"cellId": cell_id}}


def error_of(shell: Any, cell: str) -> str:
    outcome = shell.ip.run_cell(cell)
    assert type(outcome.error_in_exec) is UsageError
    return str(outcome.error_in_exec)


@pytest.fixture
def running(live_shell: Any, farm: Any) -> Any:
    """A shell with a running task 0 of the cell *a*."""
    in_cell(live_shell, "a")
    live_shell.run("x = 1")
    live_shell.run("%%task fit\nx")
    farm.set(0, state="running")
    return live_shell


def states(farm: Any) -> list[str]:
    return [info.state for info in farm.infos]


def test_an_unfinished_task_is_shown_and_nothing_is_submitted(running: Any, farm: Any) -> None:
    n_shown = len(running.shown)
    assert error_of(running, "%%task fit\nx + 1  # edited") == REFUSED
    assert states(farm) == ["running"]
    assert "task 0 fit" in running.shown[n_shown]["data"]["text/plain"]
    assert running.ns["fit"] is farm.futures[0]


@pytest.mark.parametrize("way", ["flag", "config"])
def test_replace_aborts_all_tasks_of_the_cell(running: Any, farm: Any, way: str) -> None:
    running.run("%%task fit --beside\nx")
    if way == "config":
        running.run("%config TaskMagics.when_running = 'replace'")
    new = running.run("%%task fit" + (" --replace" if way == "flag" else "") + "\nx")
    assert states(farm) == ["aborted", "aborted", "scheduled"]
    assert running.ns["fit"] is new is farm.futures[2]


def test_beside_runs_both_and_does_not_look(running: Any, farm: Any) -> None:
    running.run("%config TaskMagics.when_running = 'beside'")
    running.run("%%task fit\nx")
    assert states(farm) == ["running", "scheduled"]


@pytest.mark.parametrize(
    "cell", ["%%task other\nx", "t = %task x + 1", "%%task fit --dry-run\nx", "%%task --everywhere\ny = 1"]
)
def test_what_is_no_run_of_this_cell_again(running: Any, farm: Any, cell: str) -> None:
    in_cell(running, "a" if "fit" in cell or "everywhere" in cell or "t =" in cell else "b")
    assert running.ip.run_cell(cell).success


def test_a_task_that_has_ended_is_no_reason_to_ask(running: Any, farm: Any) -> None:
    farm.succeed(0)
    assert running.run("%%task fit\nx") is farm.futures[1]


def test_tasks_of_one_run_of_a_cell_do_not_meet(live_shell: Any, farm: Any) -> None:
    in_cell(live_shell, "a")
    loop = "for i in range(3):\n    get_ipython().run_cell_magic('task', '', '2')"
    live_shell.run(loop)
    assert len(farm.infos) == 3
    assert "tasks 0, 1, 2 of this cell are unfinished" in error_of(live_shell, loop)


def test_without_cell_ids_a_cell_is_known_by_its_name_or_its_code(shell: Any, farm: Any) -> None:
    shell.run("%%task fit\n1")
    assert "task 0 (fit) of this cell" in error_of(shell, "%%task fit\n2")
    shell.run("%%task\n3")
    assert "task 1 of this cell" in error_of(shell, "%%task\n3")
    assert shell.run("%%task\n4") is farm.futures[2]


def test_where_nobody_can_be_asked_two_cells_may_have_the_same_code(live_shell: Any, farm: Any) -> None:
    live_shell.ip.kernel = type("Kernel", (), {"_allow_stdin": False})()
    live_shell.run("%%task\n3")
    assert live_shell.run("%%task\n3") is farm.futures[1]
    live_shell.magics.session.since += 3600  # as in the next run of the notebook
    assert "of this cell are unfinished" in error_of(live_shell, "%%task\n3")


@pytest.mark.parametrize(
    ("verb", "left"), [("replace", ["aborted", "scheduled"]), ("beside", ["running", "scheduled"])]
)
def test_a_click_submits_what_the_cell_was_when_it_ran(running: Any, farm: Any, verb: str, left: list[str]) -> None:
    running.run("x = 2")
    error_of(running, "%%task fit --retries 3\nx * 10")
    running.run("x = 3")
    choice = running.magics.session.offered["a"]
    future, said = choice.act(verb)
    assert states(farm) == left
    assert said.endswith("Task 1 was submitted.")
    assert (farm.submitted[1]["source"], farm.submitted[1]["names"]) == ("x * 10\n", {"x": 2})
    assert farm.submitted[1]["options"] == {"name": "fit", "retries": 3}
    assert running.run("fit") is future  # the next cell has it under the name
    assert not choice.is_open
    with pytest.raises(ValueError, match="this cell was submitted since"):
        choice.act(verb)


def test_a_run_of_the_cell_makes_the_earlier_choice_obsolete(running: Any, farm: Any) -> None:
    error_of(running, "%%task fit\nx")
    first = running.magics.session.offered["a"]
    error_of(running, "%%task fit\nx")
    second = running.magics.session.offered["a"]
    assert (first.is_open, second.is_open) == (False, True)
    running.run("%%task fit --beside\nx")
    assert not second.is_open


def test_a_choice_is_obsolete_when_the_task_has_ended(running: Any, farm: Any) -> None:
    error_of(running, "%%task fit\nx")
    choice: Choice = running.magics.session.offered["a"]
    farm.succeed(0)
    running.run("1")
    assert not choice.is_open


def test_contrary_options_are_refused(shell: Any) -> None:
    assert "give one of them" in error_of(shell, "%%task --replace --beside\n1")
    assert "--everywhere takes only" in error_of(shell, "%%task --replace --everywhere\n1")


def test_loading_beside_a_farm_of_another_version_is_quiet() -> None:
    def connect(name: str, owner: str) -> Any:
        raise VersionMismatch("this client speaks protocol 8, this controller 7")

    farms: Any = type("Farms", (), {"runs": lambda self, name: True, "connect": staticmethod(connect)})()
    assert welcome(Session(farms, "a.ipynb"), {}) == ""
