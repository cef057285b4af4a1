"""`%%task --everywhere`: a cell runs on every worker, with the names that it uses."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.errors import BroadcastFailed
from taskfc_ext.ipython.parse.grammar import parse_cell_line
from taskfc_ext.ipython.parse.requests import Submission
from taskfc_ext.ipython.sessions import Binding


def test_it_takes_names_and_a_dry_run() -> None:
    assert parse_cell_line("--everywhere -i a,b --dry-run") == Submission(
        everywhere=True, ship=("a", "b"), dry_run=True
    )


@pytest.mark.parametrize(
    ("n", "said"),
    [(2, "ran on 2 workers; workers that join later run it too\n"),
     (1, "ran on 1 worker; workers that join later run it too\n"),
     (0, "there is no worker yet; workers that join later run it too\n")],
)  # fmt: skip
def test_the_cell_goes_to_every_worker_with_its_names(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str], n: int, said: str
) -> None:
    farm.n_workers = n
    shell.ns["data"] = [1, 2]
    capsys.readouterr()
    assert shell.run("%%task --everywhere\nimport math\ntotal = sum(data)") is None
    assert capsys.readouterr().out == said
    assert ("broadcast", "import math\ntotal = sum(data)\n", {"data": [1, 2]}) in [
        (what, source.rstrip("\n") + "\n", names) for what, source, names in (a for a in farm.asked if len(a) == 3)
    ]
    assert farm.submitted == []


def test_a_dry_run_shows_the_names_and_starts_nothing(shell: Any, farm: Any) -> None:
    shell.ns["data"] = [1, 2]
    shell.run("%%task --everywhere --dry-run\ntotal = sum(data)")
    assert "data" in shell.texts()[-1]
    assert (farm.runs, farm.asked) == (False, [])


def test_a_future_is_refused(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%task fit\n1")
    capsys.readouterr()
    shell.run("%%task --everywhere\nx = fit")
    hint = "which --everywhere cannot send; bind its result() first"
    assert capsys.readouterr().err == f"UsageError: 'fit' holds a task's future, {hint}\n"
    assert not [asked for asked in farm.asked if asked[0] == "broadcast"]


def test_a_failure_is_one_line(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = "broadcast 1 failed on 1 of 2 workers: worker 1: ValueError: no data"
    farm.broadcast_error = BroadcastFailed(text, number=1)
    capsys.readouterr()
    shell.ip.run_cell("%%task --everywhere\nx = 1")
    assert capsys.readouterr().out.strip() == f"BroadcastFailed: {text}"


def test_a_busy_worker_does_not_delay_the_cell(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    farm.broadcast_error = TimeoutError("broadcast 1 has not run on all workers")
    capsys.readouterr()
    shell.run("%%task --everywhere\nx = 1")
    assert capsys.readouterr().out == (
        "some workers have not run it after 10 s; they run it before their next task; "
        "workers that join later run it too\n"
    )


@pytest.mark.parametrize(
    ("later", "stale"),
    [
        ("kk = 3", True),
        ("for kk in x: pass", True),
        ("(kk := 3)", True),
        ("from consts import kk", True),
        ("def kk(): pass", True),
        ("class kk: pass", True),
        ("squares = [kk * kk for kk in x]", False),
        ("def f():\n    kk = 3", False),
        ("kk + 1", False),
        ("kkk = 3", False),
        ("get_ipython().run_cell_magic('task', '--keep', 'kk = 3')", False),
        ("kk = = 3", False),
    ],
)
def test_a_name_that_the_notebook_has_rebound_is_sent(later: str, stale: bool) -> None:
    assert Binding(3, 1).is_stale("kk", ["kk = 3", later]) is stale
    assert not Binding(3, 2).is_stale("kk", ["kk = 3", later])


def test_its_names_are_known_only_to_cells_that_keep(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%task --everywhere\nimport math\ndef area(r): return math.pi * r * r")
    shell.run("%%task --everywhere\nlarge = area(9)")
    shell.run("%%task --keep\narea(3) + large")
    assert [(task["names"], task["keep"]) for task in farm.submitted] == [({}, True)]
    capsys.readouterr()
    shell.run("%%task\narea(3)")
    assert capsys.readouterr().err.startswith("UsageError: unknown name 'area'")
    shell.run("%task use other")
    shell.run("%%task --keep\narea(3)")
    assert len(farm.submitted) == 1
