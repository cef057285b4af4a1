"""All of asyncio's ways to wait, on futures that end meanwhile, have ended, or never do: each ends, or refuses."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from taskfc_ext.client.future.future import CANCELLED, TaskFuture
from tests.client.test_future import fail, later, pending, succeed
from tests.processes import DEADLINE

Way = Callable[[list[TaskFuture]], Awaitable[Any]]


async def wait_all(futures: list[TaskFuture]) -> list[Any]:
    done, left = await asyncio.wait(futures)
    assert not left
    return sorted(future.result() for future in done)


async def wait_set(futures: list[TaskFuture]) -> list[Any]:
    done, left = await asyncio.wait(set(futures), timeout=DEADLINE)
    return sorted(future.result() for future in done) if not left else []


async def wait_until_none_is_left(futures: list[TaskFuture]) -> list[Any]:
    left, found = set(futures), []
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        found += [future.result() for future in done]
    return sorted(found)


async def wait_mixed(futures: list[TaskFuture]) -> list[Any]:
    tasks = [asyncio.ensure_future(future) for future in futures[:1]]
    done, _ = await asyncio.wait([*tasks, *futures[1:], asyncio.create_task(asyncio.sleep(0, -1))])
    return sorted(each.result() for each in done)[1:]


async def wait_in_a_task(futures: list[TaskFuture]) -> list[Any]:
    return await asyncio.create_task(wait_all(futures))


async def as_completed(futures: list[TaskFuture]) -> list[Any]:
    return sorted([await each for each in asyncio.as_completed(futures, timeout=DEADLINE)])


async def gather(futures: list[TaskFuture]) -> list[Any]:
    return sorted(await asyncio.gather(*futures, *futures))[::2]


async def gather_with_exceptions(futures: list[TaskFuture]) -> list[Any]:
    return sorted(await asyncio.gather(*futures, return_exceptions=True))


async def wait_for(futures: list[TaskFuture]) -> list[Any]:
    return sorted([await asyncio.wait_for(future, DEADLINE) for future in futures])


async def shield(futures: list[TaskFuture]) -> list[Any]:
    return sorted([await asyncio.shield(future) for future in futures])


async def under_a_timeout(futures: list[TaskFuture]) -> list[Any]:
    async with asyncio.timeout(DEADLINE):
        return sorted([await future for future in futures])


async def ensure_future(futures: list[TaskFuture]) -> list[Any]:
    tasks = [asyncio.ensure_future(future) for future in futures]
    return sorted([await task for task in tasks])


async def task_group(futures: list[TaskFuture]) -> list[Any]:
    async def result(future: TaskFuture) -> Any:
        return await future

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(result(future)) for future in futures]
    return sorted(task.result() for task in tasks)


async def wrap_future(futures: list[TaskFuture]) -> list[Any]:
    done, _ = await asyncio.wait([asyncio.wrap_future(future) for future in futures])
    return sorted(each.result() for each in done)


async def in_an_executor(futures: list[TaskFuture]) -> list[Any]:
    loop = asyncio.get_running_loop()
    return sorted([await loop.run_in_executor(None, future.result, DEADLINE) for future in futures])


WAYS = [
    *(wait_all, wait_set, wait_until_none_is_left, wait_mixed, wait_in_a_task, as_completed, gather),
    *(gather_with_exceptions, wait_for, shield, under_a_timeout, ensure_future, task_group, wrap_future),
    in_an_executor,
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def run(way: Way, futures: list[TaskFuture]) -> Any:
    return asyncio.run(asyncio.wait_for(way(futures), DEADLINE))


def end_all(futures: list[TaskFuture]) -> None:
    for n, future in enumerate(futures):
        succeed(future, n)


@ways
def test_they_end_while_it_waits(way: Way) -> None:
    futures = [pending() for _ in range(3)]

    async def use(futures: list[TaskFuture]) -> Any:
        asyncio.get_running_loop().call_later(0.01, later, lambda: end_all(futures))
        return await way(futures)

    assert run(use, futures) == [0, 1, 2]
    assert all(not future._make_wait_state().waiters for future in futures)


@ways
def test_they_have_ended_before(way: Way) -> None:
    futures = [pending() for _ in range(3)]
    end_all(futures)
    assert run(way, futures) == [0, 1, 2]


@ways
def test_some_have_ended_before(way: Way) -> None:
    futures = [pending() for _ in range(3)]
    succeed(futures[0], 0)
    later(lambda: (succeed(futures[1], 1), succeed(futures[2], 2)))
    assert run(way, futures) == [0, 1, 2]


@pytest.mark.parametrize("early", [True, False])
def test_wait_returns_at_the_first_exception(early: bool) -> None:
    async def use() -> None:
        good, bad, never = pending(), pending(), pending()
        if early:
            fail(bad, ValueError("no"))
        else:
            later(lambda: (succeed(good), fail(bad, ValueError("no"))))
        done, left = await asyncio.wait([good, bad, never], return_when=asyncio.FIRST_EXCEPTION)
        assert bad in done
        assert never in left
        assert never._make_wait_state().waiters == []

    asyncio.run(asyncio.wait_for(use(), DEADLINE))


def test_a_wait_that_times_out_harms_nothing_and_leaves_nothing() -> None:
    async def use() -> None:
        future = pending()
        assert await asyncio.wait([future], timeout=0.01) == (set(), {future})
        assert (future._make_wait_state().waiters, future._make_wait_state().callbacks) == ([], [])
        later(lambda: succeed(future))
        assert await asyncio.wait([future]) == ({future}, set())

    asyncio.run(asyncio.wait_for(use(), DEADLINE))


def test_a_cancelled_future_ends_a_wait() -> None:
    async def use() -> None:
        future = pending()
        later(lambda: future._settle(CANCELLED))
        done, _ = await asyncio.wait([future])
        assert done == {future}
        assert future.cancelled()

    asyncio.run(asyncio.wait_for(use(), DEADLINE))


def test_two_loops_wait_for_one_future() -> None:
    future, began = pending(), threading.Barrier(3)

    async def use() -> Any:
        waiting = asyncio.ensure_future(asyncio.wait([future]))
        await asyncio.sleep(0)
        began.wait(DEADLINE)
        await waiting
        return future.result()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(asyncio.run, use()) for _ in range(2)]
        began.wait(DEADLINE)
        succeed(future)
        assert [wait.result(DEADLINE) for wait in waits] == [42, 42]


def test_a_loop_that_was_closed_meanwhile_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    future = pending()

    async def begin() -> None:
        waiting = asyncio.ensure_future(asyncio.wait([future]))
        await asyncio.sleep(0)
        del waiting

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    with caplog.at_level(logging.DEBUG):
        succeed(future)
    assert caplog.records == []


def test_callbacks_of_users_run_on_their_thread_also_if_they_are_added_in_a_loop() -> None:
    async def use() -> None:
        future, called, where = pending(), threading.Event(), []
        future.add_done_callback(lambda _: (where.append(threading.current_thread().name), called.set()))
        later(lambda: succeed(future))
        assert called.wait(DEADLINE)  # the loop is blocked, as that of a notebook is by a cell
        assert where == ["taskfc-callbacks"]

    asyncio.run(use())


def test_callbacks_can_be_removed() -> None:
    future, called, kept = pending(), [], threading.Event()
    for _ in range(2):
        future.add_done_callback(called.append)
    future.add_done_callback(lambda _: kept.set())
    assert future.remove_done_callback(called.append) == 2
    assert future.remove_done_callback(called.append) == 0
    succeed(future)
    assert kept.wait(DEADLINE)
    assert called == []
    assert future.remove_done_callback(called.append) == 0


@pytest.mark.parametrize(
    "way",
    [
        lambda future: asyncio.create_task(future),
        lambda future: asyncio.get_running_loop().create_task(future),
        lambda future: asyncio.run(future),
        lambda future: asyncio.run_coroutine_threadsafe(future, asyncio.get_running_loop()),
    ],
    ids=["create_task", "loop.create_task", "run", "run_coroutine_threadsafe"],
)
def test_functions_that_take_coroutines_only_refuse_at_once(way: Callable[[Any], Any]) -> None:
    async def use() -> None:
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            way(pending())

    asyncio.run(use())


def test_a_loop_runs_until_a_future_is_complete() -> None:
    future = pending()
    later(lambda: succeed(future))
    with asyncio.Runner() as runner:
        assert runner.get_loop().run_until_complete(future) == 42
