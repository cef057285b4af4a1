"""Tests of an environment, and of modules, that are larger than any message: they travel in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskfc_ext import BlockingTaskClient, StringTask
from tests.processes import DEADLINE

MIB = 2**20


def length(name: str) -> int:
    return len(os.environ[name])


def test_tasks_retries_and_broadcasts_have_a_large_environment(
    client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(24):
        monkeypatch.setenv(f"LARGE_{number}", str(number % 10) * MIB)
    monkeypatch.setenv("LARGEST", "x" * 3 * MIB)
    task = client.submit(length, "LARGEST")
    assert task.result(DEADLINE) == 3 * MIB
    monkeypatch.setenv("LARGEST", "x" * 5)
    assert client.retry(task).result(DEADLINE) == 5
    client.broadcast("import os; n_bytes = sum(len(os.environ[f'LARGE_{i}']) for i in range(24))", timeout=DEADLINE)
    assert client.submit(length, "LARGE_23").result(DEADLINE) == MIB


def test_tasks_and_retries_have_large_modules(
    client: BlockingTaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"large_module_{number}" for number in range(21)]
    for name in names:
        tmp_path.joinpath(f"{name}.py").write_text(f'VALUE = 1\nTEXT = """{os.urandom(450_000).hex()}"""\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = f"import {', '.join(names)}\ntotal = sum(module.VALUE for module in [{', '.join(names)}])"
    task = client.future(client.run(StringTask(source, pull="total")))
    assert task.result(DEADLINE).ns.total == 21
    tmp_path.joinpath(f"{names[0]}.py").write_text("VALUE = 10\n")
    assert client.retry(task).result(DEADLINE).ns.total == 30
