"""Start of a worker: its properties, and their share of the cores."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import MapTask, start
from taskfc_ext.drivers.cores import THREAD_POOLS, available_cores
from taskfc_ext.errors import RequestRefused
from tests.processes import DEADLINE


def label(name: str) -> dict[str, Any]:
    import taskfc_ext.worker

    taskfc_ext.worker.properties["label"] = name
    return dict(taskfc_ext.worker.properties)


def pools() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in THREAD_POOLS}


def test_properties_of_the_start_and_of_a_task(home: Path) -> None:
    with start(2, properties={"gpu": {"memory": 8}}) as farm, farm.client() as client:
        big = MapTask(abs, (-1,), depend=lambda properties: properties["gpu"]["memory"] > 4)
        assert client.run(big, block=True) == 1
        labelled = client.submit(label, "blue")
        chosen = MapTask(os.getpid, depend=lambda properties: properties.get("label") == "blue")
        first = client.run(chosen, block=True)  # nobody is blue until the task has run
        found = labelled.result(DEADLINE)
        assert found == {**found, "gpu": {"memory": 8}, "label": "blue"}
        assert [client.run(chosen, block=True) for _ in range(3)] == [first] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process")
def test_a_farm_does_not_grow_beyond_the_limits_of_the_machine(home: Path) -> None:
    with start(2) as farm, farm.client() as client:
        resource.prlimit(farm.pid, resource.RLIMIT_NOFILE, (64, 64))
        with pytest.raises(RequestRefused, match=r"100 workers needs 240 open files .* 64\nhave at most 12 workers"):
            client.scale(100)
        assert client.scale(3) == 2  # nothing has changed
        resource.prlimit(farm.pid, resource.RLIMIT_NOFILE, (40, 40))
        assert client.scale(1) == 3  # fewer are always possible
        assert client.submit(abs, -1).result(DEADLINE) == 1


def test_cores_are_shared_out_unless_the_user_did(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_POOLS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    with start(1) as farm, farm.client() as client:
        share = str(available_cores())
        assert client.submit(pools).result(DEADLINE) == dict.fromkeys(THREAD_POOLS, share) | {"MKL_NUM_THREADS": "3"}
        monkeypatch.setenv("OMP_NUM_THREADS", "5")  # later, and so of the tasks that are submitted from now on
        assert client.submit(pools).result(DEADLINE)["OMP_NUM_THREADS"] == "5"
