"""All farms of this user on one side, all browsers on the other, and one connection to each farm in between.

Nobody looks, and nothing is connected, while there is no browser: an idle Jupyter server costs nothing, and no farm
counts it as somebody who needs it.
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
"""Seconds between looks for farms that come and go."""

LINGER = 10.0
"""Seconds that connections stay when the last browser has gone: one that is reloaded finds them."""

COUNTS_EVERY = 1.0
"""Seconds between lists of farms that differ in their counts only. Whoever watches a queue has its counts from that."""

SETTLE_WITHIN = 1.0
"""Seconds that a request for the list waits for farms that have just been connected to; they take a few ms."""

ENCODED_FOR = 1.0
"""Seconds for which what brings a browser up to date is as good as new: it says what time it is at the controller."""

MAX_WATCHED = 100
"""Farms that one browser watches."""

logger = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Subscription(Protocol):
    """A connection to a farm, as `Subscriber` is one."""

    @property
    def status(self) -> FarmStatus:
        """How the farm is now."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def close(self) -> None:
        """End it; nothing is told any more."""
        ...

    async def ask(self, kind: type[Request], **fields: Any) -> Any:
        """Send a request; return the plain data of its answer."""
        ...


Subscribe = Callable[[str, Callable[[News], None]], Subscription]
"""Makes the connection to the farm of a name, which tells its news."""


