"""The short form of the damage harness: some hundred cases of a fixed seed, and some of a new one."""

from __future__ import annotations

import os

import pytest

from taskfc_ext.drivers import journal, store
from tests.damage.harness import run


@pytest.mark.parametrize(
    ("cases", "seed", "only_log"),
    [(100, 1, False), (20, 2, True), (30, int.from_bytes(os.urandom(4), "little"), False)],
    ids=["fixed", "logs", "random"],
)
def test_damage_is_never_silent(tmp_path, cases, seed, only_log):
    outcome = run(tmp_path, cases=cases, seed=seed, only_log=only_log)
    assert outcome.violations == [], f"python -m tests.damage --seed {seed}"
    ends = {end for _, end in outcome.counts}
    assert "refused" in ends
    assert only_log or "equal" in ends, "not all damage matters"


def test_the_harness_finds_a_store_that_checks_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "is_whole", lambda row: True)
    monkeypatch.setattr(store, "find_loss", lambda note, now: None)
    assert len(run(tmp_path, cases=80, seed=1).violations) > 3
