"""Waits that a client on a worker reports; a client elsewhere reports none."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
from collections.abc import Iterator

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session.connection import Phase
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.drivers.processes import FARM, FARM_WORKER, worker_here
from taskfc_ext.errors import RequestRefused
from taskfc_ext.protocol.client_messages import Barrier, ErrorKind, Hello, Refused, Unwait
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until

LONG_ENOUGH = 1.0
"""Seconds in which the controller hears of a wait, also on a loaded machine."""


@pytest.fixture
def on_worker(farm: FakeFarm) -> Iterator[BlockingTaskClient]:
    """A client on worker 7 of a farm that runs nothing before it is told to."""
    farm.controller.running = False
    remote = RemoteController(farm, version="test", worker=7)
    yield BlockingTaskClient(FCTaskClient(remote))
    remote.close()


def barriers(farm: FakeFarm) -> list[tuple[int, ...] | None]:
    return [message.taskids for message in farm.controller.received if isinstance(message, Barrier)]


def let_settle(client: BlockingTaskClient) -> None:
    """Return when all is sent that was to be sent before."""
    client.get_client_name()


def test_a_client_on_a_worker_reports_the_worker(
    farm: FakeFarm, on_worker: BlockingTaskClient, client: BlockingTaskClient
) -> None:
    for each in (on_worker, client):
        each.get_client_name()
    hellos = [message for message in farm.controller.received if isinstance(message, Hello)]
    there, here = (each._client.remote_reference.session for each in (on_worker, client))
    assert sorted((hello.session, hello.worker) for hello in hellos) == sorted([(there, 7), (here, -1)])


def test_a_wait_is_a_barrier_until_it_ends(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    future = on_worker.submit(abs, -3)
    on_worker.flush()
    assert barriers(farm) == []
    with pytest.raises(TimeoutError):
        future.result(LONG_ENOUGH)
    (unwait,) = farm.controller.wait_for(Unwait)
    (barrier,) = farm.controller.wait_for(Barrier)
    assert barrier.taskids == (future.taskid,)
    assert unwait.barrier == barrier.seq
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 3


def test_a_wait_begins_before_the_task_is_accepted(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: on_worker.submit(abs, -3).result(DEADLINE))
        (barrier,) = farm.controller.wait_for(Barrier)
        assert barrier.taskids == (0,)
        farm.controller.run_tasks()
        assert waiting.result(DEADLINE) == 3
    let_settle(on_worker)
    assert not [message for message in farm.controller.received if isinstance(message, Unwait)]


def test_a_wait_that_ends_before_it_is_sent_is_not_sent(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    future = on_worker.submit(abs, -3)
    on_worker.flush()
    connection = on_worker._client.remote_reference._connection
    farm.kill(then=Condition.ALIVE)
    until(lambda: connection._phase is Phase.CONNECTING, "it has noticed")
    with pytest.raises(TimeoutError):
        future.result(0.05)
    until(lambda: not on_worker._client.remote_reference.lending._waiting, "the wait has ended")
    farm.revive()
    let_settle(on_worker)
    assert not [message for message in farm.controller.received if isinstance(message, Barrier | Unwait)]
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 3


def test_many_waits_at_once_are_few_messages(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    futures = [on_worker.submit(abs, -n) for n in range(500)]
    on_worker.flush()
    done, left = concurrent.futures.wait(futures, LONG_ENOUGH)
    assert (len(done), len(left)) == (0, 500)
    farm.controller.wait_for(Unwait)
    let_settle(on_worker)
    asked = barriers(farm)
    assert sorted(taskid for part in asked for taskid in part or ()) == list(range(500))
    assert len(asked) <= 20
    unwaits = [message for message in farm.controller.received if isinstance(message, Unwait)]
    assert len(unwaits) == len(asked)
    farm.controller.run_tasks()
    assert concurrent.futures.wait(futures, DEADLINE).not_done == set()


def test_a_poll_is_not_a_wait(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    future = on_worker.submit(abs, -3)
    on_worker.flush()
    with pytest.raises(TimeoutError):
        future.result(0)
    assert not future.done()
    let_settle(on_worker)
    assert barriers(farm) == []


def test_a_callback_is_a_wait_until_it_is_removed(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    future, called = on_worker.submit(abs, -3), []
    on_worker.flush()
    future.add_done_callback(called.append)
    farm.controller.wait_for(Barrier)
    future.remove_done_callback(called.append)
    farm.controller.wait_for(Unwait)


def test_two_that_wait_for_one_task_are_one_wait(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    future = on_worker.submit(abs, -3)
    on_worker.flush()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(future.result, DEADLINE)
        farm.controller.wait_for(Barrier)
        with pytest.raises(TimeoutError):
            future.result(0.05)
        let_settle(on_worker)
        assert len(barriers(farm)) == 1
        assert not [message for message in farm.controller.received if isinstance(message, Unwait)]
        farm.controller.run_tasks()
        assert waiting.result(DEADLINE) == 3


def test_a_refusal_ends_the_wait(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    def refuse(message: object) -> list[Refused] | None:
        if isinstance(message, Barrier) and 0 in (message.taskids or ()):
            return [Refused(message.seq, ErrorKind.NOT_ALLOWED, "it would wait for itself", "", {"taskids": [0]})]
        return None

    farm.controller.rule = refuse
    itself, other = on_worker.submit(abs, -1), on_worker.submit(abs, -2)
    on_worker.flush()
    done, left = concurrent.futures.wait([itself, other], DEADLINE, concurrent.futures.FIRST_COMPLETED)
    assert (done, left) == ({itself}, {other})
    with pytest.raises(RequestRefused, match="wait for itself"):
        itself.result()
    with pytest.raises(TimeoutError):
        other.result(LONG_ENOUGH)
    assert (1,) in barriers(farm)


def test_a_client_elsewhere_reports_no_waits(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(abs, -3)
    with pytest.raises(TimeoutError):
        future.result(0.05)
    future.add_done_callback(lambda _: None)
    let_settle(client)
    assert barriers(farm) == []


def test_waits_after_the_client_was_closed_raise(farm: FakeFarm, on_worker: BlockingTaskClient) -> None:
    future = on_worker.submit(abs, -3)
    on_worker.flush()
    on_worker.close()
    assert future.exception(DEADLINE) is not None
    future.add_done_callback(lambda _: None)


@pytest.mark.parametrize(
    ("environ", "worker"),
    [
        ({}, -1),
        ({FARM: "tag", FARM_WORKER: "7"}, 7),
        ({FARM: "other", FARM_WORKER: "7"}, -1),
        ({FARM: "tag"}, -1),
        ({FARM: "tag", FARM_WORKER: ""}, -1),
        ({FARM: "tag", FARM_WORKER: "-1"}, -1),
        ({FARM: "tag", FARM_WORKER: "seven"}, -1),
        ({FARM: "tag", FARM_WORKER: "9" * 30}, -1),
    ],
)
def test_the_worker_is_known_from_the_environment(environ: dict[str, str], worker: int) -> None:
    assert worker_here("tag", environ) == worker


def test_a_client_that_nobody_has_any_more_leaves_no_thread(farm: FakeFarm) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "taskfc-io"}

    before = threads()
    client = BlockingTaskClient(FCTaskClient(RemoteController(farm, version="test", worker=7)))
    assert client.map(abs, [-1, -2]) == [1, 2]
    farm.controller.running = False
    future = client.submit(abs, -3)
    client.flush()
    (left,) = threads() - before
    del client
    gc.collect()
    assert threads() == {*before, left}  # its task is unfinished
    farm.controller.run_tasks()
    assert future.result(DEADLINE) == 3
    del future

    def is_over() -> bool:
        gc.collect()  # once may be too early: the thread itself still holds the future for a moment
        return not left.is_alive()

    until(is_over, "the end of the thread")


def test_a_wait_that_timed_out_is_closed_also_when_other_tasks_of_it_have_ended(
    farm: FakeFarm, on_worker: BlockingTaskClient
) -> None:
    first = on_worker.submit(abs, -1)
    on_worker.flush()
    farm.controller.run_tasks()
    assert first.result(DEADLINE) == 1
    farm.controller.running = False
    second, third = on_worker.submit(abs, -2), on_worker.submit(abs, -3)
    on_worker.flush()
    second.add_done_callback(lambda _: None)
    assert concurrent.futures.wait([first, second, third], 0.05).not_done == {second, third}
    farm.controller.run_tasks()
    assert (second.result(DEADLINE), third.result(DEADLINE)) == (2, 3)
    lending = on_worker._client.remote_reference.lending
    assert lending is not None  # ends of waits are gathered for 2 ms, so they may still be on their way
    until(lambda: (lending._waiting, lending._barrier_of) == ({}, {}), "nothing is waited for")
