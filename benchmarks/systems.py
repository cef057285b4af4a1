"""The systems that are compared, each as a user of it would write it.

A system is a context manager that yields a `Farm`: two workers are up, and have done a task, when it is entered.
Everything slow is imported inside, so that a cold start pays for its own imports and for no others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

N_WORKERS = 2

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Farm:
    """Two workers, ready.

    `run_all(function, items)` submits a task for each item and returns all results; `run_one` waits for a single one.
    `scheduler_pid` is the process that queues and places tasks, where there is one beside the client.
    """

    run_all: Callable[[Call, Sequence[Any]], list[Any]]
    run_one: Callable[[Call, Any], Any]
    scheduler_pid: int | None = None


@contextmanager
def taskfc() -> Iterator[Farm]:
    """This project: store on, as always."""
    import taskfc_ext

    with taskfc_ext.start(N_WORKERS, name="bench") as controller, contextlib.closing(controller.client()) as client:

        def run_all(function: Call, items: Sequence[Any]) -> list[Any]:
            futures = [client.submit(function, item) for item in items]
            client.flush()
            return [future.result() for future in futures]

        def run_one(function: Call, item: Any) -> Any:
            return client.submit(function, item).result()

        yield Farm(run_all, run_one, controller.pid)


@contextmanager
def process_pool() -> Iterator[Farm]:
    """`concurrent.futures.ProcessPoolExecutor`: no scheduler, no store, and nothing outlives the client."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(N_WORKERS) as executor:

        def run_all(function: Call, items: Sequence[Any]) -> list[Any]:
            return [future.result() for future in [executor.submit(function, item) for item in items]]

        def run_one(function: Call, item: Any) -> Any:
            return executor.submit(function, item).result()

        yield Farm(run_all, run_one)


@contextmanager
def dask() -> Iterator[Farm]:
    """dask.distributed with its scheduler in a process of its own, and a process for each worker."""
    from distributed import Client

    folder = os.environ["TMPDIR"]
    address_file = os.path.join(folder, "scheduler.json")
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--no-jupyter"]
    command += ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", address_file]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as stack:
        scheduler = subprocess.Popen(command, **quiet)
        stack.callback(_end, scheduler)
        _wait_until(lambda: os.path.exists(address_file))
        for _ in range(N_WORKERS):
            command = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", address_file]
            command += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", folder]
            stack.callback(_end, subprocess.Popen(command, **quiet))
        client = stack.enter_context(Client(scheduler_file=address_file))
        client.wait_for_workers(N_WORKERS)
        yield _dask_farm(client, scheduler.pid)


@contextmanager
def dask_local_cluster() -> Iterator[Farm]:
    """dask.distributed as its tutorial starts it; for the cold start only."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield _dask_farm(client, None)


def _dask_farm(client: Any, scheduler_pid: int | None) -> Farm:
    def run_all(function: Call, items: Sequence[Any]) -> list[Any]:
        # pure=False: equal calls are separate tasks, as everywhere else
        return list(client.gather([client.submit(function, item, pure=False) for item in items]))

    def run_one(function: Call, item: Any) -> Any:
        return client.submit(function, item, pure=False).result()

    return Farm(run_all, run_one, scheduler_pid)


@contextmanager
def ipyparallel() -> Iterator[Farm]:
    """ipyparallel: a controller and its schedulers, and an engine for each worker, load balanced."""
    import ipyparallel as ipp

    cluster = ipp.Cluster(n=N_WORKERS, log_level=40)
    client = cluster.start_and_connect_sync()
    try:
        view = client.load_balanced_view()

        def run_all(function: Call, items: Sequence[Any]) -> list[Any]:
            return [reply.get() for reply in [view.apply_async(function, item) for item in items]]

        def run_one(function: Call, item: Any) -> Any:
            return view.apply_sync(function, item)

        yield Farm(run_all, run_one)
    finally:
        client.close()
        cluster.stop_cluster_sync()
        asyncio.set_event_loop(None)


SYSTEMS = {
    "taskfc_ext": taskfc,
    "ProcessPoolExecutor": process_pool,
    "dask": dask,
    "dask LocalCluster": dask_local_cluster,
    "ipyparallel": ipyparallel,
}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {seconds} s")
        time.sleep(0.02)
