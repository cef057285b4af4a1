"""`watch`: the queue as an iterator, in both clients."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session import watch as watch_module
from taskfc_ext.client.session.connection import Phase
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.errors import ControllerUnavailable
from taskfc_ext.protocol.client_messages import Changed, ClientMessage, ControllerMessage, Unwatch, Watch, Watching
from taskfc_ext.protocol.snapshots import Counts, FarmState, FarmStatus, QueueDelta, QueueSnapshot
from taskfc_ext.testing import FakeFarm
from tests.processes import DEADLINE, until


def make_snapshot(seq: int) -> QueueSnapshot:
    return QueueSnapshot(seq=seq, farm="fake", incarnation=1, wall=1.0, counts=Counts(), n_workers=2)


def make_delta(seq: int) -> QueueDelta:
    return QueueDelta(seq=seq, farm="fake", wall=1.0, counts=Counts(running=seq), n_workers=2)


def answer_watch(message: ClientMessage) -> list[ControllerMessage] | None:
    return [Watching(message.seq, make_snapshot(1))] if isinstance(message, Watch) else None


@pytest.fixture
def news(farm: FakeFarm, client: BlockingTaskClient) -> Iterator[Any]:
    """The messages of a watch that has its first snapshot."""
    farm.rule = farm.controller.rule = answer_watch
    news = client.watch()
    assert next(news) == make_snapshot(1)
    return news


def test_a_snapshot_comes_first_and_then_deltas(farm: FakeFarm, news: Any) -> None:
    farm.controller.send(Changed(make_delta(2)), Changed(make_delta(3)))
    assert [next(news), next(news)] == [make_delta(2), make_delta(3)]


def test_the_async_client_watches_in_any_loop(farm: FakeFarm, remote: RemoteController) -> None:
    farm.controller.rule = answer_watch

    async def follow() -> list[Any]:
        watch = FCTaskClient(remote).watch()
        received = [await anext(watch)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(watch)
        farm.controller.send(Changed(make_delta(2)))
        async for each in watch:
            received.append(each)
            await watch.aclose()
        return received

    assert asyncio.run(follow()) == [make_snapshot(1), make_delta(2)]


def test_after_a_gap_a_snapshot_comes_again(farm: FakeFarm, news: Any) -> None:
    farm.controller.send(Changed(make_delta(3)))
    assert next(news) == make_snapshot(1)
    farm.controller.send(Changed(make_delta(2)))
    assert next(news) == make_delta(2)


def test_a_farm_that_dies_is_reported_and_watched_again_when_it_is_back(farm: FakeFarm, news: Any) -> None:
    farm.kill(then=Condition.DEAD)
    states = [next(news).state]
    while states[-1] is not FarmState.DEAD:
        states.append(next(news).state)
    assert farm.revivals == 0
    farm.revive()
    received = [next(news)]
    while not isinstance(received[-1], QueueSnapshot):
        received.append(next(news))
    assert received[-2].state is FarmState.LIVE


def test_watching_does_not_start_a_farm(farm: FakeFarm) -> None:
    farm.kill(then=Condition.STOPPED)
    remote = RemoteController(farm, version="test")
    news = BlockingTaskClient(FCTaskClient(remote)).watch()
    status = next(news)
    assert isinstance(status, FarmStatus)
    assert (status.state, farm.revivals) == (FarmState.STOPPED, 0)
    assert "taskfc start" in status.message
    remote.close()


def test_a_slow_reader_gets_another_snapshot(farm: FakeFarm, news: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MAX_WAITING", 3)
    farm.controller.send(*[Changed(make_delta(seq)) for seq in range(2, 7)])
    farm.controller.wait_for(Unwatch)
    assert next(news) == make_snapshot(1)
    farm.controller.send(Changed(make_delta(2)))
    assert next(news) == make_delta(2)


def test_the_end_of_the_client_ends_the_iteration(news: Any, remote: RemoteController) -> None:
    received: list[Any] = []
    reader = threading.Thread(target=lambda: received.extend(news))
    reader.start()
    remote.close()
    reader.join(DEADLINE)
    assert not reader.is_alive()
    assert received == []


def test_the_end_of_the_client_ends_the_iteration_of_a_slow_reader(
    farm: FakeFarm, news: Any, remote: RemoteController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "MAX_WAITING", 3)
    farm.controller.send(*[Changed(make_delta(seq)) for seq in range(2, 7)])
    farm.controller.wait_for(Unwatch)
    remote.close()
    assert list(news) == []


def test_a_closed_client_cannot_watch(client: BlockingTaskClient) -> None:
    client.close()
    with pytest.raises(ControllerUnavailable, match="is closed"):
        client.watch()


def test_a_watch_that_is_collected_is_closed(farm: FakeFarm) -> None:
    farm.controller.rule = answer_watch
    client = FCTaskClient(RemoteController(farm, version="test"))
    watch = client.watch()
    asyncio.run(watch.__anext__())
    connection, gone = watch._subscriber._connection, weakref.ref(client.remote_reference)
    del client
    gc.collect()
    assert gone() is not None, "a watch keeps its client"
    del watch
    gc.collect()
    assert gone() is None
    until(lambda: connection._phase is Phase.CLOSED, "the connection is closed")
