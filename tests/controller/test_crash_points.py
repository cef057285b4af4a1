"""Tests that kill the controller at every commit of every script."""

from __future__ import annotations

import itertools

import pytest

from taskfc_ext.core.journal import baseline
from taskfc_ext.drivers import journal
from tests.controller.crash_scripts import SCRIPTS, WHEN, Script, play
from tests.controller.every_crash import RECOVERY, Point, all_points, fails


@pytest.fixture(autouse=True)
def short_scripts(monkeypatch):
    """Have baselines written, and rows verified in several parts, in short scripts, too."""
    monkeypatch.setattr(baseline, "AFTER_CLEAR", 3)
    monkeypatch.setattr(journal, "_AT_ONCE", 3)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("when", WHEN)
def test_one_crash(tmp_path, name, when):
    n_commits = play(SCRIPTS[name], tmp_path / "undisturbed").n_commits
    assert n_commits >= 3
    for crash_at in range(1, n_commits + 1):
        farm = play(SCRIPTS[name], tmp_path / f"{crash_at}", (crash_at, when))
        assert farm.n_crashes == 1


@pytest.mark.parametrize("name", ["dependencies", "a recovery", "abort of a running task", "what may run only once"])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(WHEN[:2], WHEN)))
def test_a_crash_while_it_recovers(tmp_path, name, first, second):
    n_commits = play(SCRIPTS[name], tmp_path / "undisturbed").n_commits
    for crash_at in range(2, n_commits + 1, 2):
        for again_at in (1, 2, 3):
            play(SCRIPTS[name], tmp_path / f"{crash_at}-{again_at}", (crash_at, first), (again_at, second))


def test_crash_after_crash(tmp_path):
    """Every controller dies at its second commit: after its start and one step."""
    for name, script in SCRIPTS.items():
        play(script, tmp_path / name, *[(2, "before the send")] * 25)


def test_the_long_form_has_each_crash_and_each_crash_of_its_recovery(monkeypatch):
    name = "fewer workers"
    monkeypatch.setattr("tests.controller.every_crash.SCRIPTS", {name: SCRIPTS[name]})
    points = list(all_points())
    firsts = [point.crashes for point in points if len(point.crashes) == 1]
    assert len(firsts) == len(set(firsts)) >= 3 * len(WHEN)
    assert len(points) == len(set(points)) == len(firsts) * (1 + RECOVERY * len(WHEN))
    assert [problem for point in points[:: len(points) // 5] if (problem := fails(point))] == []


def test_the_long_form_names_the_point_at_which_a_promise_is_broken(monkeypatch):
    script = SCRIPTS["fewer workers"]
    wrong = Script(script.steps, {**script.ends, 1: "aborted"})
    monkeypatch.setattr("tests.controller.every_crash.SCRIPTS", {"wrong": wrong})
    point = Point("wrong", ((2, WHEN[0]),))
    assert fails(point).startswith("wrong, ((2, 'before the commit'),): AssertionError")
