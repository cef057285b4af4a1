"""The Ray adapter: slots are Ray actors.

Ray blocks its caller in many places, so all calls are made in threads: those that wait for Ray's head in other ones
than the calls of actors, which go on without it. Ray's library ends the bridge's process when the head has not answered
for 60 seconds; the supervisor then starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError

from taskfc_ext.engines.adapter import Connected, Events, Failed, Frame, Lost, SlotGone, Unreachable
from taskfc_ext.engines.background import Background
from taskfc_ext.engines.probe import probe
from taskfc_ext.engines.ray_slot import END_WITHIN, RaySlot
from taskfc_ext.protocol.slot_messages import token_of

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 15.0
"""Seconds for one try to connect; one that takes longer goes on during the next. Ray Client's server starts a process
first, which takes some seconds."""

CHECK_EVERY = 5.0
"""Seconds between two looks at the connection."""

OTHER_HEAD = "WrongClusterID"
"""In Ray's errors when the head was started again. Its library tries on for ever."""

CLOSE_WITHIN = 5.0
"""Seconds to disconnect. Ray ends the slots of a bridge that is gone."""

GONE_AFTER = 10.0
"""Seconds for which an actor may be unavailable."""

PENDING = 5.0
"""Seconds until a request is refused that no node can satisfy: enough for an autoscaler to see it."""

MAX_PENDING = 64
"""Actors that wait for a node at a time: the head has to place each."""

CONTROLS = 4
"""Calls that wait for the head at a time."""

