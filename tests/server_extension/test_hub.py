"""The hub between fake subscriptions and fake pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import msgspec
import pytest

from taskfc_ext.protocol.snapshots import Counts, FarmState, FarmStatus, QueueDelta, QueueSnapshot
from taskfc_ext.server_extension.browser import MAX_WAITING, MAX_WAITING_BYTES, TOO_SLOW, Browser
from taskfc_ext.server_extension.hub import COUNTS_EVERY, MAX_WATCHED, Hub
from taskfc_ext.view.messages import Unwatch, Watch
from tests.processes import DEADLINE


class FakeSocket:
    """Keeps what is sent; `stuck` ones never get rid of it."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.stuck = stuck
        self.sent: list[dict] = []
        self.closed: tuple | None = None
        self.pending: list[asyncio.Future] = []

    def write_message(self, message: bytes, binary: bool = False) -> asyncio.Future:
        self.sent.append(msgspec.json.decode(message))
        done = asyncio.get_running_loop().create_future()
        self.pending.append(done)
        if not self.stuck:
            self.drain()
        return done

    def drain(self) -> None:
        for done in self.pending:
            if not done.done():
                done.set_result(None)
        self.pending.clear()

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        self.closed = (code, reason)

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent]

    def states(self) -> dict[str, str]:
        """Return the states in the last list of farms."""
        told = [message for message in self.sent if message["type"] == "farms"]
        return {farm["name"]: farm["state"] for farm in told[-1]["farms"]} if told else {}


class FakeSubscriber:
    """A subscription whose messages the test sends."""

    def __init__(self, name: str, on_news: Callable) -> None:
        self.name = name
        self.on_news = on_news
        self.closed = False
        self.at_once = True
        self.status = FarmStatus(name=name, state=FarmState.CONNECTING)

    def start(self) -> None:
        if self.at_once:
            self.answer()

    def answer(self) -> None:
        self.become(FarmState.LIVE)
        self.snapshot()

    def snapshot(self, incarnation: int = 1) -> None:
        self.on_news(
            QueueSnapshot(seq=1, farm=self.name, incarnation=incarnation, wall=0.0, counts=Counts(), n_workers=1)
        )

    def become(self, state: FarmState) -> None:
        self.status = FarmStatus(name=self.name, state=state, counts=Counts())
        self.on_news(self.status)

    def delta(self, seq: int, n_ended: int = 0) -> None:
        counts = Counts(n_ended=n_ended)
        self.status = msgspec.structs.replace(self.status, counts=counts)
        self.on_news(QueueDelta(seq=seq, farm=self.name, wall=0.0, counts=counts, n_workers=1))

    def close(self) -> None:
        self.closed = True

    async def ask(self, kind, **fields):
        raise NotImplementedError


class FakeDiscovery:
    """Finds the farms that the test gives it."""

    def __init__(self, **states: FarmState) -> None:
        self.states = states
        self.n_looks = 0
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()

    def find_farms(self, connected=()):
        self.n_looks += 1
        assert self.may_end.wait(DEADLINE)
        if self.error is not None:
            raise self.error
        return {
            name: None if name in connected and state is FarmState.CONNECTING else FarmStatus(name=name, state=state)
            for name, state in self.states.items()
        }


class Scene:
    """A hub with a fake discovery and fake subscriptions."""

    def __init__(self, linger: float = 60.0, **states: FarmState) -> None:
        self.discovery = FakeDiscovery(**states)
        self.subscribers: list[FakeSubscriber] = []
        self.at_once = True
        self.now = 1000.0
        self.hub = Hub(self.subscribe, self.discovery, look_every=0.01, linger=linger, clock=lambda: self.now)

    def subscribe(self, name: str, on_news: Callable) -> FakeSubscriber:
        self.subscribers.append(FakeSubscriber(name, on_news))
        self.subscribers[-1].at_once = self.at_once
        return self.subscribers[-1]

    def page(self, *farms: str, stuck: bool = False) -> tuple[Browser, FakeSocket]:
        socket = FakeSocket(stuck=stuck)
        browser = Browser(socket)
        self.hub.connect(browser)
        for farm in farms:
            self.hub.receive(browser, Watch(farm=farm))
        return browser, socket


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


