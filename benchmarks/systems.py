"""The systems that are compared, each as a user of it would write it.

A system is a context manager that yields a `Farm` of two workers. Everything slow is imported inside, so that a cold
start pays for its own imports and for no others.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

N_WORKERS = 2

OURS = "taskfc_ext"
ON_DASK = "taskfc_ext on dask"
ON_RAY = "taskfc_ext on Ray"

Call = Callable[[Any], Any]
Map = Callable[[Call, Sequence[Any]], list[Any]]


def _results(handles: Sequence[Any]) -> list[Any]:
    return [handle.result() for handle in handles]


@dataclass(frozen=True)
class Farm:
    """Two workers.

    Attributes:
        run_one: runs one task and waits for it.
        map: runs a task for each item.
        submit: submits one task and returns a handle; `None` if the system has only maps.
        results: waits for the results of handles.
        flush: waits until what was submitted is accepted, where a system has that.
        usual_map: a map with the chunks that the system makes by default; `None` if it makes none.
    """

    run_one: Callable[[Call, Any], Any]
    map: Map
    submit: Callable[[Call, Any], Any] | None = None
    results: Callable[[Sequence[Any]], list[Any]] = _results
    flush: Callable[[], None] = lambda: None
    usual_map: Map | None = None

    def run_all(self, function: Call, items: Sequence[Any]) -> list[Any]:
        """Submit a task for each item, one call at a time, and return all results."""
        if (submit := self.submit) is None:
            return self.map(function, items)
        handles = [submit(function, item) for item in items]
        self.flush()
        return self.results(handles)


@contextmanager
def taskfc() -> Iterator[Farm]:
    """This project: store on, as always."""
    import taskfc_ext

    with taskfc_ext.start(N_WORKERS, name="bench") as controller, contextlib.closing(controller.client()) as client:
        yield _our_farm(client)


@contextmanager
def taskfc_on_dask() -> Iterator[Farm]:
    """This project with its workers in slots of the same cluster as `dask` has."""
    import taskfc_ext

    with (
        dask_cluster() as scheduler_file,
        taskfc_ext.start(N_WORKERS, name="bench", on=scheduler_file) as controller,
        contextlib.closing(controller.client()) as client,
    ):
        client.map(time.sleep, [0.1] * 2 * N_WORKERS)  # slots follow the demand; dask's workers are all there, too
        yield _our_farm(client)


@contextmanager
def taskfc_on_ray() -> Iterator[Farm]:
    """This project with its workers in slots of a cluster as `ray` has one."""
    import taskfc_ext

    with _ray_cluster() as ray:
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        with (
            taskfc_ext.start(N_WORKERS, name="bench", on="ray") as controller,
            contextlib.closing(controller.client()) as client,
        ):
            client.map(time.sleep, [0.1] * 2 * N_WORKERS)
            yield _our_farm(client)


def _our_farm(client: Any) -> Farm:
    return Farm(
        run_one=lambda function, item: client.submit(function, item).result(),
        map=client.map,
        submit=client.submit,
        flush=client.flush,
    )


@contextmanager
def pool() -> Iterator[Farm]:
    """`multiprocessing.Pool`: no scheduler, no store, and nothing outlives the client."""
    from multiprocessing import Pool

    with Pool(N_WORKERS) as workers:
        yield Farm(
            run_one=lambda function, item: workers.apply(function, (item,)),
            map=lambda function, items: workers.map(function, items, 1),
            submit=lambda function, item: workers.apply_async(function, (item,)),
            results=lambda handles: [handle.get() for handle in handles],
            usual_map=workers.map,
        )


@contextmanager
def process_pool() -> Iterator[Farm]:
    """`concurrent.futures.ProcessPoolExecutor`, as its documentation shows it."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(N_WORKERS) as executor:
        yield _executor_farm(executor)


@contextmanager
def loky() -> Iterator[Farm]:
    """loky's executor, which is joblib's default backend."""
    from loky import get_reusable_executor

    executor = get_reusable_executor(max_workers=N_WORKERS)
    try:
        yield _executor_farm(executor)
    finally:
        executor.shutdown(wait=True, kill_workers=True)


