"""Each session's tasks see the variables that the session has, whoever has started the farm; none is stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from taskfc_ext import start
from taskfc_ext.drivers.paths import farm_paths

SESSION = """
import json, os
from taskfc_ext import TaskClient
os.environ["EDITED"] = "here"
def read():
    seen = {name: os.environ.get(name) for name in ("HUB_TOKEN", "GONE", "EDITED", "OMP_NUM_THREADS")}
    return seen | {"HUB_TOKEN": seen["HUB_TOKEN"][::-1]}  # so that no result has it
def nested():
    from taskfc_ext import TaskClient
    with TaskClient("hub") as client:
        return client.submit(read).result(60)
with TaskClient("hub") as client:
    print(json.dumps([client.submit(read).result(60), client.submit(nested).result(60)]))
"""


def run_session(**variables: str) -> list[dict[str, str | None]]:
    """Return what a task of a new process sees, and what a task of that task does."""
    command = [sys.executable, "-c", SESSION]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_respawned_session_has_its_own_token_and_no_store_has_it(module_home: Path, monkeypatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", "token-of-the-first")
    monkeypatch.setenv("GONE", "only there")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    farm = start(2, name="hub")
    monkeypatch.delenv("GONE")
    try:
        for token in ("token-of-the-second", "token-of-the-third", "token-of-the-first"):
            for seen in run_session(HUB_TOKEN=token):
                assert seen["HUB_TOKEN"] == token[::-1]
                assert seen["GONE"] is None
                assert seen["EDITED"] == "here"
                assert seen["OMP_NUM_THREADS"] == "1"
    finally:
        farm.stop()
    stored = b"".join(path.read_bytes() for path in farm_paths("hub").store.rglob("*") if path.is_file())
    assert b"EDITED" in stored
    assert b"token-of-the" not in stored
