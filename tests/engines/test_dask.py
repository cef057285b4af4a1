"""A farm on a real Dask cluster: what only Dask does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from taskfc_ext import start
from taskfc_ext.errors import EngineWarning
from taskfc_ext.version import __version__
from tests.engines.clusters import DaskCluster, Way, dask_cluster, process_of
from tests.processes import DEADLINE, kill_and_wait, until

LIVE = """
from distributed import LocalCluster
from taskfc_ext import start

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        with start(on=cluster) as farm, farm.client() as client:
            print(client.map(pow, [2, 3], [10, 10]), client.engine().kind)
"""


@pytest.fixture(scope="module")
def dask() -> Iterator[DaskCluster]:
    with dask_cluster() as cluster:
        yield cluster


def test_a_live_cluster_is_an_engine(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "live.py"
    script.write_text(LIVE)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
    assert done.stdout == "[1024, 59049] dask\n", done.stderr
    assert "LocalCluster ends with this process" in done.stderr


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


def test_workers_that_dask_retires_give_their_attempts_to_others(home: Path, dask: DaskCluster, tmp_path: Path) -> None:
    with start(1, on=dask.url) as farm, farm.client() as client, Client(dask.url, set_as_default=False) as own:
        task = client.submit(wait_for, tmp_path / "go")
        until(lambda: client.queue_status()["pending"], "it runs")
        dask.add_worker()
        until(lambda: len(own.scheduler_info(n_workers=-1)["workers"]) == 2, "there is another")
        (first,) = [address for address in own.processing() if own.processing()[address]]
        own.retire_workers([first], close_workers=True)
        until(lambda: not client.queue_status()["pending"], "it has lost its place")
        (tmp_path / "go").touch()
        assert task.result(DEADLINE) is None
        assert (task.attempts, client.submit(abs, -1).result(DEADLINE)) == (2, 1)


def test_nothing_of_a_farm_stays_in_a_dask_worker(home: Path, dask: DaskCluster) -> None:
    with Client(dask.url, set_as_default=False) as own:
        with start(2, on=dask.url) as farm, farm.client() as client:
            assert client.map(abs, [-1, -2]) == [1, 2]
            tasks = [client.submit(bytes, 10_000_000) for _ in range(8)]
            client.flush()
            kill_and_wait(process_of(farm, "engines"))
            assert sum(len(task.result(DEADLINE)) for task in tasks) == 80_000_000
            assert any(own.run(lambda dask_worker: "taskfc_ext" in dask_worker.plugins).values())

        def is_clean(dask_worker: Any) -> bool:
            return "taskfc_ext" not in dask_worker.plugins and "taskfc_take" not in dask_worker.handlers

        until(lambda: all(own.run(is_clean).values()), "all is removed")


def test_slots_that_a_dask_worker_does_not_know_are_lost(home: Path, dask: DaskCluster, tmp_path: Path) -> None:
    def forget(dask_worker: Any) -> None:  # as a new process at the same address has none
        if "taskfc_ext" in dask_worker.plugins:
            dask_worker.plugins.pop("taskfc_ext").teardown(dask_worker)

    with start(1, on=dask.url) as farm, farm.client() as client, Client(dask.url, set_as_default=False) as own:
        task = client.submit(wait_for, tmp_path / "go")
        until(lambda: client.queue_status()["pending"], "it runs")
        own.run(forget)
        until(lambda: task.attempts == 2, "it runs again")
        (tmp_path / "go").touch()
        assert task.result(DEADLINE) is None


def test_resources_of_dask_are_held_and_missing_ones_are_named(home: Path, dask: DaskCluster) -> None:
    with pytest.warns(UserWarning, match="no worker of the cluster has GPU=1"):
        farm = start(1, on=dask.url, resources={"GPU": 1})
    with farm, farm.client() as client:
        task = client.submit(abs, -1)
        dask.add_worker("--resources", "GPU=1")
        assert task.result(DEADLINE) == 1


def test_a_cluster_without_our_package_is_told_what_to_install(home: Path, tmp_path: Path) -> None:
    missing = 'raise ModuleNotFoundError("No module named \'taskfc_ext\'", name="taskfc_ext")'
    (tmp_path / "taskfc_ext.py").write_text(missing)
    cluster = DaskCluster(tmp_path, before=tmp_path)
    try:
        with pytest.warns(EngineWarning, match=f"pip install taskfc-ext=={__version__}` there; tasks wait"):
            farm = start(on=cluster.url)
        farm.stop()
    finally:
        cluster.close()


def note_time(file: Path) -> None:
    """Note this process and the time, every tenth of a second."""
    while True:
        with open(file, "a") as notes:
            notes.write(f"{os.getpid()} {time.monotonic()}\n")
        time.sleep(0.1)


def running_in(file: Path) -> set[str]:
    """Return the processes that have noted themselves in the last second."""
    notes = [line.split() for line in file.read_text().splitlines() if line.count(" ") == 1] if file.exists() else []
    return {pid for pid, noted in notes if float(noted) > time.monotonic() - 1}


def test_an_attempt_that_cannot_be_reached_ends_when_it_is_made_again(home: Path, tmp_path: Path) -> None:
    with dask_cluster(n_workers=0) as cluster, Way() as way:
        cluster.add_worker(way=way)
        with start(1, on=cluster.url) as farm, farm.client() as client:
            task = client.submit(note_time, tmp_path / "notes")
            (first,) = until(lambda: running_in(tmp_path / "notes"), "it runs")
            way.cut()
            until(lambda: not client.queue_status()["pending"], "it has lost its place")
            way.mend()
            until(lambda: running_in(tmp_path / "notes") - {first}, "it is made again")
            until(lambda: first not in running_in(tmp_path / "notes"), "the first attempt has ended")
            assert task.attempts == 2
            task.abort()


def test_a_short_cut_of_the_network_harms_nothing(home: Path) -> None:
    with dask_cluster(n_workers=0) as cluster, Way() as way:
        cluster.add_worker(way=way)
        with start(1, on=cluster.url) as farm, farm.client() as client:
            assert client.submit(os.getpid).result(DEADLINE)
            (worker,) = farm.worker_pids
            way.cut()
            task = client.submit(os.getpid)
            client.flush()
            until(lambda: way.n_refused > 10, "the bridge has tried for a while")
            way.mend()
            assert task.result(DEADLINE) == worker


def start_and_warn(url: str) -> str:
    """Start a farm on an engine that cannot be reached, stop it, and return the reason."""
    with pytest.warns(EngineWarning, match="; tasks wait until it works") as caught:
        start(1, on=url).stop()
    return str(caught[-1].message)


def test_a_wrong_port_is_told_at_once(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert "no Dask scheduler answers at that port" in start_and_warn(url)
    assert f"{url}: connection refused" in start_and_warn(url)


def test_tasks_wait_for_the_next_scheduler(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    clusters = [DaskCluster(_folder(tmp_path, "first"), port=port)]
    try:
        with start(1, on=clusters[0].url) as farm, farm.client() as client:
            task: Any = client.submit(time.sleep, 2.0)
            until(lambda: client.queue_status()["pending"], "it runs")
            kill_and_wait(clusters[0].scheduler.pid)
            until(lambda: client.engine().state == "lost", "the loss is known")
            assert client.queue_status()["scheduled"] == 1
            clusters[0].close()
            clusters.append(DaskCluster(_folder(tmp_path, "second"), port=port))
            assert task.result(DEADLINE) is None
            assert client.engine().state == "connected"
    finally:
        for cluster in clusters:
            cluster.close()


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
