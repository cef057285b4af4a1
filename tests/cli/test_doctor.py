"""Tests of `taskfc doctor` on stores of stopped farms."""

from __future__ import annotations

import fcntl
import json
import os

import pytest

from taskfc_ext.cli import main
from taskfc_ext.drivers.paths import farm_paths, prepare
from taskfc_ext.drivers.schema import SCHEMA_VERSION
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.records import Began
from tests.damage.damages import change
from tests.drivers.test_store import make_ended, make_submitted


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    paths = farm_paths("night")
    prepare(paths)
    paths.lock.touch(0o600)
    store = Store(paths.journal)
    store.commit([Began(1, 0.0), Define(b"c" * 16, b"code"), make_submitted(0, 2, name="fit")])
    store.commit([make_ended(0)])
    store.close()
    return paths


def examine(capsys, *words: str) -> tuple[int, dict]:
    code = main(["doctor", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", [["night"], ["--name", "night"]])
def test_a_whole_store_is_exit_code_0(paths, capsys, words):
    code, facts = examine(capsys, *words)
    assert (code, facts["whole"], facts["state"], facts["damages"], facts["notes"]) == (0, True, "stopped", [], [])
    assert (facts["records"], facts["schema"], facts["locked"], facts["exposed"]) == (4, SCHEMA_VERSION, False, [])
    assert facts["bytes"]["journal"] == paths.journal.stat().st_size
    assert main(["doctor", *words]) == 0
    assert capsys.readouterr().out.startswith("night: stopped, the store is whole\n")


def test_damage_is_exit_code_1_and_names_what_a_repair_would_lose(paths, capsys):
    change(paths.journal, "UPDATE journal SET body = x'00' WHERE seq = 4")
    before = paths.journal.read_bytes()
    code, facts = examine(capsys, "night")
    assert (code, facts["whole"]) == (1, False)
    assert facts["damages"] == ["row 4, of tasks 0 to 0, does not agree with its check"]
    assert facts["repair_would_lose"][1:] == ["tasks 0, 1: no end is left; runs again at the next start"]
    assert main(["doctor", "night"]) == 1
    out = capsys.readouterr().out
    assert "night: stopped, the store is not whole: 1 damage\n" in out
    assert "damaged (repair: taskfc repair night):\n  row 4, of tasks 0 to 0," in out
    assert paths.journal.read_bytes() == before


def test_files_that_others_can_reach_are_listed(paths, capsys):
    paths.journal.chmod(0o644)
    paths.store.joinpath("link").symlink_to("/")
    code, facts = examine(capsys, "night")
    assert (code, sorted(facts["exposed"])) == (
        0,
        [f"{paths.journal} is open to other users (mode 644)", f"{paths.store / 'link'} is a symbolic link"],
    )


def test_the_holder_of_the_lock_is_named_and_the_store_is_read_meanwhile(paths, capsys):
    with paths.lock.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, facts = examine(capsys, "night")
    assert (code, facts["locked"], facts["lock_holder"]) == (0, True, os.getpid())
    assert facts["notes"] == [f"a process that is no running farm holds {paths.lock}"]


def test_a_farm_that_never_was_has_no_store(paths, capsys):
    assert main(["doctor", "absent"]) == 1
    assert capsys.readouterr().err == "taskfc: there is no farm 'absent' (list the farms with: taskfc list)\n"
