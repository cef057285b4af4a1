"""A farm on a real Ray cluster: what only Ray does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import start
from taskfc_ext.errors import EngineWarning
from tests.engines.ray_cluster import ACTOR, RayCluster, free_ports, needs_ray, ray_cluster
from tests.processes import DEADLINE, kill_and_wait, until

pytestmark = needs_ray


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    with ray_cluster("node") as cluster:
        yield cluster


def note_and_wait(folder: Path) -> str:
    """Note a run of this task in a file, and wait until there is a file `go`; return how often it has run."""
    with open(folder / "runs", "a") as file:
        file.write("x")
    while not (folder / "go").exists():
        time.sleep(0.01)
    return (folder / "runs").read_text()


def test_the_resources_of_a_slot_are_held_and_those_that_no_node_has_are_named(home: Path, ray: RayCluster) -> None:
    with pytest.warns(EngineWarning, match="no node of the cluster has CPU=1, GPU=1; tasks wait"):
        farm = start(1, on=ray.url, resources={"GPU": 1})
    farm.stop()
    with start(on=ray.url, resources={"CPU": 3, "half": 0.5}) as farm, farm.client() as client:
        client.map(time.sleep, [0.2] * 4)
        assert len(client.workers()) == 1, "there is room for one of them"


def test_no_actor_is_left_when_the_farm_has_stopped(home: Path, ray: RayCluster, tmp_path: Path) -> None:
    with start(2, on=ray.url) as farm, farm.client() as client:
        client.submit(note_and_wait, tmp_path)
        until((tmp_path / "runs").exists, "it runs")
        assert ray.processes(ACTOR)
    until(lambda: not ray.processes(ACTOR), "all actors have ended")


@pytest.mark.parametrize("kind", ["node", "client"])
def test_a_head_that_is_not_there_is_told_and_awaited(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    on = "ray" if kind == "node" else f"ray://127.0.0.1:{port}"
    with pytest.warns(EngineWarning, match="connection refused; tasks wait until it works"):
        farm = start(1, on=on)
    farm.stop()


def test_attempts_go_on_without_the_head_and_tasks_wait_for_the_next_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "8")  # of Ray's library; by default 60
    with ray_cluster("node") as first, start(1, on=first.url) as farm, farm.client() as client:
        task: Any = client.submit(note_and_wait, tmp_path)
        until((tmp_path / "runs").exists, "it runs")
        (head,) = first.processes("gcs_server")
        kill_and_wait(head)
        (tmp_path / "go").touch()
        assert task.result(DEADLINE) == "x"
        until(lambda: client.engine().state != "connected", "the loss is known")
        later = client.submit(os.getenv, "RAY_JOB_ID")
        first.close()
        with ray_cluster("node", port=first.port):
            assert later.result(2 * DEADLINE)
            assert client.engine().state == "connected"


def test_another_head_at_the_same_address_is_another_cluster(home: Path, tmp_path: Path) -> None:
    with ray_cluster("node") as first, start(1, on=first.url) as farm, farm.client() as client:
        task: Any = client.submit(note_and_wait, tmp_path)
        until((tmp_path / "runs").exists, "it runs")
        first.close()
        (tmp_path / "go").touch()
        with ray_cluster("node", port=first.port):  # long before Ray's library ends the bridge
            assert task.result(2 * DEADLINE) == "xx"


def test_a_lost_server_of_ray_client_is_told_and_its_slots_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "2")  # of Ray Client; by default 30
    with ray_cluster("client") as first, start(1, on=first.url) as farm, farm.client() as client:
        task: Any = client.submit(note_and_wait, tmp_path)
        lost: Any = client.with_options(on_lost="fail").submit(note_and_wait, tmp_path)
        until((tmp_path / "runs").exists, "it runs")
        first.close()
        until(lambda: client.engine().state == "lost", "the loss is known")
        (tmp_path / "go").touch()
        with ray_cluster("client", port=first.port, client_port=first.client_port):
            assert task.result(2 * DEADLINE) == "xx"
            assert lost.result(DEADLINE) == "xxx"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("The actor died.\n\tclass_name: RaySlot\n\tpid: 7\nIts node is gone.", "The actor died. Its node is gone."),
        ("task failed:\nModuleNotFoundError: No module named 'taskfc_ext'", "taskfc_ext is not installed where its"),
        ("RuntimeError: The actor with name RaySlot failed to import", "taskfc_ext is not installed where its actors"),
        ("Version mismatch: The cluster was started with:\n    Ray: 2.1.0\n", "Ray: 2.1.0: install the same Ray and"),
        ("Unauthenticated: WrongClusterID: Perhaps the GCS has restarted", "the head was started again"),
        ("RPC error: InvalidAuthToken: Authentication token is missing", "set RAY_AUTH_MODE=token"),
        ("Could not find any running Ray instance. Please", "no Ray runs on this machine: `ray start"),
    ],
)
def test_errors_of_ray_are_one_line_with_what_to_do(text: str, line: str) -> None:
    from taskfc_ext.engines.ray import explain

    assert line in explain(RuntimeError(text))
