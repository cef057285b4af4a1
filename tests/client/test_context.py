"""Context of submissions: its contents, and variables that are never sent."""

from __future__ import annotations

import decimal
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from taskfc_ext.client.context import context
from taskfc_ext.client.context.pauses import last_submission
from taskfc_ext.protocol.context import Context, decode_context
from taskfc_ext.settings.travel import CAREFUL


def now() -> Context:
    return decode_context(context.read_context().body)


def test_it_is_the_same_object_while_nothing_changes() -> None:
    context.read_context("")  # looks at all files now: an earlier test may have changed some
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


def in_a_loop(change: Callable[[int], object], n: int = 200) -> list[context.EncodedContext]:
    """Return the contexts of submissions in a loop that changes something before each one."""
    found = []
    for i in range(n):
        change(i)
        here = found[-1] if found and context.is_current(found[-1]) else context.read_context()
        found.append(here)
        last_submission.note()
    return found


def test_a_loop_without_a_change_looks_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(map(id, in_a_loop(lambda i: None, 2 * CAREFUL)))) == 1
    here = context.read_context()
    n_current = 0
    for _ in range(1000):
        last_submission.note()
        n_current += context.is_current(here)
    assert n_current, "each look would take a file system call for each file"


@pytest.mark.parametrize("kind", ["folder", "variable", "path", "limit", "decimals", "rounding", "pandas"])
def test_each_change_in_a_loop_is_seen(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
    changes: dict[str, Callable[[int], object]] = {
        "folder": lambda i: os.chdir(tmp_path / str(i % 2)),
        "variable": lambda i: os.environ.__setitem__("IN_A_LOOP", str(i % 2)),
        "path": lambda i: sys.path.__setitem__(0, f"/{i % 2}"),
        "limit": lambda i: sys.setrecursionlimit(5000 + i % 2),
        "decimals": lambda i: setattr(decimal.getcontext(), "prec", 30 + i % 2),
        "rounding": lambda i: setattr(decimal.getcontext(), "rounding", ("ROUND_UP", "ROUND_DOWN")[i % 2]),
        "pandas": lambda i: pd.set_option("display.max_rows", 30 + i % 2),
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IN_A_LOOP", "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    limit, decimals, max_rows = sys.getrecursionlimit(), decimal.getcontext().copy(), pd.get_option("display.max_rows")
    try:
        found = in_a_loop(changes[kind])
    finally:
        sys.setrecursionlimit(limit)
        decimal.setcontext(decimals)
        pd.set_option("display.max_rows", max_rows)
    assert len({here.digest for here in found[::2]}) == len({here.digest for here in found[1::2]}) == 1
    assert found[0].digest != found[1].digest
