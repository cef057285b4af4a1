"""The short form of the damage harness: some hundred cases of a fixed seed, and some of a new one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskfc_ext import StringTask, start
from taskfc_ext.drivers import journal, store
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.errors import LoadingFailed
from tests.damage.damages import open_database
from tests.damage.harness import run
from tests.processes import DEADLINE


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


def test_a_task_whose_code_is_under_another_key_fails_by_name(home: Path) -> None:
    with start(0) as farm, farm.client() as client:
        task = client.run(StringTask("x = 6 * 7", pull="x"))
        client.flush()
        journal = farm_paths(farm.name).journal
    with open_database(journal) as db:
        [key] = [key for key, body in db.execute("SELECT digest, body FROM code") if body == b"x = 6 * 7"]
        db.execute("UPDATE code SET digest = ? WHERE digest = ?", (bytes([key[0] ^ 1]) + key[1:], key))
    with start(1) as farm, farm.client() as client:
        client.scale(1)
        with pytest.raises(LoadingFailed, match="the task's code is gone from the store, or damaged"):
            client.future(task).result(DEADLINE)


def test_the_harness_finds_a_store_that_checks_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "is_whole", lambda row: True)
    monkeypatch.setattr(store, "find_loss", lambda note, now: None)
    assert len(run(tmp_path, cases=80, seed=1).violations) > 3