_BY_NAME: dict[str, str] = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""The resources that Ray takes by a name of their own."""


class ConnectedBefore(Exception):
    """The bridge has lost a connection to Ray, whose library hangs when it connects again in the same process."""


class RayAdapter:
    """An adapter of `ray`, see `Adapter`.

    Args:
        url: `ray://HOST:PORT`, the address of a Ray Client server; `ray`: this machine is a node of the cluster, and
            `RAY_ADDRESS` may say of which one.
        events: gets what happens.
        run: names this bridge, see `name_bridge`.
        resources: of Ray, that each slot takes; by default one CPU.
    """

    def __init__(self, url: str, events: Events, *, run: str, resources: dict[str, float]) -> None:
        self.url = url
        self._events = events
        self._run = run
        self._resources = {"CPU": 1.0, **resources}
        address = url if "://" in url else os.environ.get("RAY_ADDRESS", "")
        self._address = address if ":" in address else "auto"  # without one, Ray would start a cluster
        self._is_client = self._address.startswith("ray://")
        self._slots: dict[str, _RaySlot] = {}
        self._has_room = asyncio.Semaphore(MAX_PENDING)
        self._connecting: asyncio.Future[None] | None = None
        self._is_connected = False
        self._was_connected = False
        self._background = Background(self._fail)
        self._calls = ThreadPoolExecutor(1, "ray calls")  # one: a call hands over a request, and waits for no answer
        self._controls = ThreadPoolExecutor(CONTROLS, "ray head")

    # the head

    async def connect(self) -> None:
        """See `Adapter`."""
        try:
            if self._connecting is None:
                await probe(self._address if self._is_client else f"ray://{self._address}")
                if self._was_connected:
                    raise ConnectedBefore("the bridge starts again, as Ray connects once in a process")
                self._connecting = asyncio.ensure_future(self._control(self._connect))
            await asyncio.wait_for(asyncio.shield(self._connecting), CONNECT_TIMEOUT)
            self._connecting, self._was_connected = None, True
            await self._sweep()
        except (ConnectedBefore, Unreachable):
            raise
        except TimeoutError:
            raise Unreachable("it has not answered yet") from None
        except Exception as error:
            self._connecting = None
            raise Unreachable(explain(error)) from error
        self._is_connected = True
        self._background.start(self._watch())
        self._events.put_nowait(Connected())

    def _connect(self) -> None:
        try:
            ray.init(
                self._address,
                namespace=f"taskfc-{self._run[: self._run.index('x')]}",
                log_to_driver=False,  # else the output of all actors is in the bridge's log
                configure_logging=False,
            )
        except Exception:
            ray.shutdown()  # of a connection that was refused, such as one between different versions
            raise

    async def _sweep(self) -> None:
        """End the slots of earlier bridges of this farm."""
        names = await self._control(ray.util.list_named_actors)
        await asyncio.gather(*[self._end_old(name) for name in names if not name.startswith(self._run)])

    async def _end_old(self, name: str) -> None:
        with suppress(ValueError):  # it has ended meanwhile
            await self._release(_RaySlot(await self._control(ray.get_actor, name), has_begun=True))

    async def _watch(self) -> None:
        """Report the loss of the Ray Client server, or that there is another head at the address.

        A head that does not answer is no loss on a node, where the actors go on for a while.
        """
        while self._is_connected:
            await asyncio.sleep(CHECK_EVERY)
            try:
                await self._control(ray.nodes)
            except Exception as error:  # noqa: BLE001  whatever Ray raises
                if self._is_client or OTHER_HEAD in str(error):
                    self._lose(error)

    def _lose(self, error: BaseException) -> None:
        if self._is_connected:
            self._is_connected = False
            self._slots.clear()
            is_broken = isinstance(error, ConnectionError)  # Ray Client has many words for it
            self._events.put_nowait(Lost("the connection is broken" if is_broken else explain(error)))

    def _fail(self, error: BaseException) -> None:
        logger.error("a part of the Ray adapter failed", exc_info=error)
        self._lose(error)

    # slots

    async def ask(self, token: str) -> None:
        """See `Adapter`."""
        slot = self._slots[token] = _RaySlot()
        async with self._has_room:
            if self._slots.get(token) is not slot:
                return
            try:
                slot.actor = await self._control(self._create, token)
                if self._slots.get(token) is not slot:  # withdrawn meanwhile
                    await self._release(slot)
                    return
                first = asyncio.ensure_future(self._call(slot.actor.take, 0))
                done, _ = await asyncio.wait([first], timeout=PENDING)
                missing = "" if done else await self._missing()
            except Exception as error:  # noqa: BLE001  whatever Ray raises
                missing = explain(error)
            if missing:
                self._report_end(token, slot, missing)
                return
            await asyncio.wait([first])
        self._background.start(self._fetch(token, slot, first))

    def _create(self, token: str) -> Any:
        named = {_BY_NAME[name]: amount for name, amount in self._resources.items() if name in _BY_NAME}
        others = {name: amount for name, amount in self._resources.items() if name not in _BY_NAME}
        # Ray makes nothing again: the controller decides that. Methods: `take`, `put`, `end`, and one that is late.
        actor = ray.remote(RaySlot).options(
            name=token, max_restarts=0, max_task_retries=0, max_concurrency=4, resources=others, **named
        )
        return actor.remote(token)

    async def _missing(self) -> str:
        """Return what no node has, in use or not; "" if one has all."""
        for node in await self._control(ray.nodes):
            there = node.get("Resources", {})
            if node.get("Alive") and all(there.get(name, 0) >= amount for name, amount in self._resources.items()):
                return ""
        wanted = ", ".join(f"{name}={amount:g}" for name, amount in self._resources.items())
        return f"no node of the cluster has {wanted}"

    async def _fetch(self, token: str, slot: _RaySlot, first: asyncio.Future[Any]) -> None:
        """Fetch frames from a slot until it has ended."""
        clock = asyncio.get_running_loop().time
        answer: Any = first
        got = 0
        failing_since: float | None = None
        while True:
            try:
                got, letters, ended = await answer
            except Exception as error:  # noqa: BLE001  whatever Ray raises
                if isinstance(error, ConnectionError):
                    self._lose(error)
                    return
                failing_since = failing_since or clock()
                if not isinstance(error, ActorUnavailableError) or clock() - failing_since > GONE_AFTER:
                    self._report_end(token, slot, explain(error))
                    return
                await asyncio.sleep(0.1)
            else:
                failing_since = None
                for name, frame in letters:
                    self._events.put_nowait(Frame(name, frame))
                if ended:
                    self._report_end(token, slot, ended)
                    return
            if self._slots.get(token) is not slot:
                return
            answer = self._call(slot.actor.take, got)

    def _report_end(self, token: str, slot: _RaySlot, reason: str) -> None:
        if self._slots.get(token) is slot:
            self._events.put_nowait(Failed(token, reason))

    async def withdraw(self, token: str) -> None:
        """See `Adapter`."""
        slot = self._slots.pop(token, None)
        if slot is not None:
            await self._release(slot)

    async def _release(self, slot: _RaySlot) -> None:
        """End an actor, after its worker and what that has started."""
        if slot.actor is None:
            return
        with suppress(Exception):
            if slot.has_begun:
                await asyncio.wait_for(self._call(slot.actor.end), END_WITHIN)
        with suppress(Exception):
            await self._control(ray.kill, slot.actor)

    async def put(self, slot: str, frame: bytes) -> None:
        """See `Adapter`."""
        token = token_of(slot)
        held = self._slots.get(token)
        if held is None:
            raise SlotGone(slot)
        held.has_begun = True
        held.n_put += 1
        try:
            is_held = await self._put(held, slot, frame)
        except Exception as error:
            self._report_end(token, held, explain(error))  # a slot that misses a frame is of no use
            raise SlotGone(slot) from error
        if not is_held:
            raise SlotGone(slot)

    async def _put(self, held: _RaySlot, slot: str, frame: bytes) -> bool:
        """Put a frame, again while the actor is unavailable; return whether it has the slot."""
        clock = asyncio.get_running_loop().time
        until = clock() + GONE_AFTER
        while True:
            try:
                return bool(await self._call(held.actor.put, held.n_put, slot, frame))
            except ActorUnavailableError:
                if clock() > until:
                    raise
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """See `Adapter`."""
        self._background.cancel()
        slots = list(self._slots.values())
        self._slots.clear()
        if self._is_connected:
            self._is_connected = False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._disconnect(slots), CLOSE_WITHIN)
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._controls.shutdown(wait=False, cancel_futures=True)

    async def _disconnect(self, slots: list[_RaySlot]) -> None:
        with suppress(Exception):
            for slot in slots:
                if slot.actor is not None:
                    await self._control(ray.kill, slot.actor)
            await self._control(ray.shutdown)

    # calls

    async def _control(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call that waits for the head."""
        return await asyncio.get_running_loop().run_in_executor(self._controls, call, *arguments)

    async def _call(self, method: Any, *arguments: Any) -> Any:
        """Call a method of an actor, and return its result."""

        def send() -> Any:
            return method.remote(*arguments).future()

        future = await asyncio.get_running_loop().run_in_executor(self._calls, send)
        return await asyncio.shield(asyncio.wrap_future(future))  # Ray Client breaks when a future is cancelled


