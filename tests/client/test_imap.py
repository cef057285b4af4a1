"""`imap`: a lazy map with a bounded number of tasks, in both clients."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.errors import RepeatedStreamWarning, TaskAborted, UnpicklableArgument
from taskfc_ext.protocol.client_messages import Barrier, GetWorkers
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until


def double(x: int) -> int:
    return 2 * x


def invert(x: int) -> float:
    return 1 / x


class Counter:
    """Endless items; knows how many were read."""

    def __init__(self) -> None:
        self.n_read = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.n_read += 1
            yield self.n_read - 1


def n_unfinished(client: BlockingTaskClient) -> int:
    return sum(client.queue_status()[state] for state in ("waiting", "scheduled", "pending"))


def test_the_results_come_in_the_order_of_the_items(client: BlockingTaskClient) -> None:
    assert list(client.imap(double, range(100))) == [2 * x for x in range(100)]
    assert list(client.imap(pow, [2, 3], [3, 2])) == [8, 9]
    assert list(client.imap(double, [])) == []


def test_endless_iterables_end_with_the_reader_or_the_shortest(client: BlockingTaskClient) -> None:
    results = client.imap(pow, itertools.count(1), itertools.repeat(2))
    assert list(itertools.islice(results, 50)) == [x * x for x in range(1, 51)]
    results.close()
    assert list(client.imap(pow, itertools.count(1), (2, 2))) == [1, 4]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_window_bounds_what_is_unfinished_or_unread(client: BlockingTaskClient, ordered: bool) -> None:
    items = Counter()
    results = client.imap(double, items, window=3, ordered=ordered)
    assert items.n_read == 0  # nothing before it is asked for
    for n_taken in range(1, 6):
        next(results)
        assert items.n_read == n_taken + 3
    results.close()


def test_the_default_window_follows_the_number_of_workers(farm: FakeFarm, client: BlockingTaskClient) -> None:
    items = Counter()
    results = client.imap(double, items)
    next(results)
    assert items.n_read == 33
    until(lambda: any(isinstance(message, GetWorkers) for message in farm.controller.received), "it asks for them")
    results.close()
    with FakeFarm(workers=3) as larger:
        results = larger.client().imap(double, items)
        items.n_read = 0
        next(results)
        assert items.n_read == 49
        results.close()


GATE = threading.Event()


def pass_gate(x: int) -> int:
    if x == 0:
        assert GATE.wait(DEADLINE)
    return x


def test_unordered_results_come_as_tasks_end() -> None:
    GATE.clear()
    with FakeFarm(workers=2) as farm:
        results = farm.client().imap(pass_gate, range(5), ordered=False)
        assert [next(results) for _ in range(4)] == [1, 2, 3, 4]
        GATE.set()
        assert list(results) == [0]


@pytest.mark.parametrize("ordered", [True, False])
def test_the_iteration_ends_at_the_first_error(client: BlockingTaskClient, ordered: bool) -> None:
    results = client.imap(invert, [1, 2, 0, 4], ordered=ordered)
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_an_error_of_the_items_comes_behind_the_results_before_it(client: BlockingTaskClient) -> None:
    def items() -> Iterator[Any]:
        yield 1
        yield 2
        raise LookupError("no third item")

    results = client.imap(double, items())
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(LookupError, match="no third item"):
        next(results)
    results = client.imap(double, [1, threading.Lock()])
    assert next(results) == 2
    with pytest.raises(UnpicklableArgument):
        next(results)


def test_an_aborted_task_is_an_error_in_its_place(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    results = client.imap(double, range(3))
    thread = threading.Thread(target=lambda: (until(lambda: n_unfinished(client) == 3, "sent"), client.abort(0)))
    thread.start()
    with pytest.raises(TaskAborted):
        next(results)
    thread.join(DEADLINE)


@pytest.mark.parametrize("end", ["close", "collection", "error"])
@pytest.mark.parametrize("ordered", [True, False])
def test_tasks_that_no_worker_has_are_cancelled_at_the_end(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient, ordered: bool, end: str
) -> None:
    farm.running = False

    async def begin_and_end() -> None:
        results = FCTaskClient(remote).imap(double, itertools.count(), window=8, ordered=ordered)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(results)
        client.flush()
        assert n_unfinished(client) == 8
        if end == "close":
            results.close()
        elif end == "error":
            client.abort(0)
            with pytest.raises(TaskAborted):
                await anext(results)

    asyncio.run(begin_and_end())
    until(lambda: n_unfinished(client) == 0, f"all are gone after {end}")


def test_the_results_are_not_kept(client: BlockingTaskClient) -> None:
    for ordered in (True, False):
        for value in client.imap(Holder, range(20), ordered=ordered):
            reference = weakref.ref(value)
            del value
            until(lambda: reference() is None, "the thread that ended the future has gone on")  # noqa: B023


class Holder:
    def __init__(self, x: int) -> None:
        self.x = x


def test_an_interrupt_of_the_wait_ends_it(farm: FakeFarm, client: BlockingTaskClient) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    results = client.imap(double, items())
    with pytest.raises(KeyboardInterrupt) as caught:
        next(results)
    until(lambda: n_unfinished(client) == 0, "the traceback keeps nothing alive")
    assert caught.tb is not None
    assert list(results) == []


def test_a_stopped_farm_starts_for_it(farm: FakeFarm, client: BlockingTaskClient) -> None:
    client.stop()
    until(lambda: farm.condition() is Condition.STOPPED, "it has stopped")
    assert list(client.imap(double, range(40))) == [2 * x for x in range(40)]


def test_on_a_worker_its_waits_lend_the_place(farm: FakeFarm) -> None:
    farm.running = False
    remote = RemoteController(farm, version="test", worker=7)
    for ordered in (True, False):
        farm.controller.received.clear()
        results = BlockingTaskClient(FCTaskClient(remote)).imap(double, [1], ordered=ordered)
        thread = threading.Thread(target=list, args=(results,))
        thread.start()
        until(lambda: any(isinstance(message, Barrier) for message in farm.controller.received), "it lends")
        farm.running = True
        thread.join(DEADLINE)
        assert not thread.is_alive()
        farm.running = False
    remote.close()


@pytest.mark.parametrize("ordered", [True, False])
def test_the_async_client_gives_an_async_iterator(farm: FakeFarm, remote: RemoteController, ordered: bool) -> None:
    async def read() -> list[int]:
        return [value async for value in FCTaskClient(remote).imap(double, range(50), ordered=ordered)]

    assert sorted(asyncio.run(read())) == [2 * x for x in range(50)]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_async_wait_that_times_out_loses_nothing(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient, ordered: bool
) -> None:
    farm.running = False

    async def read() -> list[int]:
        results = FCTaskClient(remote).imap(double, range(5), ordered=ordered)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(results)
        farm.running = True
        return [value async for value in results]

    assert sorted(asyncio.run(read())) == [0, 2, 4, 6, 8]


def test_aclose_cancels(farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient) -> None:
    async def read() -> int:
        async with aclosing(FCTaskClient(remote).imap(double, itertools.count())) as results:
            value: int = await anext(results)
            return value

    assert asyncio.run(read()) == 0
    until(lambda: n_unfinished(client) == 0, "all have ended or are gone")


def test_a_generator_of_the_function_is_reported_at_the_call(client: BlockingTaskClient) -> None:
    stream = random.Random(1)
    with pytest.warns(RepeatedStreamWarning):
        client.imap(lambda x: stream.random() + x, range(3))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda client: client.imap(double), TypeError, "a sequence for each"),
        (lambda client: client.imap(3, [1]), TypeError, "3 cannot be called"),
        (lambda client: client.imap(double, 3), TypeError, "takes sequences behind the function, not"),
        (lambda client: client.imap(double, [1], window=0), ValueError, "window is at least 1, not 0"),
        (lambda client: client.imap(double, [1], window=1.5), TypeError, "window is an int.*not 1.5"),
        (lambda client: client.imap(double, [1], window=True), TypeError, "window is an int.*not True"),
    ],
)
def test_wrong_uses_are_refused_at_the_call(
    client: BlockingTaskClient, call: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call(client)
