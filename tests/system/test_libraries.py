"""Libraries that take an executor, or a `map`, on a real farm: they give what they give alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import BlockingTaskClient, TaskExecutor
from tests.processes import DEADLINE
from tests.system.conftest import run_script


@pytest.fixture(params=[None, 2], ids=["all", "at most 2"])
def executor(request: pytest.FixtureRequest, client: BlockingTaskClient) -> Iterator[TaskExecutor]:
    with TaskExecutor(request.param, client=client) as executor:
        yield executor


def square(x: Any) -> Any:
    return x * x


def test_a_loop_runs_functions_in_it(executor: TaskExecutor) -> None:
    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*[loop.run_in_executor(executor, square, x) for x in range(10)])

    assert asyncio.run(run()) == [x * x for x in range(10)]


def test_dask_computes_on_it(executor: TaskExecutor) -> None:
    dask = pytest.importorskip("dask")
    squares = [dask.delayed(square)(x) for x in range(10)]
    assert dask.delayed(sum)(squares).compute(scheduler=executor) == sum(x * x for x in range(10))
    assert dask.delayed(os.getpid)().compute(scheduler=executor) != os.getpid()


def test_scipy_gives_the_same_as_alone(executor: TaskExecutor) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    options = {"bounds": [(-2, 2), (-2, 2)], "updating": "deferred", "maxiter": 3, "polish": False, "seed": 1}
    found = optimize.differential_evolution(optimize.rosen, workers=executor.map, **options)
    assert (found.x == optimize.differential_evolution(optimize.rosen, **options).x).all()


def test_a_task_may_have_an_executor(client: BlockingTaskClient) -> None:
    def sum_of_squares(n: int, limit: int | None) -> int:
        with TaskExecutor(limit) as executor:
            return sum(executor.map(square, range(n)))

    futures = [client.submit(sum_of_squares, 5, limit) for limit in (None, 1, 2, None)]
    assert [future.result(DEADLINE) for future in futures] == [30] * 4


def test_a_process_that_exits_waits_for_held_tasks(client: BlockingTaskClient, tmp_path: Path) -> None:
    script = """
from taskfc_ext import TaskExecutor
executor = TaskExecutor(1, client=client)
def write(n):
    Path(f"{n}.txt").write_text(str(n))
futures = [executor.submit(write, n) for n in range(5)]
client = attach()  # the end of the script closes this one
"""
    run_script(tmp_path, script)
    client.barrier(timeout=DEADLINE)
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == [f"{n}.txt" for n in range(5)]
