"""A farm in threads of this process, as users' tests have it: the rules of a farm hold, and nothing is left of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from taskfc_ext import (
    BlockingTaskClient,
    BroadcastFailed,
    DependencyFailed,
    LoadingFailed,
    MapTask,
    RequestRefused,
    StringTask,
    TaskAborted,
    TaskRejectError,
    TaskTimeout,
    UnpicklableResult,
)
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.protocol.client_messages import Ping
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until


@pytest.fixture
def farm() -> Iterator[FakeFarm]:
    with FakeFarm() as farm:
        yield farm


@pytest.fixture
def client(farm: FakeFarm) -> BlockingTaskClient:
    return farm.client(label="tester")


def add(x: int, y: int = 1) -> int:
    return x + y


def fail(text: str) -> None:
    raise ValueError(text)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def fail_unprintably(*_: object) -> None:
    raise Unprintable


class NotNow(TaskRejectError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unloadable:
    def __reduce__(self) -> object:
        return fail_unprintably, ()


CALLS: list[float] = []


def succeed_at_last(n: int) -> int:
    CALLS.append(time.monotonic())
    if len(CALLS) < n:
        raise OSError("not yet")
    return len(CALLS)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def run_until_stopped() -> None:
    print("on it")
    while True:
        time.sleep(0.001)


# as in a farm


def test_results_and_output_come_back(client: BlockingTaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    def show(x: int) -> int:
        import sys

        print("out", x)
        print("err", file=sys.stderr)
        return x

    print("here")
    future = client.submit(show, 3)
    assert future.result(DEADLINE) == 3
    assert (future.stdout, future.stderr) == ("out 3\n", "err\n")
    print("there")
    assert capsys.readouterr() == ("here\nthere\n", "")


def test_many_tasks_are_run_in_order(client: BlockingTaskClient) -> None:
    assert client.map(add, range(1000)) == list(range(1, 1001))
    assert client.run(MapTask(add, [4]), block=True) == 5


def test_a_failure_has_its_type_text_and_traceback(client: BlockingTaskClient) -> None:
    error = client.submit(fail, "no luck").exception(DEADLINE)
    assert isinstance(error, ValueError)
    assert str(error) == "no luck"
    assert "in fail" in str(error.__cause__)
    assert "testing" not in str(error.__cause__).replace("test_testing", "")


def test_a_result_that_cannot_be_pickled_is_the_tasks_failure(client: BlockingTaskClient) -> None:
    with pytest.raises(UnpicklableResult, match="generator"):
        client.submit(lambda: (i for i in ())).result(DEADLINE)


def test_retries_and_backoff(client: BlockingTaskClient) -> None:
    future = client.with_options(retries=3, backoff=0.05).submit(succeed_at_last, 3)
    assert (future.result(DEADLINE), future.attempts) == (3, 3)
    assert CALLS[1] - CALLS[0] >= 0.05


def test_retry_on_names_the_errors_that_a_retry_may_mend(client: BlockingTaskClient) -> None:
    picky = client.with_options(retries=3, retry_on=OSError)
    assert picky.submit(succeed_at_last, 2).result(DEADLINE) == 2
    future = picky.submit(fail, "for good")
    assert isinstance(future.exception(DEADLINE), ValueError)
    assert future.attempts == 1


def test_a_recovery_task_runs_after_a_failure(client: BlockingTaskClient) -> None:
    task = MapTask(fail, ["no luck"], recovery_task=MapTask(add, [1]))
    assert client.run(task, block=True) == 2


def test_dependencies(client: BlockingTaskClient) -> None:
    assert client.submit(add, client.submit(add, 1), y=client.submit(add, 5)).result(DEADLINE) == 8
    bad = client.submit(fail, "no luck")
    with pytest.raises(DependencyFailed):
        client.with_options(after=bad).submit(add, 1).result(DEADLINE)


def test_a_task_is_aborted_while_it_runs_and_the_next_one_runs(client: BlockingTaskClient) -> None:
    future, following = client.submit(run_until_stopped), client.submit(add, 1)
    until(lambda: future.state == "running", "it runs")
    future.abort()
    with pytest.raises(TaskAborted):
        future.result(DEADLINE)
    assert future.stdout == "on it\n"
    assert following.result(DEADLINE) == 2


def test_a_timeout(client: BlockingTaskClient) -> None:
    with pytest.raises(TaskTimeout):
        client.with_options(timeout=0.05).submit(run_until_stopped).result(DEADLINE)


def test_short_tasks_do_not_wait_behind_a_long_one() -> None:
    with FakeFarm(workers=2) as farm:
        client = farm.client()
        assert client.map(add, range(50))  # by now workers hold some more of them
        long = client.submit(run_until_stopped)
        assert client.map(add, range(50)) == list(range(1, 51))
        assert not long.done()
        long.abort()


def test_depend_is_given_the_properties() -> None:
    with FakeFarm(properties={"gpu": True}) as farm:
        task = farm.client().with_options(depend=lambda properties: properties["gpu"]).submit(add, 1)
        assert task.result(DEADLINE) == 2


def test_an_exception_in_depend_refuses_the_worker(client: BlockingTaskClient) -> None:
    def depend(properties: dict[str, object]) -> bool:
        CALLS.append(0)
        return bool(properties["gpu"])

    future = client.with_options(depend=depend).submit(add, 1)
    until(lambda: bool(CALLS), "it was asked")
    assert not future.done()
    future.abort()


def test_a_task_may_reject_a_worker(client: BlockingTaskClient) -> None:
    def first_not_now() -> int:
        CALLS.append(0)
        if len(CALLS) == 1:
            raise TaskRejectError("not now")
        return 3

    assert client.submit(first_not_now).result(DEADLINE) == 3


def test_source_text(client: BlockingTaskClient) -> None:
    cell = client.submit_cell("y = x + 1\ny * 2", {"x": 2}, "y")
    assert (cell.result(DEADLINE), cell.ns.y) == (6, 3)
    with pytest.raises(NameError):
        client.submit_cell("y").result(DEADLINE)
    result = client.get_task_result(client.run(StringTask("z = x + 1", push={"x": 1}, pull="z")), block=True)
    assert result.ns.z == 2


def test_coroutines_are_awaited(client: BlockingTaskClient) -> None:
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert client.submit(double, 4).result(DEADLINE) == 8


def test_broadcasts(client: BlockingTaskClient) -> None:
    assert client.broadcast("limit = 3") == 1
    assert client.submit_cell("limit", keep=True).result(DEADLINE) == 3
    with pytest.raises(BroadcastFailed, match="ZeroDivisionError"):
        client.broadcast("1 / 0")


def test_a_broadcast_whose_error_has_no_text_is_reported(client: BlockingTaskClient) -> None:
    with pytest.raises(BroadcastFailed, match=r"Unprintable: <.*Unprintable whose text cannot be shown>"):
        client.broadcast(fail_unprintably, timeout=DEADLINE)
    assert client.submit(add, 1).result(DEADLINE) == 2


def test_a_broadcast_with_a_long_error_is_reported(client: BlockingTaskClient) -> None:
    with pytest.raises(BroadcastFailed, match=r"ValueError: (?s:.*) characters left out"):
        client.broadcast("raise ValueError('no luck ' * 10_000)", timeout=DEADLINE)


def test_a_depend_whose_error_has_no_text_refuses_the_worker(client: BlockingTaskClient) -> None:
    future = client.with_options(depend=fail_unprintably).submit(add, 1)
    with pytest.raises(TimeoutError):
        future.result(0.2)
    future.abort()


def test_a_rejection_without_a_text_is_a_rejection(client: BlockingTaskClient) -> None:
    def first_not_now() -> int:
        CALLS.append(0)
        if len(CALLS) == 1:
            raise NotNow
        return 3

    assert client.submit(first_not_now).result(DEADLINE) == 3


def test_an_argument_that_cannot_be_loaded_is_described_as_on_a_worker(client: BlockingTaskClient) -> None:
    with pytest.raises(LoadingFailed, match=r"^loading add on the worker failed: .*Unprintable: <"):
        client.submit(add, Unloadable()).result(DEADLINE)


def test_barriers(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    client.submit(add, 1)
    with pytest.raises(TimeoutError):
        client.barrier(timeout=0.05)
    farm.running = True
    client.barrier(timeout=DEADLINE)


def test_requests_that_make_no_sense_are_refused(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.running = False
    future = client.submit(add, 1)
    with pytest.raises(RequestRefused, match="abort it first"):
        future.retry()


def test_the_number_of_workers_can_change(client: BlockingTaskClient) -> None:
    assert client.scale(3) == 1
    until(lambda: len(client.workers()) == 3, "there are three")
    client.scale(1)
    until(lambda: len(client.workers()) == 1, "there is one")
    assert client.submit(add, 1).result(DEADLINE) == 2


FARMS: list[FakeFarm] = []


def sum_below(n: int) -> int:
    with FARMS[-1].client() as client:
        return n + client.submit(sum_below, n - 1).result(DEADLINE) if n else 0


def test_a_task_that_waits_for_tasks_lends_its_worker(farm: FakeFarm, client: BlockingTaskClient) -> None:
    FARMS.append(farm)
    assert client.submit(sum_below, 3).result(DEADLINE) == 6


# held back


def test_tasks_are_held_back_and_then_run(farm: FakeFarm, client: BlockingTaskClient) -> None:
    assert client.submit(add, 1).result(DEADLINE) == 2
    farm.running = False
    futures = [client.submit(add, i) for i in range(3)]
    client.flush()
    assert client.queue_status()["scheduled"] == 3
    assert futures[0].cancel()
    assert not futures[1].done()
    farm.running = True
    assert futures[1].result(DEADLINE) == 2


def test_a_task_that_runs_goes_on_while_others_are_held_back(farm: FakeFarm, client: BlockingTaskClient) -> None:
    event = threading.Event()
    EVENTS["go"] = event
    running, held = client.submit(wait_for_event, "go"), client.submit(add, 1)
    until(lambda: running.state == "running", "it runs")
    farm.running = False
    event.set()
    assert running.result(DEADLINE) == "go"
    assert client.queue_status()["scheduled"] == 1
    farm.running = True
    assert held.result(DEADLINE) == 2


def test_a_message_that_waits_for_a_later_turn_is_not_counted_as_handled(
    farm: FakeFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.running = False
    monkeypatch.setattr("taskfc_ext.controller.reception.TURN", 1e-5)  # as on a machine a hundred times slower
    asynchronous = farm.async_client()
    client = BlockingTaskClient(asynchronous)
    for n in range(1, 31):
        for _ in range(3):
            client.submit(add, n)
        asynchronous.remote_reference.call(Ping)
        farm.controller.wait_for(Ping, n)
        assert farm.controller.n_accepted == 3 * n


EVENTS: dict[str, threading.Event] = {}


def wait_for_event(name: str) -> str:
    assert EVENTS[name].wait(DEADLINE)
    return name


# deaths and the end


def test_the_queue_outlives_its_controller(farm: FakeFarm, client: BlockingTaskClient) -> None:
    done = client.submit(add, 1)
    assert done.result(DEADLINE) == 2
    farm.running = False
    waiting = client.submit(add, 2)
    client.flush()
    farm.kill(then=Condition.ALIVE)
    farm.revive()
    farm.running = True
    assert waiting.result(DEADLINE) == 3
    assert client.get_task_result(0) == 2


def test_a_farm_that_was_stopped_is_started_by_a_submission(farm: FakeFarm, client: BlockingTaskClient) -> None:
    client.stop()
    until(lambda: farm.condition() is Condition.STOPPED, "it has stopped")
    assert client.submit(add, 1).result(DEADLINE) == 2
    assert farm.revivals == 1


def test_nothing_is_left_of_it() -> None:
    threads = threading.enumerate()
    farm = FakeFarm(workers=2)
    client = farm.client()
    folder = farm.socket().parent
    assert client.map(add, range(10)) == list(range(1, 11))
    stuck = client.submit(run_until_stopped)
    until(lambda: stuck.state == "running", "it runs")
    farm.close()
    farm.close()
    assert not folder.exists()
    until(lambda: threading.enumerate() == threads, "its threads have ended")


def test_the_async_client(farm: FakeFarm) -> None:
    async def use() -> list[int]:
        return await farm.async_client().map(add, [1, 2])

    assert asyncio.run(use()) == [2, 3]


def test_a_value_is_put_for_many_tasks(client: BlockingTaskClient) -> None:
    value = client.put([1, 2, 3])
    assert value.done()
    assert client.map(sum, [value] * 3) == [6, 6, 6]
    assert client.clear(value) == 1
