"""The benchmarks run; how fast is for `make bench` to say, on a machine that does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.report import ratios, table
from benchmarks.rounds import Measured

ROOT = Path(__file__).resolve().parent.parent


def test_every_measure_of_this_project_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submit + flush + results" in done.stdout


def test_a_ratio_is_met_missed_or_not_measured() -> None:
    measured = Measured()
    for system, tasks_per_s, p50 in (("ours", 5000.0, 900.0), ("dask", 500.0, 1000.0), ("ipyparallel", 501.0, 1.0)):
        measured.add(system, {"tasks_per_s": tasks_per_s, "p50_us": p50})
    verdicts = [line.split("|")[-2].strip() for line in ratios(measured, "ours").splitlines()[2:]]
    assert verdicts == ["met", "MISSED", "not measured", "MISSED"]


def test_tables_are_aligned() -> None:
    assert table(["what", "µs"], [["a", "1"], ["long name", "1,000"]]).splitlines() == [
        "| what      |    µs |",
        "|-----------|------:|",
        "| a         |     1 |",
        "| long name | 1,000 |",
    ]
