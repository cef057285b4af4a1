"""Tests of a process tree that changes during the search."""

from __future__ import annotations

import os
import subprocess

import pytest

from taskfc_ext.drivers import process_tree
from taskfc_ext.drivers.process_tree import runs_outside

ROOT, PARENT, SENDER, SHELL = 100, 200, 300, 400
Parents = dict[int, int]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[Parents]:
    """The parents of the processes at the first query, the second and so on; the last one stays."""
    moments: list[Parents] = []

    def facts(pid: int) -> tuple[str, int, int] | None:
        now = moments.pop(0) if len(moments) > 1 else moments[0]
        return ("R", now[pid], 0) if pid in now else None

    monkeypatch.setattr(process_tree, "_facts", facts)
    return moments


@pytest.mark.parametrize(
    ("moments", "outside"),
    [
        ([{SENDER: ROOT, ROOT: 1}], False),
        ([{SENDER: PARENT, PARENT: ROOT, ROOT: 1}], False),
        ([{SENDER: SHELL, SHELL: 1, ROOT: 1}], True),
        ([{SENDER: 0, ROOT: 1}], True),
        ([{ROOT: SHELL, SHELL: 1}], False),
        ([{}], False),
        ([{SENDER: PARENT, PARENT: ROOT}, {PARENT: ROOT}], False),
        ([{SENDER: PARENT, PARENT: ROOT}, {SENDER: ROOT}], False),
        ([{SENDER: PARENT, PARENT: ROOT}, {}], False),
        ([{SENDER: SHELL, SHELL: 1}, {SENDER: 1}], True),
        ([{SENDER: SHELL}], True),
    ],
    ids=[
        "a child",
        "a grandchild",
        "elsewhere",
        "elsewhere in another container",
        "gone",
        "gone with all others",
        "gone while it is looked up",
        "its parent has gone while it is looked up",
        "both have gone while it is looked up",
        "elsewhere, and its parent has gone while it is looked up",
        "elsewhere, below a process that is hidden from us",
    ],
)
def test_processes_outside_a_tree(table: list[Parents], moments: list[Parents], outside: bool) -> None:
    table += moments
    assert runs_outside(SENDER, ROOT) is outside


def test_real_processes() -> None:
    own = os.getpid()
    with subprocess.Popen(["sleep", "60"]) as child:
        assert not runs_outside(child.pid, own)
        assert runs_outside(own, child.pid)
        child.kill()
    assert not runs_outside(child.pid, own)
    assert not runs_outside(own, own)
