"""The part of the Dask adapter that runs in Dask's workers.

A slot is a long Dask task that holds one thread. The bridge calls this worker directly (or through the scheduler where
it cannot reach it): it fetches frames with one long request for all slots of its farm here, and puts frames with one
request for each. Nothing goes through the scheduler's events but the address of a worker with a new slot.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from distributed import Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol import to_serialize

from taskfc_ext.engines.host import Host, the_host
from taskfc_ext.engines.hosted_process import Place
from taskfc_ext.engines.mailbox import LONGEST_REQUEST, Mailbox
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.slot_messages import Ping, token_of

KEY = "taskfc-"
"""The beginning of the keys of our Dask tasks; the token follows."""

LARGE_FROM = 2**16
"""Bytes of a frame that Dask sends as they are: in a message of its own they would be copied several times."""

LINGER = 1.0
"""Seconds from the end of the last slot of a Dask worker until what we have added to that worker is removed."""

_NAME = "taskfc_ext"


def topic_of(run: str) -> str:
    """Return the topic of the events for one bridge."""
    return f"taskfc-{run}"


def wrap_large(frame: bytes) -> Any:
    """Return what stands for a frame in a message of Dask; the other end gets the frame."""
    return to_serialize(frame) if len(frame) >= LARGE_FROM else frame


def hold_slot(token: str, run: str) -> None:
    """Hold a slot in this thread of a Dask worker, until the bridge ends it.

    Args:
        token: begins with `run`.
        run: names the bridge; those of its farm have the same name up to an `x`.
    """
    worker = get_worker()
    adding = asyncio.run_coroutine_threadsafe(_mailbox(worker, token, run), worker.loop.asyncio_loop)
    mailbox = adding.result(30)
    worker.log_event(topic_of(run), {"address": worker.address})
    resources = {str(name): amount for name, amount in (worker.state.total_resources or {}).items()}
    place = Place(
        name=socket.gethostname(),
        properties={**resources, "host": socket.gethostname(), "engine": "dask"},
        folder=worker.local_directory,
    )
    the_host().hold(token, mailbox.post, place)


async def _mailbox(worker: Worker, token: str, run: str) -> Mailbox:
    """Return the mailbox for the frames of a slot."""
    plugin = worker.plugins.get(_NAME)
    if not isinstance(plugin, Slots):
        plugin = Slots(worker, the_host())
        await worker.plugin_add(plugin, name=_NAME)
    return plugin.mailbox(token, run)


class Slots(WorkerPlugin):  # type: ignore[misc]  # Dask's types are not read
    """The requests of bridges to one Dask worker, and its notices of withdrawn slots. All in the worker's event loop.

    It is added to the workers that have slots, and to no other: a plugin of the scheduler would stay on all workers of
    the cluster. It is removed when there is no slot any more.
    """

    def __init__(self, worker: Worker, host: Host) -> None:
        self._worker = worker
        self._loop = worker.loop.asyncio_loop
        self._host = host
        self._boxes: dict[str, _Box] = {}

    def setup(self, worker: Worker) -> None:
        """Offer the requests."""
        worker.handlers["taskfc_take"] = self.take
        worker.handlers["taskfc_put"] = self.put

    def teardown(self, worker: Worker) -> None:
        """Withdraw the requests."""
        worker.handlers.pop("taskfc_take", None)
        worker.handlers.pop("taskfc_put", None)

    def mailbox(self, token: str, run: str) -> Mailbox:
        """Return the mailbox for the frames of a slot; it is there until Dask forgets the slot's task."""
        if run not in self._boxes:
            self._boxes[run] = _Box(self._loop)
        self._boxes[run].n_put.setdefault(token, 0)
        return self._boxes[run].mailbox

    async def take(self, run: str, got: int, slots: list[str]) -> tuple[int, list[tuple[str, Any]]] | None:
        """Return frames for the bridge, as `Mailbox.take` does; waits for some. The slots of its predecessors end.

        Args:
            run: the bridge.
            got: see `Mailbox.take`.
            slots: those that the bridge holds; others end soon by themselves.

        Returns:
            `None`: there is no slot of the bridge.
        """
        self._end_predecessors(run)
        for slot in slots:
            self._host.put(slot, codec.encode([Ping()]))
        box = self._boxes.get(run)
        if box is None:
            return None
        box.arrival.clear()
        found = box.mailbox.take(got)
        if not found[1]:
            try:
                await asyncio.wait_for(box.arrival.wait(), LONGEST_REQUEST)
            except TimeoutError:
                pass
            found = box.mailbox.take(found[0])
        if not found[1] and run not in self._boxes:
            return None
        return found[0], [(slot, wrap_large(frame)) for slot, frame in found[1]]

    def _end_predecessors(self, run: str) -> None:
        farm = run[: run.index("x") + 1]
        for slot in self._host.slots:
            if slot.startswith(farm) and not slot.startswith(run):
                self._host.end(slot)
        for other in self._boxes:
            if other.startswith(farm) and other != run:
                self._boxes[other].mailbox.close()

    async def put(self, slot: str, number: int, frame: bytes) -> bool:
        """Hand a frame to a slot; return `False` if it has ended.

        Args:
            number: of the frame among those of the bridge; one that arrives again has no effect.
        """
        token = token_of(slot)
        box = next((box for box in self._boxes.values() if token in box.n_put), None)
        if box is None:
            return False
        if number <= box.n_put[token]:
            return True
        box.n_put[token] = number
        return self._host.put(slot, frame)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """End a slot whose Dask task was cancelled, or forgotten with its bridge."""
        if isinstance(key, str) and key.startswith(KEY) and finish in ("cancelled", "released", "forgotten"):
            token = key.removeprefix(KEY)
            self._host.end_token(token)
            if finish == "forgotten":
                self._forget(token)

    def _forget(self, token: str) -> None:
        """Drop what was kept for a slot, and with the last one of its bridge its frames."""
        for run, box in list(self._boxes.items()):
            box.n_put.pop(token, None)
            if not box.n_put:
                del self._boxes[run]
                box.arrival.set()
        if not self._boxes:
            self._loop.call_later(LINGER, self._remove)

    def _remove(self) -> None:
        if not self._boxes and self._worker.plugins.get(_NAME) is self:
            del self._worker.plugins[_NAME]
            self.teardown(self._worker)


class _Box:
    """The mailbox for one bridge.

    Attributes:
        arrival: set when a frame comes.
        n_put: by the tokens of the bridge that are held here, the number of the last frame that was put.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.arrival = asyncio.Event()
        self.mailbox = Mailbox(lambda: loop.call_soon_threadsafe(self.arrival.set))
        self.n_put: dict[str, int] = {}
