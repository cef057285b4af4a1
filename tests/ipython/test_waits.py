from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext import TasksFailed
from tests.ipython.test_magics import error_of


def failing(farm: Any, *taskids: int) -> None:
    for taskid in taskids:
        farm.fail(taskid, ValueError("no"))
        farm.set(taskid, message="ValueError: no\n")


def test_a_wait_raises_for_unsuccessful_tasks(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in ("%task 1", "%%task fit\n1", "%task 2"):
        shell.run(cell)

    def end() -> None:
        failing(farm, 1)
        farm.set(0, state="succeeded")
        farm.set(2, state="aborted", message="task 2 was aborted")

    farm.at_barrier = end
    capsys.readouterr()
    error = error_of(shell, "%task wait")
    text = "2 of 3 tasks did not succeed: task 1 fit (failed: ValueError: no), task 2 (aborted)"
    assert (type(error), str(error)) == (TasksFailed, text)
    assert error.taskids == (1, 2)
    assert capsys.readouterr().out == f"TasksFailed: {text}\n"  # none of our frames


def test_a_bare_wait_raises_once_for_earlier_failures(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    shell.run("%task 2")
    failing(farm, 0)
    farm.set(1, state="succeeded")
    assert str(error_of(shell, "%task wait")).startswith("1 of 1 task did not succeed: task 0 ")
    assert shell.run("%task wait") is None
    shell.run("%task 3")
    assert shell.run("%task wait") is None
    assert isinstance(error_of(shell, "%task wait 0,1"), TasksFailed)  # asked for, it is told again


def test_a_retry_counts_and_not_the_failure_before(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    failing(farm, 0)
    shell.run("%task retry 0")
    farm.set(1, state="succeeded")
    assert shell.run("%task wait") is None
    shell.run("%task retry 1")
    failing(farm, 2)
    assert str(error_of(shell, "%task wait")).startswith("1 of 1 task did not succeed: task 2 ")


def test_failures_of_older_kernels_and_other_notebooks_are_not_news(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    shell.run("%task 2")
    failing(farm, 0, 1)
    farm.set(0, submitted=shell.magics.session.since - 1)
    farm.set(1, owner="other.ipynb")
    for line in ("%task wait", "%task wait --all"):
        assert shell.ip.run_cell(line).success
    assert isinstance(error_of(shell, "%task wait 0"), TasksFailed)


def test_all_waits_for_others_and_raises_for_them(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    farm.set(0, owner="other.ipynb")
    farm.at_barrier = lambda: failing(farm, 0)
    assert isinstance(error_of(shell, "%task wait --all"), TasksFailed)


def test_a_long_list_is_cut(shell: Any, farm: Any) -> None:
    for _ in range(8):
        shell.run("%task 1")
    failing(farm, *range(8))
    assert str(error_of(shell, "%task wait 0-7")).endswith("task 4 (failed: ValueError: no), and 3 more")


def test_a_timeout_names_the_unfinished_tasks(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%task fit\n1")
    shell.run("%task 2")

    def expire() -> None:
        farm.set(1, state="succeeded")
        raise TimeoutError("tasks 0, 1 have not all ended after 2.0 s")

    farm.at_barrier = expire
    capsys.readouterr()
    error = error_of(shell, "%task wait --timeout 2")
    assert isinstance(error, TimeoutError)
    text = "1 of 2 tasks not ended after 2 s: task 0 fit (scheduled)"
    assert capsys.readouterr().out == f"TimeoutError: {text}\n"
