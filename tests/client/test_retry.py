"""Retries of finished tasks, through futures and both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.errors import RequestRefused, UnknownTask
from taskfc_ext.protocol.client_messages import Retry, Submit
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE


def double(x: int) -> int:
    return 2 * x


def test_a_future_of_the_new_task_is_returned(farm: FakeFarm, client: BlockingTaskClient) -> None:
    future = client.with_options(name="fit").submit(double, 3)
    assert future.result(DEADLINE) == 6
    again = future.retry()
    assert (again.result(DEADLINE), again.taskid, again.name, again.label) == (6, 1, "fit", "double")
    assert (future.taskid, future.result()) == (0, 6)
    (request,) = farm.controller.wait_for(Retry)
    assert isinstance(request, Retry)
    assert request.taskid == 0


def test_both_clients_ask_for_any_task(remote: RemoteController) -> None:
    client = FCTaskClient(remote)

    async def retry() -> list[Any]:
        future = client.submit(double, 3)
        await future
        again = await client.retry(future)
        return [again.taskid, await again, await client.resubmit(0)]

    assert asyncio.run(retry()) == [1, 6, {0: 2}]
    blocking = client.adapt_to_blocking_client()
    assert blocking.get_task_result(2, block=True) == 6
    assert blocking.resubmit(2) == {2: 3}


def test_an_unfinished_or_unknown_task_cannot_run_again(farm: FakeFarm, client: BlockingTaskClient) -> None:
    farm.controller.running = False
    future = client.submit(double, 3)
    with pytest.raises(RequestRefused, match="abort it first"):
        client.retry(future)
    with pytest.raises(RequestRefused, match="abort it first"):
        future.retry()
    with pytest.raises(UnknownTask):
        client.retry(7)


def test_a_task_that_was_never_accepted_cannot_run_again(
    farm: FakeFarm, remote: RemoteController, client: BlockingTaskClient
) -> None:
    farm.controller.rule = lambda said: [] if isinstance(said, Submit) else None
    future = client.submit(double, 3)
    with pytest.raises(RequestRefused, match=r"has not ended\nabort it first"):
        future.retry()
    remote.close()
    assert future.exception(DEADLINE)
    with pytest.raises(UnknownTask, match=r"was never accepted\nsubmit it again"):
        future.retry()


@pytest.mark.parametrize("task", ["fit", None, 3.5, [0], True])
def test_an_argument_that_is_not_a_task_is_an_error_at_once(
    farm: FakeFarm, client: BlockingTaskClient, task: Any
) -> None:
    with pytest.raises(TypeError, match="a taskid is an int"):
        client.retry(task)
    assert not [message for message in farm.controller.received if isinstance(message, Retry)]