@contextmanager
def executorlib() -> Iterator[Farm]:
    """executorlib on one machine, with workers that stay."""
    from executorlib import SingleNodeExecutor

    with SingleNodeExecutor(max_workers=N_WORKERS, block_allocation=True) as executor:
        yield _executor_farm(executor)


def _executor_farm(executor: Any) -> Farm:
    return Farm(
        run_one=lambda function, item: executor.submit(function, item).result(),
        map=lambda function, items: list(executor.map(function, items)),
        submit=executor.submit,
    )


@contextmanager
def joblib() -> Iterator[Farm]:
    """`joblib.Parallel`, which has maps only."""
    from joblib import Parallel, delayed

    def map_with(workers: Any) -> Map:
        return lambda function, items: list(workers(delayed(function)(item) for item in items))

    with Parallel(n_jobs=N_WORKERS, batch_size=1) as single, Parallel(n_jobs=N_WORKERS) as usual:
        each = map_with(single)
        yield Farm(run_one=lambda function, item: each(function, [item])[0], map=each, usual_map=map_with(usual))


@contextmanager
def _ray_cluster() -> Iterator[Any]:
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # without it, a warning of what comes
    import ray

    ray.init(
        num_cpus=N_WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=os.environ["TMPDIR"],
    )
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def ray() -> Iterator[Farm]:
    """Ray on one machine."""
    with _ray_cluster() as ray:

        @functools.cache
        def remote(function: Call) -> Any:
            # a decorated function, as in Ray's tutorial; what is not a function is captured by one
            return ray.remote(function if hasattr(function, "__code__") else lambda item: function(item))

        def ray_map(function: Call, items: Sequence[Any]) -> list[Any]:
            task = remote(function)
            return list(ray.get([task.remote(item) for item in items]))

        yield Farm(
            run_one=lambda function, item: ray.get(remote(function).remote(item)),
            map=ray_map,
            submit=lambda function, item: remote(function).remote(item),
            results=lambda handles: list(ray.get(list(handles))),
        )


@contextmanager
def dask() -> Iterator[Farm]:
    """dask.distributed with its scheduler in a process of its own, and a process for each worker."""
    from distributed import Client

    with dask_cluster() as scheduler_file, Client(scheduler_file=scheduler_file) as client:
        client.wait_for_workers(N_WORKERS)
        yield _dask_farm(client)


@contextmanager
def dask_cluster(threads: int = 1) -> Iterator[str]:
    """Run a scheduler and workers of Dask, with so many threads each; yield the path of the scheduler file."""
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
            command += ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--local-directory", folder]
            stack.callback(_end, subprocess.Popen(command, **quiet))
        yield address_file


@contextmanager
def dask_local_cluster() -> Iterator[Farm]:
    """dask.distributed as its tutorial starts it; for the cold start only."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield _dask_farm(client)


def _dask_farm(client: Any) -> Farm:
    # pure=False: equal calls are separate tasks, as everywhere else
    return Farm(
        run_one=lambda function, item: client.submit(function, item, pure=False).result(),
        map=lambda function, items: list(client.gather(client.map(function, items, pure=False))),
        submit=functools.partial(client.submit, pure=False),
        results=lambda handles: list(client.gather(handles)),
    )


@contextmanager
def ipyparallel() -> Iterator[Farm]:
    """ipyparallel: a controller and its schedulers, and an engine for each worker, load balanced."""
    import ipyparallel as ipp

    cluster = ipp.Cluster(n=N_WORKERS, log_level=40)
    client = cluster.start_and_connect_sync()
    try:
        view = client.load_balanced_view()
        yield Farm(
            run_one=view.apply_sync,
            map=lambda function, items: list(view.map_sync(function, items, chunksize=1)),
            submit=view.apply_async,
            results=lambda handles: [handle.get() for handle in handles],
        )
    finally:
        client.close()
        cluster.stop_cluster_sync()
        asyncio.set_event_loop(None)


SYSTEMS = {
    OURS: taskfc,
    ON_DASK: taskfc_on_dask,
    ON_RAY: taskfc_on_ray,
    "multiprocessing.Pool": pool,
    "ProcessPoolExecutor": process_pool,
    "loky": loky,
    "joblib": joblib,
    "executorlib": executorlib,
    "Ray": ray,
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
