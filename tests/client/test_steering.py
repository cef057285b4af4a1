"""Hold, release and move, through both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.errors import UnknownTask, UnknownTasks
from taskfc_ext.protocol.client_messages import Hold, Move, Reply
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE


def double(x: int) -> int:
    return 2 * x


def test_an_id_a_future_or_several_are_taken(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    futures = [client.submit(double, i) for i in range(3)]
    assert client.hold(futures) == []
    client.release(futures[1])
    client.release(2)
    client.move((0, futures[2]), 7)
    client.move([], -1)
    holds = farm.controller.wait_for(Hold, 3)
    assert [(hold.taskids, hold.held) for hold in holds if isinstance(hold, Hold)] == [
        ((0, 1, 2), True),
        ((1,), False),
        ((2,), False),
    ]
    (move,) = farm.controller.wait_for(Move)
    assert isinstance(move, Move)
    assert (move.taskids, move.priority) == ((0, 2), 7)


def test_the_async_client_asks_the_same(farm: FakeFarm, remote: RemoteController) -> None:
    farm.controller.running = False
    farm.controller.rule = lambda message: [Reply(message.seq, [0])] if isinstance(message, Hold) else None

    async def steer() -> list[int]:
        client = FCTaskClient(remote)
        future = client.submit(double, 1)
        not_held = await client.hold(future)
        await client.release([future])
        await client.move(future, 3)
        return not_held

    assert asyncio.run(steer()) == [0]
    assert [message.held for message in farm.controller.received if isinstance(message, Hold)] == [True, False]


def test_tasks_that_have_ended_or_do_not_exist_are_named(client: BlockingTaskClient) -> None:
    future = client.submit(double, 1)
    assert future.result(DEADLINE) == 2
    asks: list[Any] = [client.hold, client.release, lambda tasks: client.move(tasks, 1)]
    for ask in asks:
        with pytest.raises(UnknownTasks) as caught:
            ask([future, 99])
        assert caught.value.taskids == (0, 99)


@pytest.mark.parametrize("tasks", ["fit", b"fit", None, 3.5, [3.5], [None], True])
def test_an_argument_that_is_not_a_task_is_an_error_at_once(
    farm: FakeFarm, client: BlockingTaskClient, tasks: Any
) -> None:
    asks: list[Any] = [client.hold, client.release, lambda tasks: client.move(tasks, 1)]
    for ask in asks:
        with pytest.raises(TypeError, match=r"tasks are given as|a taskid is an int"):
            ask(tasks)
    assert not [message for message in farm.controller.received if isinstance(message, Hold | Move)]


@pytest.mark.parametrize(("priority", "error"), [("high", TypeError), (True, TypeError), (1.5, TypeError),
                                                 (1_000_001, ValueError), (-1_000_001, ValueError)])  # fmt: skip
def test_an_argument_that_is_not_a_priority_is_an_error_at_once(
    client: BlockingTaskClient, priority: Any, error: type
) -> None:
    with pytest.raises(error, match=r"^priority is "):
        client.move(0, priority)


def test_the_hint_about_an_unknown_task_is_for_python(client: BlockingTaskClient) -> None:
    with pytest.raises(UnknownTask) as caught:
        client.abort(99)
    assert caught.value.hint == "it was cleared or never existed; queue_status(verbose=True) lists the known ids"
