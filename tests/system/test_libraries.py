"""Libraries that take an executor, or a `map`, on a real farm: they give what they give alone.

Tests import them, as each worker imports this module.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
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


def test_futures_are_awaited_by_all_of_asyncio(executor: TaskExecutor) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE):
            assert await executor.submit(square, 3) == 9
            futures = [executor.submit(square, x) for x in range(10)]
            assert sorted([await next_one for next_one in asyncio.as_completed(futures)]) == [x * x for x in range(10)]
            done, pending = await asyncio.wait([asyncio.ensure_future(executor.submit(square, 2))])
            assert ([each.result() for each in done], pending) == ([4], set())

    asyncio.run(run())


def test_dask_computes_on_it(executor: TaskExecutor) -> None:
    import dask
    import dask.array

    squares = [dask.delayed(square)(x) for x in range(10)]
    assert dask.delayed(sum)(squares).compute(scheduler=executor) == sum(x * x for x in range(10))
    assert dask.delayed(os.getpid)().compute(scheduler=executor) != os.getpid()
    numbers = dask.array.random.default_rng(1).normal(size=(400, 400), chunks=100)
    assert numbers.mean().compute(scheduler=executor) == numbers.mean().compute(scheduler="sync")


@pytest.fixture(params=["executor", "client"])
def apply(request: pytest.FixtureRequest, client: BlockingTaskClient) -> Iterator[Callable[..., Any]]:
    """A parallel `map`."""
    with TaskExecutor(client=client) as executor:
        yield executor.map if request.param == "executor" else client.map


@pytest.mark.parametrize("solve", ["differential_evolution", "brute", "shgo"])
def test_scipy_gives_the_same_as_alone(apply: Callable[..., Any], solve: str) -> None:
    from scipy import optimize

    bounds = [(-2, 2), (-2, 2)]
    options: dict[str, dict[str, Any]] = {
        "differential_evolution": {"updating": "deferred", "maxiter": 3, "polish": False, "rng": 1},
        "brute": {"Ns": 4, "finish": None},
        "shgo": {"n": 16, "iters": 1},
    }
    function = getattr(optimize, solve)
    found, alone = (function(optimize.rosen, bounds, workers=workers, **options[solve]) for workers in (apply, 1))
    assert (found == alone).all() if solve == "brute" else (found.x == alone.x).all()


def log_normal(x: Any) -> float:
    return float(-(x**2).sum() / 2)


def cube(unit: Any) -> Any:
    return 10 * unit - 5


def test_emcee_gives_the_same_as_alone(executor: TaskExecutor) -> None:
    import emcee

    def chain(pool: Any) -> Any:
        sampler = emcee.EnsembleSampler(6, 2, log_normal, pool=pool)
        sampler.random_state = np.random.RandomState(1).get_state()
        sampler.run_mcmc(np.random.RandomState(2).randn(6, 2), 5)
        return sampler.get_chain()

    assert (chain(executor) == chain(None)).all()


class Sequential:
    """A pool that is this process."""

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
        return list(map(function, items))


def test_dynesty_gives_the_same_as_alone_with_as_many_proposals_at_once(executor: TaskExecutor) -> None:
    """The number of proposals decides which numbers are drawn, whatever makes them."""
    import dynesty

    def evidence(pool: Any) -> tuple[float, Any]:
        sampler = dynesty.NestedSampler(
            log_normal, cube, 2, nlive=50, rstate=np.random.default_rng(3), pool=pool, queue_size=4
        )
        sampler.run_nested(print_progress=False, dlogz=5)
        return sampler.results.logz[-1], sampler.results.samples

    (found, samples), (alone, expected) = evidence(executor), evidence(Sequential())
    assert found == alone
    assert (samples == expected).all()


def peak(x: float) -> float:
    return x + 0.01 / (0.01 + x**2)


def test_adaptive_gives_the_same_as_alone(executor: TaskExecutor) -> None:
    import adaptive

    alone, found, fast = (adaptive.Learner1D(peak, (-1, 1)) for _ in range(3))
    adaptive.runner.simple(alone, npoints_goal=20)
    adaptive.BlockingRunner(found, npoints_goal=20, executor=executor, ntasks=1)
    assert found.data == alone.data
    adaptive.BlockingRunner(fast, npoints_goal=20, executor=executor, ntasks=4)  # the order of ends chooses the points
    assert len(fast.data) >= 20
    assert all(value == peak(x) for x, value in fast.data.items())


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
