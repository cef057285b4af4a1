"""The benchmarks run; how fast is for `make bench` to say, on a machine that does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.notebook import EMPTY, System, load
from benchmarks.report import TARGETS, costs, notebook, points, queue, ratios, table
from benchmarks.rounds import Measured

SPAWN = "import subprocess; process = subprocess.Popen(['cat'], stdin=subprocess.PIPE, start_new_session=True)"
"""Ends with the kernel, whose end of the pipe it reads from."""

ROOT = Path(__file__).resolve().parent.parent


def test_every_measure_of_this_project_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke"], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submit + flush + results" in done.stdout
    assert "100 x 1 MB there and back" in done.stdout
    assert "balance, 1 to 50 ms" in done.stdout
    assert "submitting adds to a cell" in done.stdout
    assert "a task ends until the widget says so" in done.stdout
    assert "Jupyter server, 10 ends/s" in done.stdout


@pytest.mark.parametrize(("source", "started"), [(EMPTY, 0), (SPAWN, 1)], ids=["nothing", "something"])
def test_loading_is_seen_to_start_processes(
    source: str, started: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    assert load(System(load=source, start="", submit="", stop=""), 1)["load_processes"] == started


def test_a_ratio_is_met_missed_or_not_measured() -> None:
    measured = Measured()
    for system, tasks_per_s, p50 in (("ours", 5000.0, 900.0), ("dask", 500.0, 1000.0), ("ipyparallel", 501.0, 1.0)):
        measured.add(system, {"tasks_per_s": tasks_per_s, "p50_us": p50})
    verdicts = [line.split("|")[-2].strip() for line in ratios(measured, "ours", TARGETS).splitlines()[2:]]
    assert verdicts == ["met", "MISSED", "not measured", "MISSED"]


@pytest.mark.parametrize(
    ("ours", "row"),
    [(96.5, ["≥ -1", "-1.0", "met"]), (96.4, ["≥ -1", "-1.1", "MISSED"]), (None, ["≥ -1", "", "not measured"])],
)
def test_a_balance_is_met_missed_or_not_measured(ours: float | None, row: list[str]) -> None:
    measured = Measured()
    measured.add("ProcessPoolExecutor", {"balance": 97.5})
    measured.add("ours", {} if ours is None else {"balance": ours})
    (line,) = points(measured, "ours").splitlines()[2:]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == row


def test_a_promise_of_the_notebook_is_met_missed_or_not_measured() -> None:
    measured = Measured()
    measured.add("ours", {"cell_ms": 31.0, "load_ms": 150.0, "load_processes": 0})
    measured.add("dask", {"cell_ms": 62.0})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in notebook(measured, "ours").splitlines()[2:]]
    assert [row[-1] for row in rows] == ["MISSED", "met", "met", *["not measured"] * 3]
    assert [row[-2] for row in rows[:2]] == ["0.5 of dask's", ""]


def test_a_promise_of_the_queue_is_met_missed_or_not_measured() -> None:
    measured = Measured()
    measured.add("ours", {"widget_dom_ms": 250.0, "sidebar_dom_ms": 250.1, "watched": 0.94})
    measured.add("ours", {"watched": 0.97})
    verdicts = [line.split("|")[-2].strip() for line in queue(measured, "ours").splitlines()[2:]]
    assert verdicts == ["met", "MISSED", *["not measured"] * 8, "met"]


def test_a_cost_is_met_missed_or_only_told() -> None:
    measured = Measured()
    for measure, ratio in (("submit", 1.05), ("map", 1.11), ("cpu_cell", 3.0)):
        answer = {"before": 10.0, "after": 10 * ratio, "ratio": ratio, "low": 1.0, "high": 2.0}
        measured.add("ours", {f"{measure}_{of}": value for of, value in answer.items()})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in costs(measured, "ours").splitlines()[2:]]
    assert [row[-1] for row in rows] == ["met", "MISSED", ""]
    assert rows[0][1:5] == ["10.0", "10.5", "≤ 1.05", "1.050 [1.00-2.00]"]


def test_tables_are_aligned() -> None:
    assert table(["what", "µs"], [["a", "1"], ["long name", "1,000"]]).splitlines() == [
        "| what      |    µs |",
        "|-----------|------:|",
        "| a         |     1 |",
        "| long name | 1,000 |",
    ]
