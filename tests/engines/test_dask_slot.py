"""The part of the Dask adapter in Dask's workers: what it keeps alive, and what stays when its slots are gone."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

from taskfc_ext.engines.dask_slot import KEY, Slots
from taskfc_ext.engines.host import Host
from taskfc_ext.engines.hosted_process import Place
from taskfc_ext.engines.mailbox import Letters
from taskfc_ext.protocol.slot_messages import SILENCE
from tests.processes import DEADLINE

RUN, NEXT, OTHER = "farm1xaaaaaa", "farm1xbbbbbb", "farm2xcccccc"


class NotingHost(Host):
    """A host that notes the frames that it gets, and handles none."""

    def put(self, slot: str, frame: bytes) -> bool:
        self.frames = [*getattr(self, "frames", ()), frame]
        return True


class DaskWorker:
    """A Dask worker, as far as `Slots` sees it, with a host.

    Attributes:
        ahead: seconds by which the host's clock is ahead.
    """

    def __init__(self, host: type[Host] = Host) -> None:
        self.loop = SimpleNamespace(asyncio_loop=asyncio.get_running_loop())
        self.plugins: dict[str, Any] = {}
        self.handlers: dict[str, Any] = {}
        self.ahead = 0.0
        self.host = host(lambda: time.monotonic() + self.ahead)
        self.slots = Slots(self, self.host)
        self._got = 0
        self._threads: dict[str, threading.Thread] = {}

    async def hold(self, token: str, run: str) -> str:
        """Hold a slot, as Dask's task does; return the slot when it has said hello."""
        mailbox = self.slots.mailbox(token, run)
        place = Place("here", {}, "/")
        thread = self._threads[token] = threading.Thread(target=self.host.hold, args=(token, mailbox.post, place))
        thread.start()
        letters: Letters = []
        while not letters:  # a request may end early
            answer = await self.slots.take(run, self._got, [])
            assert answer is not None
            self._got, letters = answer
        return letters[0][0]

    async def ended(self, token: str) -> bool:
        """Return whether the slot ends."""
        await asyncio.to_thread(self._threads[token].join, DEADLINE)
        return not self._threads[token].is_alive()

    async def forget(self, token: str) -> None:
        """Forget a slot's task, as Dask does when its client releases it."""
        for start, finish in (("executing", "cancelled"), ("cancelled", "released"), ("released", "forgotten")):
            self.slots.transition(KEY + token, start, finish)
            assert await self.ended(token)


def test_a_slot_that_the_bridge_has_given_up_is_not_kept_alive_by_its_successor() -> None:
    async def play() -> None:
        worker = DaskWorker()
        await worker.hold(RUN + "n1", RUN)
        second = await worker.hold(RUN + "n2", RUN)
        worker.ahead = SILENCE - 1
        asking = asyncio.create_task(worker.slots.take(RUN, 0, [second]))
        await asyncio.sleep(0)  # it has begun
        worker.ahead = SILENCE + 1
        assert await worker.ended(RUN + "n1")
        assert worker.host.slots == [second]
        await worker.forget(RUN + "n2")
        await asking

    asyncio.run(play())


def test_a_frame_that_arrives_again_has_no_effect() -> None:
    async def play() -> None:
        worker = DaskWorker(NotingHost)
        slots = worker.slots
        slots.mailbox(RUN + "n1", RUN)
        for number, frame in ((3, b"a"), (3, b"a"), (5, b"b")):
            assert await slots.put(f"{RUN}n1.a", number, frame)
        assert not await slots.put(f"{OTHER}n1.a", 6, b"c")
        assert worker.host.frames == [b"a", b"b"]

    asyncio.run(play())


def test_frames_that_a_dead_bridge_has_not_fetched_are_dropped_with_its_slots() -> None:
    async def play() -> None:
        worker = DaskWorker()
        other = await worker.hold(OTHER + "n1", OTHER)
        await worker.hold(RUN + "n1", RUN)
        mailbox = worker.slots.mailbox(RUN + "n1", RUN)
        assert mailbox.post("s", bytes(1000))
        await worker.forget(RUN + "n1")
        assert await worker.slots.take(RUN, 0, []) is None
        assert worker.host.slots == [other], "those of another farm go on"
        await worker.forget(OTHER + "n1")

    asyncio.run(play())