def run(scenario) -> None:
    async def whole() -> None:
        scene = Scene(one=FarmState.CONNECTING, two=FarmState.STOPPED)
        try:
            await scenario(scene)
        finally:
            scene.hub.close()

    asyncio.run(whole())


def test_the_farms_come_first_then_the_watched_queues():
    async def scenario(scene: Scene) -> None:
        _, socket = scene.page("one")
        await until(lambda: "snapshot" in socket.kinds())
        assert socket.kinds()[0] == "farms"
        assert socket.states()["two"] == "stopped"
        _, later = scene.page("one")
        assert later.kinds() == ["farms", "snapshot"]
        assert later.states() == {"one": "live", "two": "stopped"}
        assert len(scene.subscribers) == 1

    run(scenario)


def test_each_change_goes_once_to_all_that_watch_and_to_nobody_else():
    async def scenario(scene: Scene) -> None:
        (browser, first), (_, second), (_, other) = scene.page("one"), scene.page("one"), scene.page("two")
        await until(lambda: "snapshot" in first.kinds())
        scene.subscribers[0].delta(2)
        assert [socket.kinds().count("delta") for socket in (first, second, other)] == [1, 1, 0]
        scene.hub.receive(browser, Unwatch(farm="one"))
        scene.subscribers[0].delta(3)
        assert [socket.kinds().count("delta") for socket in (first, second, other)] == [1, 2, 0]
        _, late = scene.page("one")
        assert [message.get("seq") for message in late.sent] == [None, 3]
        scene.subscribers[0].delta(4)
        _, later = scene.page("one")
        assert [message.get("seq") for message in later.sent] == [None, 4]

    run(scenario)


def test_a_page_that_connects_in_silence_gets_the_time_of_the_farm_while_that_lives():
    async def scenario(scene: Scene) -> None:
        _, first = scene.page("one")
        await until(lambda: "snapshot" in first.kinds())
        walls = [first.sent[-1]["wall"]]
        for seconds in (600.0, 0.5):
            scene.now += seconds
            walls.append(scene.page("one")[1].sent[-1]["wall"])
        assert walls == [0.0, 600.0, 600.0], "of the last second one is as good as another"
        scene.subscribers[0].become(FarmState.DEAD)
        scene.now += 600.0
        assert scene.page("one")[1].sent[-1]["wall"] == 0.0

    run(scenario)


def test_the_queue_of_a_controller_that_is_back_is_sent_although_its_numbers_are_the_same():
    async def scenario(scene: Scene) -> None:
        _, first = scene.page("one")
        await until(lambda: "snapshot" in first.kinds())
        scene.page("one")
        scene.subscribers[0].snapshot(incarnation=2)
        _, late = scene.page("one")
        assert [message.get("incarnation") for message in late.sent] == [None, 2]

    run(scenario)


def test_a_page_that_takes_nothing_is_dropped_and_the_others_go_on():
    async def scenario(scene: Scene) -> None:
        (_, good), (bad_browser, bad) = scene.page("one"), scene.page("one", stuck=True)
        await until(lambda: "snapshot" in good.kinds())
        for seq in range(2, MAX_WAITING + 20):
            scene.subscribers[0].delta(seq)
            await asyncio.sleep(0)
        assert bad.closed == (TOO_SLOW, "too far behind; connect again")
        assert len(bad.sent) == MAX_WAITING
        assert bad_browser.is_closed
        assert (good.closed, good.kinds().count("delta")) == (None, MAX_WAITING + 18)

    run(scenario)


def test_waiting_messages_are_bounded_in_bytes_beyond_one_message():
    async def scenario() -> None:
        socket = FakeSocket(stuck=True)
        browser = Browser(socket)
        huge = msgspec.json.encode({"text": "x" * MAX_WAITING_BYTES})
        browser.send(huge)
        assert socket.closed is None
        socket.drain()
        await asyncio.sleep(0)
        browser.send(huge)
        assert (socket.closed, len(socket.sent)) == (None, 2)
        browser.send(b"{}")
        assert (socket.closed, len(socket.sent)) == ((TOO_SLOW, "too far behind; connect again"), 2)

    asyncio.run(scenario())


