"""A farm on an engine does what it does at home, and loses nothing when something dies: the same for each engine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import taskfc_ext
import taskfc_ext.worker
from taskfc_ext import MemoryLimitExceeded, NotEnoughResources, restart, start
from taskfc_ext.client.farm.launch import stored_options
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.cores import available_cores
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.processes import tagged_processes
from taskfc_ext.errors import BadEngine, ControllerUnavailable, EngineWarning, StartFailed, TaskAborted, WorkerLost
from tests.engines.clusters import Cluster, FakeCluster, process_of
from tests.processes import DEADLINE, kill_and_wait, until


def note_run(folder: Path, seconds: float = 0.0) -> str:
    """Note a run of this task in a file; return how often it has run."""
    with open(folder / "runs", "a") as file:
        file.write("x")
    time.sleep(seconds)
    return (folder / "runs").read_text()


def hold_first_run(folder: Path) -> str:
    """Note a run of this task, and never end the first; return how often it has run."""
    runs = note_run(folder)
    if runs == "x":
        time.sleep(600)
    return runs


def n_runs(folder: Path) -> int:
    try:
        return len((folder / "runs").read_text())
    except FileNotFoundError:
        return 0


def hold_the_gil(folder: Path) -> int:
    note_run(folder)
    return sum(range(10**12))


def hold_memory(folder: Path, n_bytes: int) -> int:
    note_run(folder)
    block = b"x" * n_bytes
    time.sleep(DEADLINE)
    return len(block)


def test_functions_cells_and_large_arrays_do_what_they_do_at_home(client: Any) -> None:
    assert client.submit(divmod, 7, 2).result(DEADLINE) == (3, 1)
    assert client.map(abs, range(-50, 0)) == list(range(50, 0, -1))
    cell = client.submit_cell("print('hello'); a = b + 1; a", {"b": 41})
    assert (cell.result(DEADLINE), cell.stdout) == (42, "hello\n")
    array = np.arange(3_000_000.0)
    doubled = client.submit(lambda a: a * 2, array).result(DEADLINE)
    assert (doubled == array * 2).all()
    again = client.submit(np.add, client.put(array), 1).result(DEADLINE)
    assert (again == array + 1).all()
    with pytest.raises(ZeroDivisionError):
        client.submit(divmod, 1, 0).result(DEADLINE)


def test_what_programs_write_is_output_of_the_task(client: Any) -> None:
    task = client.submit(os.system, "echo sane; echo loud >&2")
    assert task.result(DEADLINE) == 0
    assert (task.stdout, task.stderr) == ("sane\n", "loud\n")


def test_values_in_files_are_read_by_one_worker_after_the_other(client: Any) -> None:
    text = client.put("x" * 200_000)  # too large for a message, and too small to be mapped
    assert [client.submit(len, text).result(DEADLINE) for _ in range(3)] == [200_000] * 3
    assert sum(client.map(lambda n: len(LONG) + n, range(40))) == 40 * 300_000 + 780


LONG = "y" * 300_000


def test_it_is_known_where_the_workers_are(own_client: Any, cluster: Cluster) -> None:
    own_client.submit(abs, 1).result(DEADLINE)
    (worker,) = own_client.workers()
    engine = own_client.engine()
    assert worker.place
    assert (engine.url, engine.state, engine.n_places) == (cluster.url, "connected", 1)
    assert own_client.submit(lambda: taskfc_ext.worker.properties["engine"]).result(DEADLINE) == engine.kind
    assert own_client.submit(os.getenv, "TASKFC_ENGINE").result(DEADLINE) == cluster.url


def look_for_the_farm(folder: str) -> None:
    os.environ["XDG_STATE_HOME"] = os.environ["JUPYTER_RUNTIME_DIR"] = folder  # as on another host
    taskfc_ext.TaskClient()


def test_a_task_starts_no_farm_on_the_host_that_it_is_on(client: Any, tmp_path: Path) -> None:
    with pytest.raises(ControllerUnavailable, match="a task on an engine starts none there"):
        client.submit(look_for_the_farm, str(tmp_path)).result(DEADLINE)


def test_slots_follow_the_demand_up_to_the_limit(own_client: Any) -> None:
    own_client.map(time.sleep, [0.2] * 8)
    assert len(own_client.workers()) == 2


def test_a_task_that_kills_its_worker_is_blamed_exactly(client: Any, tmp_path: Path) -> None:
    beside = client.submit(note_run, tmp_path, 0.5)
    killer = client.submit(os.kill, 0, signal.SIGSEGV)  # 0: its process group
    with pytest.raises(WorkerLost) as caught:
        killer.result(DEADLINE)
    assert "SIGSEGV" in caught.value.note
    assert (killer.attempts, beside.result(DEADLINE)) == (3, "x")


def test_a_task_over_its_memory_is_ended_by_its_host(client: Any, tmp_path: Path) -> None:
    fill = client.with_options(memory="300MB", on_lost="fail").submit(hold_memory, tmp_path, 600_000_000)
    with pytest.raises(MemoryLimitExceeded, match="300 MB"):
        fill.result(DEADLINE)
    assert n_runs(tmp_path) == 1
    assert client.with_options(memory="1GB").submit(abs, -1).result(DEADLINE) == 1


def test_a_task_needs_no_more_than_its_slot_has(client: Any) -> None:
    with pytest.raises(NotEnoughResources, match="gpus=1: each worker of this farm has none"):
        client.with_options(gpus=1).submit(abs, -1).result(DEADLINE)


def test_abort_interrupts_what_runs_and_kills_what_holds_the_gil(client: Any, tmp_path: Path) -> None:
    for number, task in enumerate([client.submit(note_run, tmp_path, 600), client.submit(hold_the_gil, tmp_path)]):
        until(lambda number=number: n_runs(tmp_path) > number, "it runs")
        task.abort()
        with pytest.raises(TaskAborted):
            task.result(DEADLINE)
    assert client.submit(abs, -1).result(DEADLINE) == 1


def test_tasks_of_a_lost_place_run_again_or_are_lost_as_they_say(client: Any, cluster: Cluster, tmp_path: Path) -> None:
    folders = [tmp_path / "retry", tmp_path / "fail"]
    for folder in folders:
        folder.mkdir()
    retried = client.submit(hold_first_run, folders[0])
    lost = client.with_options(on_lost="fail").submit(hold_first_run, folders[1])
    until(lambda: all(map(n_runs, folders)), "both run")
    cluster.lose_places()
    with pytest.raises(WorkerLost):
        lost.result(DEADLINE)
    assert retried.result(DEADLINE) == "xx"
    assert n_runs(folders[1]) == 1


def test_attempts_go_on_while_the_controller_is_started_again(
    farm: Controller, own_client: Any, tmp_path: Path
) -> None:
    tasks = [own_client.submit(note_run, tmp_path, 1.0)]
    until(lambda: n_runs(tmp_path), "it runs")
    kill_and_wait(farm.pid)
    assert [task.result(DEADLINE) for task in tasks] == ["x"]
    assert n_runs(tmp_path) == 1
    assert own_client.map(abs, [-1, -2]) == [1, 2]


def test_all_goes_on_when_the_bridge_is_killed(farm: Controller, own_client: Any, tmp_path: Path) -> None:
    task = own_client.submit(note_run, tmp_path, 0.5)
    until(lambda: n_runs(tmp_path), "it runs")
    (old,) = [worker.pid for worker in own_client.workers()]
    kill_and_wait(process_of(farm, "engines"))
    assert task.result(DEADLINE) == "xx"
    assert old not in tagged_processes(farm_paths("default").tag), "a new bridge sweeps what an old one left"


def test_a_waiting_client_revives_the_farm_on_its_engine(farm: Controller, own_client: Any, tmp_path: Path) -> None:
    task = own_client.submit(note_run, tmp_path, 0.5)
    until(lambda: n_runs(tmp_path), "it runs")
    kill_and_wait(farm.supervisor_pid)
    assert task.result(DEADLINE) == "xx"
    assert own_client.engine() is not None


def test_the_queue_moves_home_and_back(farm: Controller, own_client: Any, cluster: Cluster) -> None:
    own_client.scale(0)
    task = own_client.submit(os.getppid)
    own_client.flush()
    with restart(workers=1, on=None) as at_home, at_home.client() as here:
        assert here.engine() is None
        assert here.future(task.taskid).result(DEADLINE) == at_home.supervisor_pid
        with pytest.raises(StartFailed, match="runs on this machine"):
            start(on=cluster.url)
    with restart(workers=2, on=cluster.url) as away, away.client() as there:
        assert there.submit(abs, -1).result(DEADLINE) == 1
        assert there.engine().url == cluster.url


def test_a_restart_waits_for_a_worker_as_a_start_does(farm: Controller) -> None:
    with restart() as again, again.client() as client:
        assert len(client.workers()) == 1


def test_a_wrong_argument_of_restart_stops_nothing(farm: Controller) -> None:
    before = farm.pid
    for wrong in ({"on": "head:8786"}, {"on": "tcp://head:8786", "idle": -1}, {"idle": 3}, {"resources": {"GPU": 1}}):
        with pytest.raises(BadEngine):
            restart(**wrong)
    assert farm.pid == before


def test_a_restart_on_the_same_engine_keeps_what_is_not_named(home: Path, tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path)
    with start(3, on=cluster.url, resources={"licence": 1}, idle=7):
        before = stored_options(farm_paths("default"))
        restart(on=cluster.url)
        assert stored_options(farm_paths("default")) == before
        restart(on=cluster.url, idle=3)
        after = stored_options(farm_paths("default"))
        assert after == replace(before, engine=replace(before.engine, idle=3))
        with pytest.raises(StartFailed, match=r"runs with \{'licence': 1.0\} for each slot"):
            start(on=cluster.url, resources={"GPU": 4})
        restart(on=None)
        assert stored_options(farm_paths("default")).n_workers == available_cores()
    with pytest.raises(BadEngine, match="start: idle is of an engine"):
        start(1, idle=4)


def test_an_idle_worker_ends_and_the_next_task_has_one_again(home: Path, cluster: Cluster) -> None:
    with start(2, on=cluster.url, idle=0.2) as farm, farm.client() as client:
        client.submit(abs, 1).result(DEADLINE)
        until(lambda: not client.workers(), "it has ended")
        assert client.submit(abs, -2).result(DEADLINE) == 2


def test_an_engine_that_is_down_is_told_and_awaited(home: Path, tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path)
    (tmp_path / "down").touch()
    with pytest.warns(EngineWarning, match="connection refused; tasks wait until it works"):
        farm = start(1, on=cluster.url)
    with farm, farm.client() as client:
        task = client.submit(abs, -1)
        assert (client.engine().state, client.engine().text) == ("connecting", "connection refused")
        (tmp_path / "down").unlink()
        assert task.result(DEADLINE) == 1
