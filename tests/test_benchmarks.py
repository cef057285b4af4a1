"""The benchmarks run; how fast is for `make bench` to say, on a machine that does nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.measures.notebook import EMPTY, System, measure_load
from benchmarks.picture import draw
from benchmarks.plan import GROUPS, SMOKE
from benchmarks.promises import PROMISES, Promise, verdicts
from benchmarks.publish import BEGIN, END, insert, tables
from benchmarks.reliability import of_runs
from benchmarks.report import TABLES, costs, figures, table
from benchmarks.results import Results, Row, load
from benchmarks.rounds import Cell, run_rounds
from benchmarks.systems import OURS

SPAWN = "import subprocess; process = subprocess.Popen(['cat'], stdin=subprocess.PIPE, start_new_session=True)"
"""Ends with the kernel, whose end of the pipe it reads from."""

ROOT = Path(__file__).resolve().parent.parent


def test_every_measure_of_this_project_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke"], cwd=ROOT, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submit + flush + results" in done.stdout
    assert "100 x 1 MB there and back" in done.stdout
    assert "balance, 1 to 50 ms" in done.stdout
    for quantity in ("queued_bytes", "closure_copies", "submit_client_us", "map_us_at_100", "restart_s", "idle_mb"):
        assert f"{quantity} " in done.stdout
    assert "flowing_p99_us " in done.stdout
    assert "worker_killed_right 20" in done.stdout
    assert "submitting adds to a cell" in done.stdout
    assert "a task ends until the widget says so" in done.stdout
    assert "Jupyter server, 10 ends/s" in done.stdout


@pytest.mark.parametrize(("source", "started"), [(EMPTY, 0), (SPAWN, 1)], ids=["nothing", "something"])
def test_loading_is_seen_to_start_processes(
    source: str, started: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    assert measure_load(System(load=source, start="", submit="", stop=""), 1)["load_processes"] == started


def test_a_promise_is_met_missed_or_not_measured() -> None:
    results = _results(
        {OURS: {"rate": 600.0, "wait": 3.1}, "Pool": {"rate": 100.0, "wait": 1.0}},
        {OURS: {"rate": 500.0}, "Pool": {"rate": 50.0}},
    )
    promises = [
        Promise("as it is", "rate", 550, at_least=True),
        Promise("of a peer's", "rate", 7.34, at_least=True, peer="Pool"),
        Promise("at most", "wait", 3, peer="Pool"),
        Promise("of another", "wait", 0.0062, base="rate"),
        Promise("behind", "rate", 400, peer="Pool", is_difference=True),
        Promise("absent here", "room", 1),
        Promise("absent there", "rate", 1, peer="dask"),
    ]
    assert _rows(verdicts(results, "promises", promises)) == [
        ["as it is", "≥ 550", "550 [500-600]", "met"],
        ["of a peer's", "≥ 7.34", "7.33 [6-10]", "MISSED"],
        ["at most", "≤ 3", "3.1", "MISSED"],
        ["of another", "≤ 0.0062", "0.00564", "met"],
        ["behind", "≤ 400", "475 [450-500]", "MISSED"],
        ["absent here", "≤ 1", "", "not measured"],
        ["absent there", "≤ 1", "", "not measured"],
    ]


def test_each_promise_has_a_measure_that_gives_its_quantity() -> None:
    shown = {quantity for columns in TABLES.values() for quantity in columns}
    sources = "\n".join(path.read_text() for path in (ROOT / "benchmarks" / "measures").glob("*.py"))
    for promise in chain.from_iterable(PROMISES.values()):
        ways = promise.quantity.replace("map_", "{way}_").replace("submit_", "{way}_")
        stem = re.sub(r"_(client|controller|workers)_us$|_at_\d+$|^(sleep|burn|hold)_", "", ways)
        assert promise.quantity in shown or stem in sources, promise


def test_each_planned_cell_is_in_the_module_that_it_names() -> None:
    for cell in chain(SMOKE, *GROUPS.values()):
        module = ROOT.joinpath(*cell.script.split(".")).with_suffix(".py")
        assert re.search(rf"^def {cell.measure}\(", module.read_text(), re.MULTILINE), cell


def test_a_figure_has_the_range_of_its_rounds() -> None:
    results = _results(
        {OURS: {"cold_s": 1.0}}, {OURS: {"cold_s": 3.0}}, {OURS: {"cold_s": 2.0}, "dask": {"p50_us": 5.0}}
    )
    assert _rows(figures(results, "systems", {"cold_s": ("cold", "{:.1f}")})) == [[OURS, "2.0 [1.0-3.0]"]]
    assert figures(results, "systems", {"balance": ("balance", "{:.1f}")}) == ""


def test_results_are_read_back_and_a_cell_measured_again_replaces_its_row(tmp_path: Path) -> None:
    results = _results({OURS: {"cold_s": 1.0}}, {OURS: {"cold_s": 3.0}})
    results.save(tmp_path / "build" / "figures.json")
    again = load(tmp_path / "build" / "figures.json")
    assert again == results
    again.add(Row(2, OURS, "measure", {"cold_s": 5.0}, 0.1))
    assert again.by_round(OURS, "cold_s") == {1: 1.0, 2: 5.0}


def test_a_file_without_results_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"machine": 5}')
    with pytest.raises(ValueError, match=r"other\.json has no results of benchmarks: .*machine"):
        load(file)


MEASURE = """
import json, sys
_, system, measure, n = sys.argv
if system == "broken":
    sys.exit("no such thing")
