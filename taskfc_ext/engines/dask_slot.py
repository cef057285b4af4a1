"""The part of the Dask adapter that runs in Dask's workers.

A slot is a long Dask task that holds one thread. The bridge calls this worker directly (or through the scheduler where
it cannot reach it): it fetches frames with one long request for all slots of its farm here, and puts frames with one
request for each. Nothing goes through the scheduler's events but the address of a worker with a new slot.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from distributed import Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol import to_serialize

from taskfc_ext.engines.host import the_host
from taskfc_ext.engines.hosted_process import Place
from taskfc_ext.engines.mailbox import Mailbox
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.slot_messages import PING_EVERY, Ping

KEY = "taskfc-"
"""The beginning of the keys of our Dask tasks; the token follows."""

LONGEST_REQUEST = PING_EVERY
"""Seconds after which a request for frames is answered without any; each is a sign of life of the bridge."""

UNCOPIED_FROM = 2**16
"""Bytes of a frame that Dask sends as they are: in a message of its own they would be copied several times."""

_NAME = "taskfc_ext"
_adding = threading.Lock()


def topic_of(run: str) -> str:
    """Return the topic of the events for one bridge."""
    return f"taskfc-{run}"


def uncopied(frame: bytes) -> Any:
    """Return what stands for a frame in a message of Dask; the other end gets the frame."""
    return to_serialize(frame) if len(frame) >= UNCOPIED_FROM else frame


def hold_slot(token: str, run: str) -> None:
    """Hold a slot in this thread of a Dask worker, until the bridge ends it.

    Args:
        token: begins with `run`.
        run: names the bridge; those of its farm have the same name up to an `x`.
    """
    worker = get_worker()
    slots = _slots_here(worker)
    post = slots.mailbox(run)
    worker.log_event(topic_of(run), {"address": worker.address})
    resources = {str(name): amount for name, amount in (worker.state.total_resources or {}).items()}
    place = Place(
        name=socket.gethostname(),
        properties={**resources, "host": socket.gethostname(), "engine": "dask"},
        folder=worker.local_directory,
    )
    the_host().hold(token, post.post, place)


class Slots(WorkerPlugin):  # type: ignore[misc]  # Dask's types are not read
    """The requests of bridges to one Dask worker, and its notices of withdrawn slots.

    It is added to the workers that have slots, and to no other: a plugin of the scheduler would stay on all workers of
    the cluster.
    """

    def __init__(self, worker: Worker) -> None:
        self._loop = worker.loop.asyncio_loop
        self._mailboxes: dict[str, Mailbox] = {}
        self._arrivals: dict[str, asyncio.Event] = {}

    def setup(self, worker: Worker) -> None:
        """Offer the requests."""
        worker.handlers["taskfc_take"] = self.take
        worker.handlers["taskfc_put"] = self.put

    def mailbox(self, run: str) -> Mailbox:
        """Return the mailbox for a bridge. Any thread."""
        with _adding:
            if run not in self._mailboxes:
                arrival = self._arrivals[run] = asyncio.Event()
                self._mailboxes[run] = Mailbox(lambda: self._loop.call_soon_threadsafe(arrival.set))
            return self._mailboxes[run]

    async def take(self, run: str, got: int) -> tuple[int, list[tuple[str, Any]]]:
        """Return frames for the bridge, as `Mailbox.take` does; waits for some. The slots of its predecessors end."""
        host = the_host()
        farm = run[: run.index("x")]
        for slot in host.slots:
            if slot.startswith(run):
                host.put(slot, codec.encode([Ping()]))
            elif slot.startswith(f"{farm}x"):
                host.end(slot)
        mailbox = self.mailbox(run)
        arrival = self._arrivals[run]
        arrival.clear()
        found = mailbox.take(got)
        if not found[1]:
            try:
                await asyncio.wait_for(arrival.wait(), LONGEST_REQUEST)
            except TimeoutError:
                pass
            found = mailbox.take(found[0])
        return found[0], [(slot, uncopied(frame)) for slot, frame in found[1]]

    async def put(self, slot: str, frame: bytes) -> bool:
        """Hand a frame to a slot; return `False` if it has ended."""
        return the_host().put(slot, frame)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """End a slot whose Dask task was cancelled, or forgotten with its bridge."""
        if isinstance(key, str) and key.startswith(KEY) and finish in ("cancelled", "released", "forgotten"):
            the_host().end_token(key.removeprefix(KEY))


def _slots_here(worker: Worker) -> Slots:
    with _adding:
        plugin = worker.plugins.get(_NAME)
        if isinstance(plugin, Slots):
            return plugin
        plugin = Slots(worker)
        added = asyncio.run_coroutine_threadsafe(worker.plugin_add(plugin, name=_NAME), worker.loop.asyncio_loop)
        added.result(30)
        return plugin
