"""Tasks that are sent ahead to a worker: none of them waits behind a long one."""

from __future__ import annotations

import time
from concurrent.futures import wait
from pathlib import Path

from taskfc_ext import BlockingTaskClient
from tests.processes import DEADLINE, until


def work(started: str = "", gate: str = "") -> str:
    """Take a few milliseconds; with `gate`, go on until that file exists."""
    time.sleep(0.005)
    if gate:
        Path(started).touch()
        until(Path(gate).exists, "the gate is open", 4 * DEADLINE)
    return gate


def test_no_task_waits_behind_a_long_one(client: BlockingTaskClient, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    wait([client.submit(work) for _ in range(8)], DEADLINE)  # its run time is measured
    long = client.submit(work, str(started), str(gate))
    others = [client.submit(work) for _ in range(20)]
    client.flush()
    try:
        assert [future.result(DEADLINE) for future in others] == [""] * 20
        assert started.exists()
        assert not long.done()
    finally:
        gate.touch()
    assert long.result(DEADLINE) == str(gate)


def hold(item: int, log: str) -> int:
    """Note the run; item -1 keeps all other threads of its process from running for seconds, in one call of C."""
    with open(log, "a") as file:
        file.write(f"{item}\n")
    if item < 0:
        pow(3, 8_000_000)
    return item


def test_no_task_waits_behind_a_long_one_that_holds_the_lock(client: BlockingTaskClient, tmp_path: Path) -> None:
    warm, log = str(tmp_path / "warm"), tmp_path / "log"
    assert client.map(hold, range(200), [warm] * 200) == list(range(200))  # its run time is measured
    before = [client.submit(hold, item, str(log)) for item in range(500)]
    long = client.submit(hold, -1, str(log))
    behind = [client.submit(hold, item, str(log)) for item in range(500, 1000)]
    client.flush()
    assert [future.result(DEADLINE) for future in behind] == list(range(500, 1000))
    assert [future.result(DEADLINE) for future in before] == list(range(500))
    assert not long.done(), "they waited for its end"
    assert long.result(DEADLINE) == -1
    assert sorted(map(int, log.read_text().split())) == list(range(-1, 1000)), "each has run once"


def test_the_last_tasks_go_to_the_worker_that_is_free(client: BlockingTaskClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait([client.submit(work) for _ in range(8)], DEADLINE)
    long = [client.submit(work, str(tmp_path / "started"), str(gate))]
    until((tmp_path / "started").exists, "the long task runs")
    try:
        for _ in range(5):
            assert client.submit(work).result(DEADLINE) == ""
    finally:
        gate.touch()
    assert long[0].result(DEADLINE) == str(gate)
