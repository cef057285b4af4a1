"""An engine for tests: its slots are threads of the bridge, and its processes are lost on demand."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from taskfc_ext.engines.adapter import Connected, Events, Failed, Frame, Gone, SlotGone, Unreachable
from taskfc_ext.engines.host import Host
from taskfc_ext.engines.hosted_process import Place
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.slot_messages import PING_EVERY, Ping


class FakeAdapter:
    """Slots on this machine, see `Adapter`.

    Args:
        url: `fake://FOLDER`. While FOLDER has a file `down`, the engine cannot be reached; a file `lose` loses all its
            slots and is removed.
    """

    def __init__(self, url: str, events: Events, *, run: str) -> None:
        self.url = url
        self._folder = Path(url.removeprefix("fake://"))
        self._events = events
        self._run = run
        self._host = Host()
        self._loop = asyncio.get_running_loop()
        self._slots: set[str] = set()
        self._watching: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """See `Adapter`."""
        if (self._folder / "down").exists():
            raise Unreachable("connection refused")
        if self._watching is None:
            self._watching = self._loop.create_task(self._watch())
        self._events.put_nowait(Connected())

    async def ask(self, token: str) -> None:
        """See `Adapter`."""
        threading.Thread(target=self._hold, args=(token,), name=f"slot {token}", daemon=True).start()

    def _hold(self, token: str) -> None:
        place = Place(name=f"fake{token[-1]}", properties={"engine": "fake"}, folder=str(self._folder))
        reason = "it has ended"
        try:
            self._host.hold(token, self._post, place)
        except Exception as error:  # noqa: BLE001  reported
            reason = f"{type(error).__name__}: {error}"
        self._put(Failed(token, reason))

    def _post(self, slot: str, frame: bytes) -> bool:
        self._slots.add(slot)
        self._put(Frame(slot, frame))
        return True

    def _put(self, event: Frame | Failed) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop has ended
            pass

    async def withdraw(self, token: str) -> None:
        """See `Adapter`."""
        self._host.end_token(token)

    async def put(self, slot: str, frame: bytes) -> None:
        """See `Adapter`."""
        if not self._host.put(slot, frame):
            raise SlotGone(slot)

    async def _watch(self) -> None:
        pinged_at = self._loop.time()
        while True:
            await asyncio.sleep(0.05)
            if self._loop.time() - pinged_at > PING_EVERY:
                pinged_at = self._loop.time()
                for slot in self._host.slots:
                    self._host.put(slot, codec.encode([Ping()]))
            if (self._folder / "lose").exists():
                os.unlink(self._folder / "lose")
                lost = tuple(self._slots)
                self._slots.clear()
                self._events.put_nowait(Gone(lost, "it was lost"))
                for slot in lost:
                    self._host.end(slot)

    async def close(self) -> None:
        """See `Adapter`."""
        if self._watching is not None:
            self._watching.cancel()
        for slot in self._host.slots:
            self._host.end(slot)
        while self._host.slots:
            await asyncio.sleep(0.01)
