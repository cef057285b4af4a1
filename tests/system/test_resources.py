"""Tasks that name resources, on a real farm with made-up GPUs."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext import BlockingTaskClient, MapTask, MemoryLimitExceeded, NotEnoughResources, start
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.cores import THREAD_POOLS, available_cores
from tests.processes import DEADLINE, kill_and_wait, until

GPUS = ("4", "7")
CORES = max(2, available_cores())


@pytest.fixture(scope="module")
def shared_farm(module_home: Path) -> Iterator[Controller]:
    """A farm of two workers, two GPUs and one licence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", ",".join(GPUS))
        with start(2, resources={"licence": 1}) as controller:
            yield controller


def meet(folder: str, me: str, other: str) -> tuple[str, int]:
    """Return the GPUs and the worker of this task, which runs at the same time as `other`."""
    Path(folder, me).touch()
    deadline = time.monotonic() + 60
    while not Path(folder, other).exists():
        assert time.monotonic() < deadline, "the other task does not run"
        time.sleep(0.01)
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def wait_for(file: str) -> str:
    while not Path(file).exists():
        time.sleep(0.01)
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def hog(n_bytes: int, hold_gil: bool = True) -> None:
    """Fill memory, and then neither return nor let other threads run."""
    block = b"x" * n_bytes
    if hold_gil:
        sum(range(10**12))
    wait_for(f"/nonexistent/{len(block)}")


def hog_in_a_child(n_bytes: int) -> None:
    subprocess.run([sys.executable, "-c", f"import time; x = b'x' * {n_bytes}; time.sleep(600)"], check=False)


def pools() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in THREAD_POOLS}


def pool_sizes() -> set[int]:
    import numpy  # noqa: F401  loads a library with a thread pool
    import threadpoolctl

    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


def seem_to_use_cuda(folder: str) -> tuple[str, int]:
    """Map a file with the name of the CUDA driver, as a process that uses CUDA does."""
    file = Path(folder, "libcuda.so.1")
    file.write_bytes(bytes(4096))
    with file.open("r+b") as opened:
        os.kept_for_this_test = mmap.mmap(opened.fileno(), 4096)
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def test_two_tasks_at_once_have_different_gpus(client: BlockingTaskClient, tmp_path: Path) -> None:
    tc = client.with_options(gpus=1)
    one, other = tc.submit(meet, str(tmp_path), "a", "b"), tc.submit(meet, str(tmp_path), "b", "a")
    assert {one.result(DEADLINE)[0], other.result(DEADLINE)[0]} == set(GPUS)
    assert tc.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(DEADLINE) in GPUS
    assert client.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(DEADLINE) == ",".join(GPUS)


def test_a_task_waits_for_a_gpu_and_says_so(client: BlockingTaskClient, tmp_path: Path) -> None:
    tc = client.with_options(gpus=2)
    first = tc.submit(wait_for, str(tmp_path / "go"))
    second = tc.submit(os.getenv, "CUDA_VISIBLE_DEVICES")
    client.flush(DEADLINE)
    until(lambda: first.state == "running", "the first task runs")
    [info] = client.list_tasks(taskids=[second.taskid])
    assert (info.state, info.message) == ("scheduled", "waits for 2 GPUs (none free)")
    assert client.submit(abs, -1).result(DEADLINE) == 1  # it passes
    (tmp_path / "go").touch()
    assert first.result(DEADLINE) == second.result(DEADLINE) == ",".join(GPUS)


@pytest.mark.parametrize("run", [hog, hog_in_a_child])
def test_a_task_over_its_memory_is_ended_with_the_figure(client: BlockingTaskClient, run) -> None:
    future = client.with_options(memory="200M", name="hog").submit(run, 300_000_000)
    with pytest.raises(MemoryLimitExceeded, match=r"task \d+ \(hog\) used \d+ MB, over its limit of 200 MB, and"):
        future.result(DEADLINE)
    assert future.attempts == 1
    assert client.submit(abs, -1).result(DEADLINE) == 1


def test_memory_uses_a_retry_and_then_the_recovery_task(client: BlockingTaskClient) -> None:
    tc = client.with_options(memory="150M", retries=1, recovery_task=MapTask(pools, cores=2))
    future = tc.submit(hog, 300_000_000, False)
    assert future.result(DEADLINE) == dict.fromkeys(THREAD_POOLS, "2")
    assert future.attempts == 3


def test_thread_pools_have_as_many_threads_as_the_task_has_cores(lone: BlockingTaskClient) -> None:
    before = lone.submit(pools).result(DEADLINE)
    sizes = lone.submit(pool_sizes).result(DEADLINE)
    wide = lone.with_options(cores=2)
    assert wide.submit(pools).result(DEADLINE) == dict.fromkeys(THREAD_POOLS, "2")
    assert wide.submit(pool_sizes).result(DEADLINE) == {2}
    assert lone.submit(pools).result(DEADLINE) == before
    assert lone.submit(pool_sizes).result(DEADLINE) == sizes


@pytest.fixture
def lone(client: BlockingTaskClient) -> BlockingTaskClient:
    """A client whose tasks run on one worker."""
    workers = sorted(worker.pid for worker in client.workers())
    return client.with_options(depend=lambda _: os.getpid() == workers[0])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gpus": 3}, "gpus=3: this farm has 2"),
        ({"cores": 9999}, f"cores=9,999: this farm has {CORES}"),
        ({"resources": {"tape": 1}}, "tape=1: this farm has none"),
    ],
)
def test_what_can_never_start_is_refused_by_name(client: BlockingTaskClient, options, text) -> None:
    with pytest.raises(NotEnoughResources) as error:
        client.with_options(**options).submit(abs, -1).result(DEADLINE)
    assert str(error.value) == text


def test_a_killed_worker_and_a_killed_controller_lose_no_gpu(
    shared_farm: Controller, client: BlockingTaskClient, tmp_path: Path
) -> None:
    tc = client.with_options(gpus=1)
    one, other = tc.submit(meet, str(tmp_path), "a", "b"), tc.submit(meet, str(tmp_path), "b", "go")
    third = tc.submit(os.getenv, "CUDA_VISIBLE_DEVICES")
    one.result(DEADLINE)
    kill_and_wait(shared_farm.pid)
    assert third.result(DEADLINE) in GPUS
    [worker] = until(lambda: [each for each in client.workers() if each.running == other.taskid], "it has reconnected")
    os.kill(worker.pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    assert other.result(DEADLINE)[0] in GPUS
    both = client.with_options(gpus=2).submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(DEADLINE)
    assert sorted(both.split(",")) == list(GPUS)


def test_a_worker_that_has_used_cuda_gets_no_other_gpu(client: BlockingTaskClient, tmp_path: Path) -> None:
    pid = client.submit(seem_to_use_cuda, str(tmp_path)).result(DEADLINE)[1]
    tc = client.with_options(gpus=2)
    pids = {tc.submit(os.getpid).result(DEADLINE) for _ in range(4)}
    assert pid not in pids
    gpus, pid = tc.submit(seem_to_use_cuda, str(tmp_path)).result(DEADLINE)
    assert sorted(gpus.split(",")) == list(GPUS)
    until(lambda: pid not in [worker.pid for worker in client.workers()], "the worker ends")
