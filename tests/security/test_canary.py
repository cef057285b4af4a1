"""Payloads stay opaque bytes to all but workers and clients: no controller, supervisor, server or command unpickles."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import start
from tests.processes import DEADLINE, until
from tests.server_extension.conftest import Server

HOOK = Path(__file__).with_name("hook")

ROLES = {
    "taskfc_ext.controller.app": "controller",
    "taskfc_ext.supervisor.app": "supervisor",
    "taskfc_ext.worker.app": "worker",
    "jupyter_server": "server",
    "taskfc_ext.cli": "command",
}


class Canary:
    """An object whose class is looked up when it is unpickled."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "a canary"


def give_back(canary: Any) -> Any:
    print(repr(canary))
    return canary


def fail_with(canary: Any) -> None:
    raise ValueError(canary)


@pytest.fixture
def unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what each process has looked up to unpickle."""
    folder = tmp_path / "unpickled"
    folder.mkdir()
    monkeypatch.setenv("TASKFC_UNPICKLED", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOK), *filter(None, sys.path)]))
    return folder


def by_role(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how many processes of each role were watched, and how many classes they have looked up."""
    watched: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for command in folder.glob("*.command"):
        text = command.read_text()
        role = next((role for word, role in ROLES.items() if word in text), "other")
        watched[role] += 1
        classes = command.with_suffix("")
        found[role] += len(classes.read_text().splitlines()) if classes.exists() else 0
    return watched, found


def run_command(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "taskfc_ext.cli", *words], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_workers_and_clients_unpickle(home: Path, unpickled: Path) -> None:
    with start(1) as farm, farm.client() as client:
        good = client.with_options(name="good").submit(give_back, Canary(1))
        bad = client.with_options(name="bad").submit(fail_with, Canary(2))
        large = client.submit(give_back, Canary(b"x" * 20_000_000))  # goes by a file
        assert (good.result(DEADLINE).value, len(large.result(DEADLINE).value)) == (1, 20_000_000)
        assert isinstance(bad.exception(DEADLINE), ValueError)
        for words in (["tasks", "--json"], ["log", str(good.taskid)], ["show", str(bad.taskid)]):
            assert run_command(*words)
        server = Server(home)
        try:
            assert server.ask("farms").status_code == 200
            page = server.page("default")
            page.is_heard()
            for path in (
                "farms/default/tasks",
                f"farms/default/tasks/{bad.taskid}",
                f"farms/default/tasks/{good.taskid}",
            ):
                assert server.ask(path).status_code == 200
            page.socket.close()
        finally:
            server.stop()
        os.kill(farm.pid, 9)  # the next one reads all of it from the store
        until(lambda: client.queue_status()["succeeded"] == 2, "the next controller answers")
    watched, found = by_role(unpickled)
    assert {role for role, n in watched.items() if n} >= {*ROLES.values()}
    assert watched["controller"] == 2
    assert found["worker"] > 0
    assert {role: n for role, n in found.items() if n and role != "worker"} == {}
