"""A subscriber to a queue, across the deaths and returns of its controller, which it never starts."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session.io_thread import IOThread
from taskfc_ext.client.session.subscriber import Subscriber
from taskfc_ext.errors import ControllerUnavailable, UnknownTask
from taskfc_ext.protocol.client_messages import (
    Abort,
    Changed,
    ClientMessage,
    ControllerMessage,
    ErrorKind,
    Hello,
    Ping,
    QueueStatus,
    Refused,
    Reply,
    Resync,
    Stopping,
    Unwatch,
    Watch,
    Watching,
)
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.snapshots import Counts, FarmState, FarmStatus, QueueDelta, QueueSnapshot
from taskfc_ext.testing import FakeFarm, Rule
from tests.processes import DEADLINE


def make_snapshot(seq: int, n: int = 0) -> QueueSnapshot:
    return QueueSnapshot(seq=seq, farm="fake", incarnation=1, wall=1.0, counts=Counts(running=n), n_workers=2)


def make_changed(seq: int, n: int = 0) -> Changed:
    return Changed(QueueDelta(seq=seq, farm="fake", wall=1.0, counts=Counts(running=n), n_workers=2))


class Looker:
    """A subscriber in a thread of its own, and its messages."""

    def __init__(self, farm: FakeFarm, **options: Any) -> None:
        self.news: queue.Queue[Any] = queue.Queue()
        self.thread = IOThread("subscriber")
        self.subscriber = Subscriber(self.thread.loop, farm, self.news.put, version="test", **options)
        self.do(self.subscriber.start)

    def do(self, act: Callable[[], None]) -> None:
        self.thread.loop.call_soon_threadsafe(act)

    def next(self) -> Any:
        return self.news.get(timeout=DEADLINE)

    def until(self, state: FarmState) -> FarmStatus:
        """Skip news until the farm is in `state`."""
        while True:
            news = self.next()
            if isinstance(news, FarmStatus) and news.state is state:
                return news

    def ask(self, kind: Any, **fields: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self.subscriber.ask(kind, **fields), self.thread.loop).result(DEADLINE)

    def close(self) -> None:
        self.do(self.subscriber.close)
        self.thread.stop()


@pytest.fixture
def look(farm: FakeFarm) -> Iterator[Callable[..., Looker]]:
    made: list[Looker] = []

    def look(**options: Any) -> Looker:
        made.append(Looker(farm, **options))
        return made[-1]

    yield look
    for each in made:
        each.close()


def answer_watch(message: ClientMessage, seq: int = 1) -> Sequence[ControllerMessage] | None:
    return [Watching(message.seq, make_snapshot(seq))] if isinstance(message, Watch) else None


def test_it_greets_as_a_subscriber_and_gets_a_snapshot_and_then_deltas(farm: FakeFarm, look: Any) -> None:
    farm.controller.rule = answer_watch
    looker = look()
    assert [looker.next().state for _ in range(2)] == [FarmState.CONNECTING, FarmState.LIVE]
    assert looker.next() == make_snapshot(1)
    (hello,) = farm.controller.wait_for(Hello)
    assert hello.viewer
    farm.controller.send(make_changed(2, n=5))
    assert looker.next() == make_changed(2, n=5).delta
    assert looker.subscriber.status.counts == Counts(running=5)
    assert looker.subscriber.status.n_workers == 2


def wait_for_snapshot(farm: FakeFarm, look: Any, rule: Rule = answer_watch, **options: Any) -> Looker:
    """Return a subscriber that has its first snapshot."""
    farm.controller.rule = rule
    looker: Looker = look(**options)
    while looker.next() != make_snapshot(1):
        pass
    return looker


@pytest.mark.parametrize("said", [make_changed(3), make_changed(1), Resync()])
def test_after_a_gap_it_asks_for_a_snapshot_again(farm: FakeFarm, look: Any, said: ControllerMessage) -> None:
    looker = wait_for_snapshot(farm, look)
    farm.controller.rule = lambda message: answer_watch(message, seq=9)
    farm.controller.send(said, make_changed(4))
    assert looker.next() == make_snapshot(9), "no delta comes between"
    farm.controller.send(make_changed(10))
    assert looker.next() == make_changed(10).delta


def test_a_controller_that_dies_and_comes_back_is_followed(farm: FakeFarm, look: Any) -> None:
    looker = wait_for_snapshot(farm, look)
    farm.kill(then=Condition.ALIVE)
    lost = looker.until(FarmState.CONNECTING)
    assert "should be back" in lost.message
    farm.rule = answer_watch
    farm.revive()
    told = [lost]
    while told[-1].state is not FarmState.LIVE:
        told.append(looker.next())
    assert {status.message for status in told} == {lost.message, ""}, "one sentence until it is back"
    assert looker.next() == make_snapshot(1)


def test_a_silent_controller_is_reported_and_not_left(farm: FakeFarm, look: Any) -> None:
    alive = threading.Event()
    alive.set()

    def rule(message: ClientMessage) -> Sequence[ControllerMessage] | None:
        return answer_watch(message) if alive.is_set() else []

    looker = wait_for_snapshot(farm, look, rule, ping_after=0.05)
    farm.controller.wait_for(Ping)
    alive.clear()
    assert looker.until(FarmState.CONNECTING).message == "Farm fake is there and does not answer now."
    alive.set()
    farm.controller.send(make_changed(2))
    looker.until(FarmState.LIVE)
    while isinstance(news := looker.next(), FarmStatus):
        pass
    assert news == make_changed(2).delta, "nothing was lost"
    assert len(farm.controller.wait_for(Hello)) == 1


def test_a_quiet_controller_that_gives_signs_of_life_is_live(farm: FakeFarm, look: Any) -> None:
    looker = wait_for_snapshot(farm, look, ping_after=0.5)
    farm.controller.wait_for(Ping, 2)
    farm.controller.send(make_changed(2))
    while looker.next() != make_changed(2).delta:
        pass
    assert looker.subscriber.status.state is FarmState.LIVE


@pytest.mark.parametrize(
    ("then", "state", "words"),
    [(Condition.DEAD, FarmState.DEAD, "not running any more"), (Condition.STOPPED, FarmState.STOPPED, "is stopped")],
)
def test_a_farm_that_is_gone_is_reported_and_not_started(
    farm: FakeFarm, look: Any, then: Condition, state: FarmState, words: str
) -> None:
    looker = wait_for_snapshot(farm, look)
    before = looker.subscriber.status.identity
    farm.kill(then=then)
    status = looker.until(state)
    assert words in status.message
    assert "taskfc start --name fake" in status.message
    assert status.counts is None
    assert farm.revivals == 0
    with pytest.raises(ControllerUnavailable, match=words):
        looker.ask(QueueStatus)
    farm.revive()  # by somebody else
    status = looker.until(FarmState.LIVE)
    assert status.identity not in ("", before)


def test_a_farm_of_another_host_is_reported_in_the_words_of_its_error(farm: FakeFarm, look: Any) -> None:
    farm.elsewhere = "farm fake runs on moon, this is earth"
    looker = look()
    assert looker.until(FarmState.REFUSED).message == "Farm fake runs on moon, this is earth."
    farm.elsewhere = ""
    looker.until(FarmState.LIVE)


@pytest.mark.parametrize("memory", ["", "/dev/shm/taskfc-0/fake.memory"])
def test_the_list_of_farms_tells_which_are_in_memory_only(
    farm: FakeFarm, look: Any, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    info = farm.connection()
    assert info is not None
    monkeypatch.setattr(farm, "connection", lambda: msgspec.structs.replace(info, memory=memory))
    assert look().until(FarmState.LIVE).in_memory == bool(memory)


def test_another_version_is_reported_once_and_not_tried_again(farm: FakeFarm, look: Any) -> None:
    farm.controller.rule = lambda message: [Refused(0, ErrorKind.VERSION, "it speaks protocol 9", "update it")]
    looker = look()
    assert looker.until(FarmState.REFUSED).message == "It speaks protocol 9: update it."
    farm.kill(then=Condition.DEAD)
    looker.until(FarmState.DEAD)
    assert len([message for message in farm.controller.received if isinstance(message, Hello)]) == 1
    farm.revive()
    looker.until(FarmState.LIVE)


def test_an_older_controller_is_recognized_from_its_file(farm: FakeFarm, look: Any) -> None:
    farm.protocol = PROTOCOL - 1
    looker = look()
    message = looker.until(FarmState.REFUSED).message
    assert f"(protocol {PROTOCOL - 1})" in message
    assert "(taskfc restart --name fake)" in message
    assert not farm.controller.received
    farm.protocol = PROTOCOL
    looker.until(FarmState.LIVE)


def test_a_stop_on_purpose_is_reported_at_once(farm: FakeFarm, look: Any) -> None:
    looker = wait_for_snapshot(farm, look)
    farm.state = Condition.STOPPED
    farm.controller.send(Stopping())
    assert looker.until(FarmState.STOPPED).identity == ""


def test_requests_are_answered_and_refusals_raised(farm: FakeFarm, look: Any) -> None:
    def rule(message: ClientMessage) -> Sequence[ControllerMessage] | None:
        match message:
            case QueueStatus():
                return [Reply(message.seq, {"pending": 3})]
            case Abort():
                text, hint = "there is no task 7", "it was cleared or never existed"
                return [Refused(message.seq, ErrorKind.UNKNOWN_TASK, text, hint, {"taskids": [7]})]
        return answer_watch(message)

    farm.controller.rule = rule
    looker = look()
    looker.until(FarmState.LIVE)
    assert looker.ask(QueueStatus) == {"pending": 3}
    with pytest.raises(UnknownTask, match="there is no task 7") as caught:
        looker.ask(Abort, taskid=7)
    assert caught.value.hint == "it was cleared or never existed", "a view has no Python"


def test_a_request_survives_the_death_of_the_controller(farm: FakeFarm, look: Any) -> None:
    farm.controller.rule = lambda message: [] if isinstance(message, QueueStatus) else answer_watch(message)
    looker = look()
    looker.until(FarmState.LIVE)
    answer = asyncio.run_coroutine_threadsafe(looker.subscriber.ask(QueueStatus), looker.thread.loop)
    (first,) = farm.controller.wait_for(QueueStatus)
    farm.kill(then=Condition.ALIVE)
    farm.revive()
    assert answer.result(DEADLINE) == dict.fromkeys(answer.result(), 0)
    assert farm.controller.wait_for(QueueStatus) == [first], "the same request: a repeat gets the first answer"


def test_a_subscriber_that_only_asks_gets_no_queue(farm: FakeFarm, look: Any) -> None:
    farm.controller.rule = answer_watch
    looker = look(watch=False)
    looker.until(FarmState.LIVE)
    looker.ask(QueueStatus)
    assert not [message for message in farm.controller.received if isinstance(message, Watch)]
    looker.do(looker.subscriber.watch)
    assert looker.next() == make_snapshot(1)
    looker.do(looker.subscriber.unwatch)
    farm.controller.wait_for(Unwatch)
    farm.controller.send(make_changed(2))
    looker.ask(QueueStatus)
    assert looker.news.empty()


def test_closing_ends_open_requests(farm: FakeFarm, look: Any) -> None:
    farm.controller.rule = lambda message: [] if isinstance(message, QueueStatus) else answer_watch(message)
    looker = look()
    looker.until(FarmState.LIVE)
    answer = asyncio.run_coroutine_threadsafe(looker.subscriber.ask(QueueStatus), looker.thread.loop)
    farm.controller.wait_for(QueueStatus)
    looker.do(looker.subscriber.close)
    with pytest.raises(ControllerUnavailable, match="closed"):
        answer.result(DEADLINE)
