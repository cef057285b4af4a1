"""Finished tasks leave a real farm's store at its limits, and everybody who asks learns why."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskfc_ext import MapTask, ResultExpired, start
from taskfc_ext.core.state.limits import YOUNG
from taskfc_ext.drivers.files import bytes_in
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.room import RESERVE
from tests.processes import DEADLINE, until

SECOND = 1 / 86_400
"""In days."""


def test_a_result_expires_at_its_age_and_the_next_start_keeps_the_limit(module_home: Path) -> None:
    with start(1, name="short", keep_days=2 * SECOND) as farm, farm.client() as client:
        future = client.submit(abs, -1)
        assert future.result(DEADLINE) == 1
        until(lambda: client.queue_status()["succeeded"] == 0, "the task has expired")
        with pytest.raises(ResultExpired, match=f"task {future.taskid} expired after 2 seconds") as caught:
            client.get_task_result(future.taskid)
        assert caught.value.taskid == future.taskid
        assert "keep_days" in caught.value.hint
        shown = subprocess.run(
            [sys.executable, "-m", "taskfc_ext.cli", "show", "0", "--name", "short"], capture_output=True, text=True
        )
        assert "expired after" in shown.stdout + shown.stderr
        assert future.result() == 1  # what a client has received stays with it
    with start(1, name="short") as farm, farm.client() as client:
        taskid = client.run(MapTask(abs, [-2]))
        until(lambda: client.queue_status()["succeeded"] == 0, "the limit is as it was")
        assert taskid == 1


def test_a_store_of_large_results_stays_below_its_limit(module_home: Path) -> None:
    limit, size = 40_000_000, 4_000_000
    with start(1, name="narrow", keep_bytes="40 MB") as farm, farm.client() as client:
        store, begun = farm_paths("narrow").store, time.monotonic()
        for _ in range(15):
            client.submit(bytes, size).result(DEADLINE)
        if time.monotonic() < begun + YOUNG:  # else the first ones may have made room already
            assert bytes_in(store) > limit
        until(lambda: bytes_in(store) - RESERVE < limit, "the first results have made room")
        with pytest.raises(ResultExpired, match="task 0 expired when the store had 40 MB"):
            client.get_task_result(0)
        assert len(client.get_task_result(14)) == size
