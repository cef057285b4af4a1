"""`TaskExecutor`: a farm as an executor of `concurrent.futures`, with and without a limit."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskfc_ext.client import executor as executor_module
from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.executor import TaskExecutor
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.errors import (
    ControllerStopped,
    ControllerUnavailable,
    DependencyFailed,
    RepeatedStreamWarning,
    RequestRefused,
    TaskAborted,
    UnpicklableArgument,
)
from taskfc_ext.protocol.client_messages import Barrier, Resync
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until

N_WORKERS = 4

LIMITS = pytest.mark.parametrize("limit", [None, 1, 3])


def double(x: int) -> int:
    return 2 * x


def invert(x: int) -> float:
    return 1 / x


def n_in_queue(client: BlockingTaskClient) -> int:
    client.flush()
    return sum(client.queue_status().values())


@pytest.fixture
def farm() -> Iterator[FakeFarm]:
    """A farm with more workers than any limit here."""
    with FakeFarm(workers=N_WORKERS) as farm:
        yield farm


# submissions


@LIMITS
def test_tasks_run_with_the_options_of_the_client(client: BlockingTaskClient, limit: int | None) -> None:
    with TaskExecutor(limit, client=client.with_options(name="fit")) as executor:
        futures = [executor.submit(double, x) for x in range(20)]
        assert {future.result(DEADLINE) for future in concurrent.futures.as_completed(futures)} == set(range(0, 40, 2))
        assert futures[0].name == "fit"
        assert executor.submit(dict, a=1).result(DEADLINE) == {"a": 1}
        assert executor.submit(double, futures[2]).result(DEADLINE) == 8
    assert client.submit(double, 4).result(DEADLINE) == 8  # the client is the caller's


@LIMITS
def test_an_error_is_that_of_the_task(client: BlockingTaskClient, limit: int | None) -> None:
    with TaskExecutor(limit, client=client) as executor:
        futures = [executor.submit(invert, x) for x in (0, 0, 2)]
        assert [type(future.exception(DEADLINE)) for future in futures] == [
            ZeroDivisionError,
            ZeroDivisionError,
            type(None),
        ]
        with pytest.raises(UnpicklableArgument):
            executor.submit(double, threading.Lock())


def test_it_takes_the_async_client_too(remote: RemoteController) -> None:
    async def run() -> int:
        loop = asyncio.get_running_loop()
        with TaskExecutor(client=FCTaskClient(remote)) as executor:
            value: int = await loop.run_in_executor(executor, double, 4)
        return value

    assert asyncio.run(run()) == 8


# the limit


def test_a_limit_holds_later_tasks_back(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    executor = TaskExecutor(2, client=client)
    futures = [executor.submit(double, x) for x in range(5)]
    assert n_in_queue(client) == 2
    assert [future.is_held for future in futures] == [False, False, True, True, True]
    assert futures[4].taskid is None
    assert futures[4].state == "scheduled"
    assert not futures[4].done()
    farm.running = True
    assert [future.result(DEADLINE) for future in futures] == [0, 2, 4, 6, 8]
    assert [future.taskid for future in futures] == [0, 1, 2, 3, 4]


def test_never_more_than_the_limit_are_with_the_farm() -> None:
    seen: list[int] = []
    with FakeFarm(workers=4) as farm:
        client = farm.client()
        executor = TaskExecutor(2, client=client)

        def count(future: Any) -> None:
            seen.append(len(client.list_tasks(states=["scheduled", "running"])))

        futures = [executor.submit(double, n) for n in range(40)]
        for future in futures:
            future.add_done_callback(count)
        executor.shutdown()
        until(lambda: len(seen) == 40, "all are counted")
    assert max(seen) <= 2


@pytest.mark.parametrize("limit", [N_WORKERS, N_WORKERS + 1])
def test_a_farm_without_more_workers_than_the_limit_gets_all_tasks(
    farm: FakeFarm, client: BlockingTaskClient, limit: int
) -> None:
    farm.running = False
    executor = TaskExecutor(limit, client=client)
    futures = [executor.submit(double, x) for x in range(20)]
    until(lambda: n_in_queue(client) == 20, "the farm has all of them")
    assert not any(future.is_held for future in futures)
    farm.running = True
    executor.shutdown()
    assert [future.result(0) for future in futures] == [2 * x for x in range(20)]


def test_the_limit_holds_from_the_moment_that_the_farm_is_larger(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    with farm.client() as other:
        other.scale(2)
        executor = TaskExecutor(2, client=client)
        first = [executor.submit(double, x) for x in range(3)]
        until(lambda: n_in_queue(client) == 3, "all are sent")
        other.scale(3)
        client.get_client_name()  # what was sent before this answer has arrived
        later = [executor.submit(double, x) for x in range(3, 6)]
        assert n_in_queue(client) == 3
        assert all(future.is_held for future in later)
        other.scale(1)
        until(lambda: n_in_queue(client) == 6, "the farm gets the held ones")
    farm.running = True
    assert [future.result(DEADLINE) for future in (*first, *later)] == [0, 2, 4, 6, 8, 10]


def test_the_limit_holds_after_lost_messages(farm: FakeFarm, client: BlockingTaskClient) -> None:
    """A `Scaled` may be among them."""
    farm.running = False
    executor = TaskExecutor(N_WORKERS, client=client)
    executor.submit(double, 1)
    until(lambda: n_in_queue(client) == 1, "the size is known")
    farm.controller.send(Resync())
    client.get_client_name()
    futures = [executor.submit(double, x) for x in range(10)]
    assert n_in_queue(client) == N_WORKERS
    farm.running = True
    assert [future.result(DEADLINE) for future in futures] == [2 * x for x in range(10)]


def test_a_slow_callback_delays_no_held_task(client: BlockingTaskClient) -> None:
    go = threading.Event()
    executor = TaskExecutor(1, client=client)
    first = executor.submit(double, 1)
    first.add_done_callback(lambda _: go.wait(DEADLINE))
    assert executor.submit(double, 2).result(DEADLINE) == 4
    go.set()


def test_a_held_task_can_be_cancelled_or_aborted(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    executor = TaskExecutor(1, client=client)
    futures = [executor.submit(double, x) for x in range(4)]
    assert futures[1].cancel()
    assert futures[1].cancelled()
    futures[2].abort()
    farm.running = True
    assert futures[3].result(DEADLINE) == 6
    assert isinstance(futures[2].exception(), TaskAborted)
    assert [future.taskid for future in futures] == [0, None, None, 1]


def test_requests_about_a_held_task_are_refused(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    executor = TaskExecutor(1, client=client)
    executor.submit(double, 1)
    held = executor.submit(double, 2)
    with pytest.raises(RequestRefused, match="waits in its executor"):
        client.hold(held)
    with pytest.raises(DependencyFailed, match="waits in its executor"):
        client.submit(double, held).result(DEADLINE)
    dependent = executor.submit(double, held)
    farm.running = True
    assert dependent.result(DEADLINE) == 8


@pytest.mark.parametrize("end", ["stop", "close"])
def test_held_tasks_end_with_their_farm_and_do_not_start_it_again(
    farm: FakeFarm, client: BlockingTaskClient, end: str
) -> None:
    farm.running = False
    executor = TaskExecutor(1, client=client)
    futures = [executor.submit(double, x) for x in range(2000)]
    client.flush()
    if end == "stop":
        farm.client().stop()
    else:
        client.close()
    for future in futures:
        assert type(future.exception(DEADLINE)) is (ControllerStopped if end == "stop" else ControllerUnavailable)
    if end == "stop":
        until(lambda: farm.condition() is Condition.STOPPED, "it has stopped")
        assert farm.revivals == 0
        farm.running = True
        assert executor.submit(double, 3).result(DEADLINE) == 6  # a new submission starts it
    else:
        with pytest.raises(ControllerUnavailable):
            executor.submit(double, 3)


def test_many_threads_may_submit(client: BlockingTaskClient) -> None:
    executor = TaskExecutor(3, client=client)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        futures = list(threads.map(lambda x: executor.submit(double, x), range(400)))
    executor.shutdown()
    assert [future.result(0) for future in futures] == [2 * x for x in range(400)]


def test_on_a_worker_a_wait_for_a_held_task_lends_the_place(farm: FakeFarm) -> None:
    farm.running = False
    remote = RemoteController(farm, version="test", worker=7)
    client = BlockingTaskClient(FCTaskClient(remote))
    executor = TaskExecutor(1, client=client)
    futures = [executor.submit(double, x) for x in range(3)]
    waiting = threading.Thread(target=futures[2].result)
    waiting.start()
    until(lambda: any(isinstance(message, Barrier) for message in farm.controller.received), "it lends")
    client.get_client_name()
    n_messages = len(farm.controller.received)
    for _ in range(20):
        client.get_client_name()
    assert len(farm.controller.received) <= n_messages + 25, "it asks again and again"
    farm.running = True
    waiting.join(DEADLINE)
    assert not waiting.is_alive()
    remote.close()


# maps


@LIMITS
@pytest.mark.parametrize("chunksize", [1, 3, 100, 10**30])
def test_a_map_gives_the_results_in_order(client: BlockingTaskClient, limit: int | None, chunksize: int) -> None:
    with TaskExecutor(limit, client=client) as executor:
        assert list(executor.map(double, (x for x in range(10)), chunksize=chunksize)) == [2 * x for x in range(10)]
        assert list(executor.map(pow, range(10), [2] * 20, chunksize=chunksize)) == [x**2 for x in range(10)]
        assert list(executor.map(double, [], chunksize=chunksize)) == []


def test_a_chunk_is_one_task_under_the_functions_name(farm: FakeFarm, client: BlockingTaskClient) -> None:
    with TaskExecutor(client=client) as executor:
        assert list(executor.map(double, range(10), chunksize=4)) == [2 * x for x in range(10)]
    assert [task.label for task in client.list_tasks()] == ["double"] * 3


def test_an_error_in_a_chunk_comes_after_the_chunks_before_and_names_its_item(client: BlockingTaskClient) -> None:
    with TaskExecutor(client=client) as executor:
        results = executor.map(invert, [1, 2, 4, 5, 0, 8, 10], chunksize=3)
        assert [next(results) for _ in range(3)] == [1, 0.5, 0.25]
        with pytest.raises(ZeroDivisionError) as caught:
            next(results)
        assert caught.value.__notes__ == ["item 4 in a map"]
        assert list(results) == []


def test_a_map_submits_at_once_and_ends_at_the_first_error(client: BlockingTaskClient) -> None:
    executor = TaskExecutor(client=client)
    results = executor.map(invert, [1, 0, 2])
    assert n_in_queue(client) == 3
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_a_map_that_ends_early_cancels_the_rest(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    for limit in (None, 2):
        executor = TaskExecutor(limit, client=client)
        results = executor.map(double, range(10), timeout=0)
        with pytest.raises(TimeoutError):
            next(results)
        executor.shutdown()  # else it would wait for them
    assert client.queue_status()["scheduled"] == 0


def test_a_generator_of_the_function_is_reported(client: BlockingTaskClient) -> None:
    import random

    stream = random.Random(1)
    with TaskExecutor(client=client) as executor, pytest.warns(RepeatedStreamWarning):
        executor.map(lambda x: stream.random() + x, range(3))


# shutdown


@LIMITS
def test_shutdown_waits_and_the_farm_goes_on(client: BlockingTaskClient, limit: int | None) -> None:
    executor = TaskExecutor(limit, client=client)
    futures = [executor.submit(double, x) for x in range(10)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(double, [1])
    executor.shutdown()
    assert client.submit(double, 1).result(DEADLINE) == 2


@LIMITS
def test_shutdown_need_not_wait(farm: FakeFarm, client: BlockingTaskClient, limit: int | None) -> None:
    farm.running = False
    executor = TaskExecutor(limit, client=client)
    futures = [executor.submit(double, x) for x in range(10)]
    executor.shutdown(wait=False)
    del executor
    farm.running = True
    assert [future.result(DEADLINE) for future in futures] == [2 * x for x in range(10)]


@LIMITS
def test_shutdown_cancels_what_no_worker_has(farm: FakeFarm, client: BlockingTaskClient, limit: int | None) -> None:
    farm.running = False
    executor = TaskExecutor(limit, client=client)
    futures = [executor.submit(double, x) for x in range(10)]
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


def test_an_executor_without_a_client_has_one_of_its_own(farm: FakeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "TaskClient", farm.client)
    with TaskExecutor() as executor:
        assert executor.submit(double, 1).result(DEADLINE) == 2
        mine = executor._client
        assert executor._max_workers == N_WORKERS
    with pytest.raises(ControllerUnavailable, match="closed"):
        mine.queue_status()
    abandoned = TaskExecutor().submit(double, 2)  # its future keeps the connection
    assert abandoned.result(DEADLINE) == 4


def test_the_exit_waits_for_held_tasks(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    executor = TaskExecutor(1, client=client)
    futures = [executor.submit(double, x) for x in range(3)]
    leaving = threading.Thread(target=executor_module._wait_at_exit)
    leaving.start()
    assert leaving.is_alive()
    farm.running = True
    leaving.join(DEADLINE)
    assert not leaving.is_alive()
    assert all(future.done() for future in futures)


def test_results_are_not_kept(client: BlockingTaskClient) -> None:
    executor = TaskExecutor(2, client=client)
    for value in executor.map(Holder, range(10)):
        reference = weakref.ref(value)
        del value
        until(lambda: reference() is None, "the thread that ended the future has gone on")  # noqa: B023
    executor.submit(Holder, 1)
    executor.shutdown()
    until(lambda: not list(executor._futures), "the future is gone")


class Holder:
    def __init__(self, x: int) -> None:
        self.x = x


# wrong uses


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda client: TaskExecutor(0, client=client), ValueError, "greater than 0, not 0"),
        (lambda client: TaskExecutor(1.5, client=client), TypeError, "an int or None, not 1.5"),
        (lambda client: TaskExecutor(True, client=client), TypeError, "an int or None, not True"),
        (lambda client: TaskExecutor(client), TypeError, "a client is given as client="),
        (lambda client: TaskExecutor(client="default"), TypeError, "TaskClient.. returns, not 'default'"),
        (lambda client: TaskExecutor(client=client).submit(3), TypeError, "3 cannot be called"),
        (lambda client: TaskExecutor(client=client).map(double, [1], chunksize=0), ValueError, "at least 1, not 0"),
        (lambda client: TaskExecutor(client=client).map(double, [1], chunksize=-3), ValueError, "at least 1, not -3"),
        (lambda client: TaskExecutor(client=client).map(double, [1], chunksize=2.0), TypeError, "an int, not 2.0"),
        (lambda client: pickle.dumps(TaskExecutor(client=client)), TypeError, "make one with TaskExecutor"),
        (lambda client: client.submit(id, TaskExecutor(client=client)), UnpicklableArgument, "make one with"),
    ],
)
def test_wrong_uses_say_what_to_do(
    client: BlockingTaskClient, call: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call(client)
