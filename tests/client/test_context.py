"""Context of submissions: its contents, and variables that are never sent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from taskfc_ext.client.context import context
from taskfc_ext.protocol.context import Context, decode_context


def now() -> Context:
    return decode_context(context.read_context().body)


def test_it_is_the_same_object_while_nothing_changes() -> None:
    assert context.read_context() is context.read_context()


def test_folder_and_path_are_those_of_the_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = context.read_context()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "lib", "/abs"])
    found = now()
    here = os.fsencode(str(tmp_path))
    assert found.cwd == here
    assert found.sys_path == (here + b"/", here + b"/lib", b"/abs")
    monkeypatch.undo()
    assert context.read_context() is before


def test_only_edits_of_the_environment_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NEW_ONE", "x")
    monkeypatch.setenv("JPY_API_TOKEN", "secret")
    monkeypatch.setenv("TASKFC_FARM", "x")
    monkeypatch.delenv("PATH")
    edits = dict(now().environ)
    assert edits[b"A_NEW_ONE"] == b"x"
    assert edits[b"PATH"] is None
    assert not {b"JPY_API_TOKEN", b"TASKFC_FARM", b"HOME"} & set(edits)


def test_edits_are_set_and_removed_variables() -> None:
    before = {"SECRET": "s", "GONE": "1", "CHANGED": "1"}
    edits = context.environment_edits(before, {"SECRET": "s", "CHANGED": "2", "NEW": "\udcff"})
    assert edits == ((b"CHANGED", b"2"), (b"GONE", None), (b"NEW", b"\xff"))


def test_a_folder_that_is_gone_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError, match=r"os\.chdir\(\)"):
        context.read_context()