def test_a_snapshot_may_be_large_and_is_not_sent_again_and_again():
    async def scenario() -> None:
        socket = FakeSocket(stuck=True)
        browser = Browser(socket)
        part = msgspec.json.encode({"text": "x" * MAX_WAITING_BYTES})
        browser.send_snapshot("one", [part, part, part])
        browser.send(b"{}")
        assert (socket.closed, len(socket.sent)) == (None, 4), "what follows it may wait for it"
        browser.send_snapshot("two", [part])
        browser.send_snapshot("one", [part])
        assert (socket.closed, len(socket.sent)) == (None, 6)
        socket.drain()
        await asyncio.sleep(0)
        browser.send_snapshot("one", [part, part])
        browser.send_snapshot("two", [part, part])
        assert (socket.closed, len(socket.sent)) == (None, 10), "it has taken the first"
        browser.send_snapshot("one", [part, part])
        assert socket.closed == (TOO_SLOW, "too far behind; connect again")

    asyncio.run(scenario())


def test_a_socket_that_breaks_ends_its_browser_only():
    async def scenario() -> None:
        socket = FakeSocket(stuck=True)
        browser = Browser(socket)
        browser.send(b"{}")
        socket.pending[0].set_exception(ConnectionError("gone"))
        await asyncio.sleep(0)
        assert browser.is_closed
        browser.send(b"{}")
        assert len(socket.sent) == 1

    asyncio.run(scenario())


def test_counts_alone_are_not_sent_with_each_change():
    async def scenario(scene: Scene) -> None:
        _, socket = scene.page()
        await until(lambda: socket.states().get("one") == "live")
        scene.discovery.may_end.clear()  # what a look has found is told at once
        loop = asyncio.get_running_loop()
        n, began = len(socket.sent), loop.time()
        for seq in range(2, 200):
            scene.subscribers[0].delta(seq, n_ended=seq)
            await asyncio.sleep(0)
        assert len(socket.sent) <= n + 2 + (loop.time() - began) / COUNTS_EVERY
        scene.discovery.may_end.set()
        scene.subscribers[0].become(FarmState.REFUSED)
        for _ in range(5):
            await asyncio.sleep(0)
        assert socket.states()["one"] == "refused", "that does not wait for the next counts"

    run(scenario)


def test_farms_come_and_go():
    async def scenario(scene: Scene) -> None:
        _, socket = scene.page("one", "three")
        await until(lambda: "snapshot" in socket.kinds())
        scene.discovery.states = {"three": FarmState.CONNECTING, "two": FarmState.STOPPED}
        await until(lambda: socket.states() == {"three": "live", "two": "stopped"})
        assert scene.subscribers[0].closed
        assert [m["farm"] for m in socket.sent if m["type"] == "snapshot"] == ["one", "three"]
        scene.subscribers[1].become(FarmState.CONNECTING)
        scene.discovery.states = {"three": FarmState.DEAD}
        await until(lambda: socket.states() == {"three": "dead"})
        assert scene.subscribers[1].closed
        assert scene.hub.find_ask("three") is None
        with scene.hub.request():
            status = await scene.hub.status("three")
            assert status is not None
            assert status.state is FarmState.DEAD
            assert await scene.hub.status("one") is None

    run(scenario)


def test_folders_that_cannot_be_read_change_nothing():
    async def scenario(scene: Scene) -> None:
        _, socket = scene.page("one")
        await until(lambda: "snapshot" in socket.kinds())
        scene.discovery.error = PermissionError("no entry")
        n = scene.discovery.n_looks
        await until(lambda: scene.discovery.n_looks > n + 2)
        assert not scene.subscribers[0].closed
        assert {farm.name for farm in (await scene.hub.farms()).farms} == {"one", "two"}

    run(scenario)