print("progress")
print(json.dumps({"items": int(n)}))
"""


def test_rounds_are_interleaved_and_a_broken_cell_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "measure_of_a_test.py").write_text(MEASURE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cells = [Cell(system, "count", n, "measure_of_a_test") for system, n in ((OURS, 1), ("broken", 2), ("dask", 3))]
    results, lines = Results("here", "today"), list[str]()
    n_saved = sum(1 for _ in run_rounds(cells, 2, results, lines.append))
    assert [(row.round, row.system, row.figures["items"]) for row in results.rows] == [
        *((1, OURS, 1), (1, "dask", 3), (2, OURS, 1), (2, "dask", 3))
    ]
    assert (n_saved, results.n_failed) == (4, 2)
    assert lines[1] == "round 1: broken count failed: no such thing"
    assert lines[5].startswith("  6/6  0:00 left  round 2/2  dask")


def test_tables_and_picture_come_from_the_figures_alone(tmp_path: Path) -> None:
    results = _results(
        {OURS: {"tasks_per_s": 600.0, "map_us_at_100": 9.0, "map_us_at_1000": 8.0}, "dask": {"tasks_per_s": 3.0}},
        {OURS: {"tasks_per_s": 500.0}},
    )
    page = insert(f"before\n{BEGIN}\nfigures of last year\n{END}\nafter\n", tables(results))
    assert insert(page, tables(results)) == page
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    assert (before, after) == ("before\n", "\nafter\n")
    assert "today, 2 rounds, medians [smallest-largest]. here." in written
    assert "last year" not in written
    for line in (
        r"\| taskfc_ext +\| +550 \[500-600\]",
        r"\| 1,000 +\| +8\.0 ",
        r"/ dask's +\| +≥ 300 \| +183 .*MISSED",
    ):
        assert re.search(line, written), line
    draw(results, tmp_path / "picture.svg")
    picture = (tmp_path / "picture.svg").read_text()
    assert "ProcessPoolExecutor" not in picture
    for text in ("taskfc_ext", "dask", ">550<", "not measured", "more is better"):
        assert text in picture
    draw(results, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == picture


@pytest.mark.parametrize("page", ["no marks", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        insert(page, "figures")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--systems", "dusk"], "'dusk' is not one of taskfc_ext, "),
        (["--measures", "latency,speed"], "'speed' is not one of throughput, "),
        (["--groups", "all"], "'all' is not one of peers, alone"),
        (["--rounds", "0"], "--rounds 0: at least one is needed"),
        (["--add", "--json", "Makefile"], "Makefile has no results of benchmarks"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused_with_the_right_ones(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_cost_is_met_missed_or_only_told() -> None:
    figures: dict[str, float] = {}
    for measure, ratio in (("submit", 1.05), ("map", 1.11), ("cpu_cell", 3.0)):
        answer = {"before": 10.0, "after": 10 * ratio, "ratio": ratio, "low": 1.0, "high": 2.0}
        figures |= {f"{measure}_{of}": value for of, value in answer.items()}
    rows = _rows(costs(_results({OURS: figures}), OURS))
    assert [row[-1] for row in rows] == ["met", "MISSED", ""]
    assert rows[0][1:5] == ["10.0", "10.5", "≤ 1.05", "1.050 [1.00-2.00]"]


BURN = """
import os, pathlib, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # as the controller does
deadline = time.monotonic() + 60
while not pathlib.Path(sys.argv[1]).exists():
    assert time.monotonic() < deadline
"""


def test_a_process_that_blocks_all_signals_is_sampled(tmp_path: Path) -> None:
    environment = {
        "PYTHONPATH": str(ROOT / "benchmarks" / "sampler"),
        "TASKFC_SAMPLE": "pathlib",
        "TASKFC_SAMPLE_FILE": str(tmp_path / "samples.json"),
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])  # the child inherits it, as from a supervisor
    try:
        command = [sys.executable, "-c", BURN, tmp_path / "samples.json"]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert (done.returncode, done.stderr) == (0, "")
    samples = json.loads((tmp_path / "samples.json").read_text())
    assert any("<string>:<module>" in stack for stack in samples)


def test_tables_are_aligned() -> None:
    assert table(["what", "µs"], [["a", "1"], ["long name", "1,000"]]).splitlines() == [
        "| what      |    µs |",
        "|-----------|------:|",
        "| a         |     1 |",
        "| long name | 1,000 |",
    ]


def test_the_figures_of_several_runs_of_a_harness_are_added() -> None:
    runs: list[dict[str, object]] = [
        {"what": "storm", "seed": 3, "seconds": 10.2, "figures": {"tasks": 600, "worst, s": 0.5}, "problems": []},
        {"what": "storm", "seed": 4, "seconds": 20.0, "figures": {"tasks": 600, "worst, s": 0.7}, "problems": ["one"]},
    ]
    assert of_runs(runs).startswith("| storm, seeds 3 to 4, 30 s |")
    assert _rows(of_runs(runs)) == [["runs", "2"], ["tasks", "1,200"], ["broken promises", "one"]]
    assert _rows(of_runs(runs[:1])) == [["tasks", "600"], ["worst, s", "0.5"], ["broken promises", "none"]]


def _results(*rounds: dict[str, dict[str, float]]) -> Results:
    """Return results of one measure, with the figures of each system in each round."""
    rows = [
        Row(number, system, "measure", found, 0.1)
        for number, systems in enumerate(rounds, 1)
        for system, found in systems.items()
    ]
    return Results("here", "today", rows)


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
