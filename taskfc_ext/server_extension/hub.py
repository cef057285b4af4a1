"""Hub between all farms of this user and all browser pages, with one subscription to each farm.

Without a browser it discovers nothing and is connected to no farm: an idle Jupyter server costs nothing, and is not a
client of any farm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from taskfc_ext.client.session.subscriber import News
from taskfc_ext.protocol.client_messages import Request
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus, QueueDelta, QueueSnapshot
from taskfc_ext.server_extension.browser import Browser
from taskfc_ext.server_extension.discovery import Discovery
from taskfc_ext.version import __version__
from taskfc_ext.view.commands import Ask
from taskfc_ext.view.messages import Farms, Unwatch, ViewQuestion, Watch
from taskfc_ext.view.view_model import QueueModel

LOOK_EVERY = 1.0
"""Seconds between discoveries of farms."""

LINGER = 10.0
"""Seconds for which connections outlive the last browser: a page that is reloaded finds them."""

COUNTS_EVERY = 1.0
"""Seconds between lists of farms that differ in counts only. A page that watches a queue has its counts from there."""

SETTLE_WITHIN = 1.0
"""Seconds for which a request for the list waits for new connections; they take a few ms."""

ENCODED_FOR = 1.0
"""Seconds for which an encoded snapshot may be sent again: it contains the time at the controller."""

MAX_WATCHED = 100
"""Farms that one browser may watch."""

logger = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Subscription(Protocol):
    """A subscription to a farm, as `Subscriber` is one."""

    @property
    def status(self) -> FarmStatus:
        """The farm's status now."""
        ...

    def start(self) -> None:
        """Begin to look for the farm."""
        ...

    def close(self) -> None:
        """Close it; no callback is called after this."""
        ...

    async def ask(self, kind: type[Request], **fields: Any) -> Any:
        """Send a request; return the plain data of its answer."""
        ...


Subscribe = Callable[[str, Callable[[News], None]], Subscription]
"""Makes the subscription to the farm of a name; the callback gets its messages."""


