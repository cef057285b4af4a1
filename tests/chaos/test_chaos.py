"""The short form of `make chaos`, and what its judge finds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos import interrupts, load, notice, storm
from tests.chaos.client import Part, may_repeat, way_to_die
from tests.chaos.deaths import HARMLESS, WAYS
from tests.chaos.judge import GONE, Facts, judge
from tests.chaos.report import quantile


def test_nothing_is_lost_while_everything_is_killed(home: Path) -> None:
    kills = {"worker": 4, "controller": 2, "supervisor": 1, "client": 2}
    report = load.run(load.Plan(tasks=240, clients=2, workers=2, kills=kills, stops=1), 1, print)
    assert not report.problems
    assert report.figures["tasks accepted"] == 240
    assert [report.figures[f"SIGKILLs of {kind}s"] for kind in kills] == [4, 2, 1, 2]


def test_each_way_to_die_costs_its_task_one_execution(home: Path) -> None:
    plan = load.Plan(tasks=len(WAYS), clients=1, workers=2, kills={"worker": 0}, stops=0)
    report = load.run(plan, 1, print, deadly=1)
    assert not report.problems
    assert report.figures["tasks that took their worker along"] == len(WAYS) - 1


def test_all_tasks_of_a_storm_are_done(home: Path) -> None:
    report = storm.run(storm.Storm(60, 0.5, 10.0), 1, print)
    assert not report.problems
    assert report.figures["done"] == 60


def test_a_death_is_noticed(home: Path) -> None:
    report = notice.run(3, 1, print)
    assert not report.problems
    assert report.figures["SIGKILLs of workers"] == 3


def test_a_disturbed_wait_ends_and_its_task_goes_on(home: Path) -> None:
    report = interrupts.run(10, 1, print)
    assert not report.problems
    assert report.figures["interrupts"] == 8


PART = Part(number=0, folder="", n_tasks=40, deadly=1000)


def whole() -> tuple[Facts, Counter[int]]:
    """Return the facts of a run in which each task ran once and succeeded."""
    keys = [PART.key(number) for number in range(PART.n_tasks)]
    ends = {key: f"ok {key} run-{key}" for key in keys}
    runs = {key: [f"run-{key}"] for key in keys}
    taskids = {key: taskid for taskid, key in enumerate(keys)}
    return Facts(dict(ends), dict(ends), runs, taskids, {PART.owner: PART.n_tasks}), Counter(taskids.values())


def test_a_run_that_keeps_its_promises_is_whole() -> None:
    facts, ends = whole()
    facts.runs["0.1"].append("another")  # explained by a kill
    facts.found["0.25"] = facts.noted["0.25"] = "lost"  # may run only once
    report = judge([PART], facts, ends, Counter(worker=1), 2)
    assert not report.problems
    assert (report.figures["extra executions"], report.figures["at-most-once tasks that ended as lost"]) == (1, 1)


@pytest.mark.parametrize(
    ("found", "noted", "runs", "n_ends", "problem"),
    [
        (GONE, "ok 0.1 a", ["a"], 1, "is gone"),
        ("ok 0.1 a", "ok 0.1 b", ["a", "b"], 1, "ended as 'ok 0.1 b' to its client, as 'ok 0.1 a' now"),
        ("ok 0.1 a", "ok 0.1 a", ["a"], 2, "2 times in the store"),
        ("ok 0.1 a", "ok 0.1 a", [], 1, "the result of no execution"),
        ("ok 0.2 a", "ok 0.2 a", ["a"], 1, "the result of no execution"),
        ("failed ValueError: x", "failed ValueError: x", ["a"], 1, "failed ValueError"),
        ("lost", "lost", ["a"], 1, "was given up after 1 executions"),
        ("ok 0.1 a", "ok 0.1 a", ["a", "b", "c"], 1, "2 extra executions, and the kills explain 1"),
    ],
)
def test_a_broken_promise_is_found(found: str, noted: str, runs: list[str], n_ends: int, problem: str) -> None:
    facts, ends = whole()
    facts.found["0.1"], facts.noted["0.1"], facts.runs["0.1"], ends[1] = found, noted, runs, n_ends
    (told,) = judge([PART], facts, ends, Counter(worker=1), 2).problems
    assert problem in told


def test_a_task_that_may_run_only_once_and_ran_twice_is_found() -> None:
    facts, ends = whole()
    facts.runs["0.20"].append("another")
    (told,) = judge([PART], facts, ends, Counter(worker=1), 2).problems
    assert "may run only once, and ran 2 times" in told


def test_a_task_that_was_submitted_twice_is_found() -> None:
    facts, ends = whole()
    facts.listed[PART.owner] += 1
    (told,) = judge([PART], facts, ends, Counter(), 2).problems
    assert told == "client0 submitted 40 tasks, and the farm has 41"


def test_deaths_are_spread_over_all_ways_and_both_kinds_of_tasks() -> None:
    ways = [(may_repeat(n, 20), way) for n in range(10_000) if (way := way_to_die(n, 97)) is not None]
    assert set(ways) == {(kind, way) for kind in (True, False) for way in range(len(WAYS))}
    assert WAYS[HARMLESS].__name__ == "by_exit_in_a_thread"


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile([float(n) for n in range(1, 101)], share) == value