class Hub:
    """Brings the news of farms to browsers. All methods belong to the loop's thread.

    Args:
        follow: makes connections to farms.
        discovery: looks for farms.
        look_every: seconds between looks.
        linger: seconds that connections stay without a browser.
    """

    def __init__(
        self,
        follow: Subscribe,
        discovery: Discovery,
        *,
        look_every: float = LOOK_EVERY,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subscribe = follow
        self._clock = clock
        self._discovery = discovery
        self._look_every = look_every
        self._linger = linger
        self._browsers: set[Browser] = set()
        self._n_requests = 0
        self._farms: dict[str, _Farm] = {}
        self._absent: dict[str, FarmStatus] = {}
        self._looked_at: float | None = None  # `None`: what was seen is too old to be told
        self._look_now: asyncio.Task[None] | None = None
        self._look_on: asyncio.Task[None] | None = None
        self._sleep_timer: asyncio.TimerHandle | None = None
        self._farms_timer: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self._news = asyncio.Event()

    # browsers

    def connect(self, browser: Browser) -> None:
        """A browser looks on: it is told of the farms, at once if they are known, and of all changes from then on."""
        self._browsers.add(browser)
        self._stay_awake()
        if self._looked_at is not None:
            self._send_farms(browser)
        if self._look_on is None:
            self._look_on = _run(self._keep_looking())

    def disconnect(self, browser: Browser) -> None:
        """It looks no more."""
        browser.mark_closed()
        self._browsers.discard(browser)
        self._stay_awake()

    def receive(self, browser: Browser, question: ViewQuestion) -> None:
        """Take in what a browser asks."""
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
        """Keep the connections while a request is answered, however long that takes."""
        self._n_requests += 1
        self._stay_awake()
        try:
            yield
        finally:
            self._n_requests -= 1
            self._stay_awake()

    async def farms(self) -> Farms:
        """Return the farms as they are now. Within a `request`, as is all that follows."""
        await self._be_current()
        try:
            async with asyncio.timeout(SETTLE_WITHIN):
                while not all(farm.has_settled for farm in self._farms.values()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # then that is how they are
        return self._list()

    async def status(self, name: str) -> FarmStatus | None:
        """Return how a farm is now; `None` when there is none of this name."""
        await self._be_current()
        farm = self._farms.get(name)
        return farm.subscriber.status if farm is not None else self._absent.get(name)

    def find_ask(self, name: str) -> Ask | None:
        """Return how the farm is asked; `None` while its processes are not there."""
        farm = self._farms.get(name)
        return farm.subscriber.ask if farm is not None else None

    async def discover(self) -> None:
        """Look at all farms anew; several who want that share one look."""
        if self._look_now is None:
            self._look_now = _run(self._look())
        await asyncio.shield(self._look_now)

    def close(self) -> None:
        """Close all connections."""
        if self._sleep_timer is not None:
            self._sleep_timer.cancel()
        self._fall_asleep()

    # looking

    async def _be_current(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._looked_at is None or now > self._looked_at + self._look_every:
            await self.discover()

    async def _keep_looking(self) -> None:
        while self._browsers:
            try:
                await self.discover()
            except Exception:  # the edge of a task: pages that stay open are to hear of farms when it can be done again
                logger.exception("looking for farms failed")
            await asyncio.sleep(self._look_every)
        self._look_on = None

    async def _look(self) -> None:
        live = {name for name, farm in self._farms.items() if farm.subscriber.status.state is FarmState.LIVE}
        try:
            found = await asyncio.to_thread(self._discovery.find_farms, live)
        except OSError as error:  # the folders cannot be read now: what was seen there stands
            logger.warning("cannot look for farms: %s", error)
            found = {**self._absent, **dict.fromkeys(self._farms)}
        finally:
            self._look_now = None
        if self._is_asleep():
            return  # all have gone meanwhile
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

    # telling

    def _on_queue(self, name: str, farm: _Farm, message: QueueSnapshot | QueueDelta) -> None:
        farm.apply(message)
        watching = [browser for browser in self._browsers if name in browser.watched]
        encoded = _encoder.encode(message) if watching else b""
        for browser in watching:
            if not browser.farms_sent:
                self._send_farms(browser)  # whatever comes first, it is of a farm that the page knows
            self._send(browser, encoded)
        self._send_farms_soon()

    def _send_farms_soon(self, *, at_once: bool = False) -> None:
        """See to it that the browsers are told; several changes in one turn of the loop are told together."""
        if not self._browsers:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() if at_once else max(loop.time(), self._told_at + COUNTS_EVERY)
        if self._farms_timer is not None:
            if self._farms_timer.when() <= when:
                return
            self._farms_timer.cancel()
        self._farms_timer = loop.call_at(when, self._send_farms_to_all)

    def _send_farms_to_all(self) -> None:
        self._farms_timer = None
        self._told_at = asyncio.get_running_loop().time()
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

    # sleeping

    def _stay_awake(self) -> None:
        """Keep the connections for as long as there are browsers or requests, and a while longer."""
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
    """A farm that is there, and its queue."""

    __slots__ = ("_clock", "_encoded", "_encoded_at", "_model", "_told_at", "subscriber")

    def __init__(self, subscriber: Subscription, clock: Callable[[], float]) -> None:
        self.subscriber = subscriber
        self._clock = clock
        self._model = QueueModel()
        self._told_at = 0.0
        self._encoded: list[bytes] = []  # empty: not since the last change
        self._encoded_at = 0.0

    @property
    def has_settled(self) -> bool:
        """Whether it is known how the farm is, and if it is there, how much it has to do."""
        status = self.subscriber.status
        return status.counts is not None or status.state not in (FarmState.CONNECTING, FarmState.LIVE)

    def apply(self, message: QueueSnapshot | QueueDelta) -> None:
        """Take in what is new of its queue."""
        self._model.apply(message)
        self._told_at = self._clock()
        self._encoded = []

    def snapshot(self) -> list[bytes]:
        """Return what brings a browser up to date; made once for all that ask at about the same time."""
        now = self._clock()
        if not self._encoded or now - self._encoded_at > ENCODED_FOR:
            is_live = self.subscriber.status.state is FarmState.LIVE
            said = self._model.messages(now - self._told_at if is_live else 0.0)
            self._encoded, self._encoded_at = [_encoder.encode(message) for message in said], now
        return self._encoded


def _is_absent(status: FarmStatus | None) -> bool:
    return status is not None and status.state is not FarmState.CONNECTING


def _run(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)