def test_a_discovery_that_fails_unexpectedly_is_not_the_last_one(caplog):
    async def scenario(scene: Scene) -> None:
        scene.discovery.error = RuntimeError("who would have thought")
        _, socket = scene.page("one")
        await until(lambda: scene.discovery.n_looks > 2)
        assert socket.sent == []
        scene.discovery.error = None
        await until(lambda: "snapshot" in socket.kinds())

    run(scenario)
    assert "who would have thought" in caplog.text


def test_nothing_is_discovered_or_connected_without_a_page():
    async def scenario() -> None:
        scene = Scene(linger=0.05, one=FarmState.CONNECTING)
        assert scene.discovery.n_looks == 0
        browser, _ = scene.page("one")
        await until(lambda: scene.subscribers)
        scene.hub.disconnect(browser)
        again, socket = scene.page("one")
        await asyncio.sleep(0.1)
        assert not scene.subscribers[0].closed, "a page that is loaded again finds the connection"
        assert socket.kinds()[:2] == ["farms", "snapshot"]
        scene.hub.disconnect(again)
        await until(lambda: scene.subscribers[0].closed)
        n = scene.discovery.n_looks
        await asyncio.sleep(0.05)
        assert scene.discovery.n_looks <= n + 1, "one may have been on its way"
        with scene.hub.request():
            assert [farm.name for farm in (await scene.hub.farms()).farms] == ["one"], "a request looks for itself"
            await asyncio.sleep(0.1)
            assert not scene.subscribers[1].closed, "however long it takes"
        await until(lambda: scene.subscribers[1].closed)

    asyncio.run(scenario())


def test_a_farm_that_is_discovered_after_the_last_page_went_is_not_connected():
    async def scenario(scene: Scene) -> None:
        scene.discovery.may_end.clear()
        browser, _ = scene.page("one")
        await until(lambda: scene.discovery.n_looks)
        looking = asyncio.create_task(scene.hub.discover())
        scene.hub.disconnect(browser)
        scene.hub.close()
        scene.discovery.may_end.set()
        await looking
        assert scene.subscribers == []

    run(scenario)


def test_an_empty_list_of_farms_is_sent_too():
    async def scenario(scene: Scene) -> None:
        scene.discovery.states = {}
        _, socket = scene.page("one")
        await until(lambda: socket.sent)
        assert (socket.kinds(), socket.states()) == (["farms"], {})

    run(scenario)


def test_a_page_watches_no_more_than_it_may():
    async def scenario(scene: Scene) -> None:
        _, socket = scene.page(*(f"farm{n}" for n in range(MAX_WATCHED)))
        assert socket.closed is None
        _, socket = scene.page(*(f"farm{n}" for n in range(MAX_WATCHED + 1)))
        assert socket.closed == (1008, "more than 100 farms watched")

    run(scenario)


def test_a_request_for_the_list_waits_for_farms_that_answer_in_a_moment():
    async def scenario(scene: Scene) -> None:
        scene.at_once = False
        with scene.hub.request():
            asked = [asyncio.create_task(scene.hub.farms()) for _ in range(2)]
            await until(lambda: scene.subscribers)
            scene.subscribers[0].answer()
            for farms in await asyncio.gather(*asked):
                assert [farm.state for farm in farms.farms] == [FarmState.LIVE, FarmState.STOPPED]

    run(scenario)


def test_a_request_for_the_list_does_not_wait_for_ever():
    async def scenario(scene: Scene) -> None:
        scene.at_once = False
        with scene.hub.request():
            assert [farm.state for farm in (await scene.hub.farms()).farms] == [FarmState.CONNECTING, FarmState.STOPPED]

    run(scenario)


@pytest.mark.parametrize("n_requests", [1, 20])
def test_requests_that_come_together_share_one_discovery(n_requests):
    async def scenario(scene: Scene) -> None:
        with scene.hub.request():
            await asyncio.gather(*(scene.hub.farms() for _ in range(n_requests)))
        assert scene.discovery.n_looks == 1

    run(scenario)