class Hub:
    """Sends the messages of farms to browsers. All methods belong to the loop's thread.

    Args:
        subscribe: makes subscriptions to farms.
        discovery: finds the farms.
        look_every: seconds between discoveries.
        linger: seconds that connections stay without a browser.
    """

    def __init__(
        self,
        subscribe: Subscribe,
        discovery: Discovery,
        *,
        look_every: float = LOOK_EVERY,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subscribe = subscribe
        self._clock = clock
        self._discovery = discovery
        self._look_every = look_every
        self._linger = linger
        self._browsers: set[Browser] = set()
        self._n_requests = 0
        self._farms: dict[str, _Farm] = {}
        self._absent: dict[str, FarmStatus] = {}
        self._looked_at: float | None = None  # `None`: the list of farms is out of date
        self._look_now: asyncio.Task[None] | None = None
        self._look_on: asyncio.Task[None] | None = None
        self._sleep_timer: asyncio.TimerHandle | None = None
        self._farms_timer: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._news = asyncio.Event()

    # browsers

    def connect(self, browser: Browser) -> None:
        """Add a browser: it gets the list of farms, at once if it is known, and at every change."""
        self._browsers.add(browser)
        self._stay_awake()
        if self._looked_at is not None:
            self._send_farms(browser)
        if self._look_on is None:
            self._look_on = _run(self._keep_looking())

    def disconnect(self, browser: Browser) -> None:
        """Remove a browser."""
        browser.mark_closed()
        self._browsers.discard(browser)
        self._stay_awake()

    def receive(self, browser: Browser, question: ViewQuestion) -> None:
        """Handle a message of a browser."""
        match question:
            case Watch(farm=name):
                if name not in browser.watched and len(browser.watched) >= MAX_WATCHED:
                    browser.close(1008, f"more than {MAX_WATCHED} farms watched")
                    return
                browser.watched.add(name)
                farm = self._farms.get(name)
                if farm is not None:
                    browser.send_snapshot(name, farm.snapshot())
            case Unwatch(farm=name):
                browser.watched.discard(name)

    # requests

    @contextmanager
    def request(self) -> Iterator[None]:
        """Keep the connections while a request is answered."""
        self._n_requests += 1
        self._stay_awake()
        try:
            yield
        finally:
            self._n_requests -= 1
            self._stay_awake()

    async def farms(self) -> Farms:
        """Return the farms with their status now. This and the next methods are called within a `request`."""
        await self._be_current()
        try:
            async with asyncio.timeout(SETTLE_WITHIN):
                while not all(farm.has_settled for farm in self._farms.values()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # then the list has them as they are
        return self._list()

    async def status(self, name: str) -> FarmStatus | None:
        """Return a farm's status now; `None` when there is no farm of this name."""
        await self._be_current()
        farm = self._farms.get(name)
        return farm.subscriber.status if farm is not None else self._absent.get(name)

    def find_ask(self, name: str) -> Ask | None:
        """Return the function that sends requests to a farm; `None` while it does not run."""
        farm = self._farms.get(name)
        return farm.subscriber.ask if farm is not None else None

    async def discover(self) -> None:
        """Discover the farms again; concurrent calls share one discovery."""
        if self._look_now is None:
            self._look_now = _run(self._look())
        await asyncio.shield(self._look_now)

    def close(self) -> None:
        """Close all connections."""
        if self._sleep_timer is not None:
            self._sleep_timer.cancel()
        self._fall_asleep()

    # discovery

    async def _be_current(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._looked_at is None or now > self._looked_at + self._look_every:
            await self.discover()

    async def _keep_looking(self) -> None:
        while self._browsers:
            try:
                await self.discover()
            except Exception:  # the edge of a task: open pages get the farms when discovery works again
                logger.exception("the discovery of farms failed")
            await asyncio.sleep(self._look_every)
        self._look_on = None

    async def _look(self) -> None:
        live = {name for name, farm in self._farms.items() if farm.subscriber.status.state is FarmState.LIVE}
        try:
            found = await asyncio.to_thread(self._discovery.find_farms, live)
        except OSError as error:  # the folders cannot be read now: the last list stands
            logger.warning("cannot discover farms: %s", error)
            found = {**self._absent, **dict.fromkeys(self._farms)}
        finally:
            self._look_now = None
        if self._is_asleep():
            return  # the last browser has gone meanwhile
        self._looked_at = asyncio.get_running_loop().time()
        gone = [name for name in self._farms if name not in found or _is_absent(found[name])]
        for name in gone:
            self._farms.pop(name).subscriber.close()
        self._absent = {name: status for name, status in found.items() if status is not None and _is_absent(status)}
        for name, status in found.items():
            if status is not None and status.state is FarmState.CONNECTING and name not in self._farms:
                self._subscribe_to(name)
        self._send_farms_soon(at_once=True)

    def _subscribe_to(self, name: str) -> None:
        def on_news(news: News) -> None:
            if isinstance(news, FarmStatus):
                self._send_farms_soon(at_once=True)
            else:
                self._on_queue(name, farm, news)
            self._news.set()

        farm = self._farms[name] = _Farm(self._subscribe(name, on_news), self._clock)
        farm.subscriber.start()

    # messages to browsers

    def _on_queue(self, name: str, farm: _Farm, message: QueueSnapshot | QueueDelta) -> None:
        farm.apply(message)
        watching = [browser for browser in self._browsers if name in browser.watched]
        encoded = _encoder.encode(message) if watching else b""
        for browser in watching:
            if not browser.farms_sent:
                self._send_farms(browser)  # a page knows a farm before it gets its queue
            self._send(browser, encoded)
        self._send_farms_soon()

    def _send_farms_soon(self, *, at_once: bool = False) -> None:
        """Let all browsers get the list of farms; several changes in one turn of the loop are sent together."""
        if not self._browsers:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() if at_once else max(loop.time(), self._sent_at + COUNTS_EVERY)
        if self._farms_timer is not None:
            if self._farms_timer.when() <= when:
                return
            self._farms_timer.cancel()
        self._farms_timer = loop.call_at(when, self._send_farms_to_all)

    def _send_farms_to_all(self) -> None:
        self._farms_timer = None
        self._sent_at = asyncio.get_running_loop().time()
        if self._looked_at is not None:
            self._send_farms(*self._browsers)

    def _send_farms(self, *browsers: Browser) -> None:
        encoded = _encoder.encode(self._list())
        for browser in browsers:
            if browser.farms_sent != encoded:
                browser.farms_sent = encoded
                self._send(browser, encoded)

    def _send(self, browser: Browser, encoded: bytes) -> None:
        browser.send(encoded)
        if browser.is_closed:
            self._browsers.discard(browser)

    def _list(self) -> Farms:
        statuses = {**self._absent, **{name: farm.subscriber.status for name, farm in self._farms.items()}}
        return Farms(farms=tuple(statuses[name] for name in sorted(statuses)), version=__version__)

    # sleep

    def _stay_awake(self) -> None:
        """Keep the connections while there are browsers or requests, and `linger` seconds longer."""
        if self._sleep_timer is not None:
            self._sleep_timer.cancel()
            self._sleep_timer = None
        if not self._browsers and not self._n_requests:
            self._sleep_timer = asyncio.get_running_loop().call_later(self._linger, self._fall_asleep)

    def _is_asleep(self) -> bool:
        return not self._browsers and not self._n_requests and self._sleep_timer is None

    def _fall_asleep(self) -> None:
        if self._look_on is not None:
            self._look_on.cancel()
            self._look_on = None
        if self._farms_timer is not None:
            self._farms_timer.cancel()
            self._farms_timer = None
        for farm in self._farms.values():
            farm.subscriber.close()
        self._farms, self._absent, self._looked_at, self._sleep_timer = {}, {}, None, None


class _Farm:
    """A farm that runs, and its queue."""

    __slots__ = ("_clock", "_encoded", "_encoded_at", "_model", "_received_at", "subscriber")

    def __init__(self, subscriber: Subscription, clock: Callable[[], float]) -> None:
        self.subscriber = subscriber
        self._clock = clock
        self._model = QueueModel()
        self._received_at = 0.0
        self._encoded: list[bytes] = []  # of the queue now; empty: not made yet
        self._encoded_at = 0.0

    @property
    def has_settled(self) -> bool:
        """Whether the farm's status is known, with its counts if it answers."""
        status = self.subscriber.status
        return status.counts is not None or status.state not in (FarmState.CONNECTING, FarmState.LIVE)

    def apply(self, message: QueueSnapshot | QueueDelta) -> None:
        """Apply a message about its queue."""
        self._model.apply(message)
        self._received_at = self._clock()
        self._encoded = []

    def snapshot(self) -> list[bytes]:
        """Return the whole queue, encoded; made once for all browsers that ask at about the same time."""
        now = self._clock()
        if not self._encoded or now - self._encoded_at > ENCODED_FOR:
            is_live = self.subscriber.status.state is FarmState.LIVE
            messages = self._model.messages(now - self._received_at if is_live else 0.0)
            self._encoded, self._encoded_at = [_encoder.encode(message) for message in messages], now
        return self._encoded


def _is_absent(status: FarmStatus | None) -> bool:
    return status is not None and status.state is not FarmState.CONNECTING


def _run(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)