class _RaySlot:
    """An actor as the adapter knows it.

    Attributes:
        actor: its handle; `None`: it was not made yet.
        has_begun: it may have a worker.
        n_put: frames that were put.
    """

    def __init__(self, actor: Any = None, *, has_begun: bool = False) -> None:
        self.actor = actor
        self.has_begun = has_begun
        self.n_put = 0


def explain(error: BaseException) -> str:
    """Return an error of Ray in one line, with what to do where that is known."""
    whole = str(error)
    if "No module named 'taskfc_ext" in whole or "The actor with name RaySlot failed to import" in whole:
        return "taskfc_ext is not installed where its actors run: `pip install taskfc-ext` there"
    lines = [line for line in whole.splitlines() if not line.startswith("\t")]  # others have an actor's ids
    text = " ".join(" ".join(lines).split())
    if "Could not find any running Ray instance" in text:
        return "no Ray runs on this machine: `ray start --address=HEAD:PORT` makes it a node of a cluster"
    if "The cluster was started with" in text:
        return f"{text[:300]}: install the same Ray and Python here and there"
    if OTHER_HEAD in text:
        return "the head was started again"
    if "InvalidAuthToken" in text or "Unauthenticated" in text or "UNAUTHENTICATED" in text:
        return "it wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
    return text[:300] or type(error).__name__
