"""The Dask adapter: slots are long Dask tasks."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from distributed import Client
from distributed.comm import CommClosedError
from distributed.security import Security

from taskfc_ext.engines.adapter import Connected, Events, Failed, Frame, Gone, Lost, SlotGone, Unreachable
from taskfc_ext.engines.background import Background
from taskfc_ext.engines.dask_slot import KEY, hold_slot, topic_of, wrap_large
from taskfc_ext.engines.probe import probe
from taskfc_ext.protocol.slot_messages import token_of
from taskfc_ext.version import __version__

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
"""Seconds for one step of a try to reach the scheduler."""

ANSWER_TIMEOUT = 7.0
"""Seconds for all of them: Dask waits for ever where something else answers."""

DIRECT_TIMEOUT = 2.0
"""Seconds for the first direct call of a worker; after that it is called through the scheduler."""

CHECK_EVERY = 0.5
"""Seconds between two checks of the connection to the scheduler."""

GONE_AFTER = 10.0
"""Seconds for which calls of a worker that the scheduler still lists may fail."""

HOLD = f"__import__({hold_slot.__module__!r}, fromlist=[True]).{hold_slot.__name__}({{!r}}, {{!r}})"
"""The source of a slot's Dask task, for `eval`. Dask's scheduler unpickles the functions of tasks: one of ours would
have to be installed there too, and a worker without our package could not report that in one line."""

NO_CERTIFICATES = "there are no certificates for it: restart(on=client), or set distributed.comm.tls"
"""The state of a farm that has lost those of a live client, and finds none in Dask's configuration."""

_BROKEN = (OSError, CommClosedError, TimeoutError, asyncio.TimeoutError, asyncio.CancelledError)


class DaskAdapter:
    """An adapter of `distributed`, see `Adapter`.

    Args:
        url: the scheduler's address.
        events: gets what happens.
        run: names this bridge, see `name_bridge`.
        resources: of Dask, that each slot takes.
        security: arguments of a `distributed.Security`; without them, Dask's own configuration holds.
    """

    def __init__(
        self, url: str, events: Events, *, run: str, resources: dict[str, float], security: dict[str, Any] | None
    ) -> None:
        self.url = url
        self._events = events
        self._run = run
        self._resources = resources
        self._security = security
        self._client: Any = None
        self._requests: dict[str, _Request] = {}
        self._workers: dict[str, _DaskWorker] = {}
        self._worker_of: dict[str, _DaskWorker] = {}
        self._numbers = count(1)
        self._background = Background(self._fail)

    async def connect(self) -> None:
        """See `Adapter`."""
        try:
            security = Security(**(self._security or {}))  # what is missing comes from Dask's configuration
            if self.url.startswith("tls://") and security.get_connection_args("client")["ssl_context"] is None:
                raise Unreachable(NO_CERTIFICATES)
            if self.url.startswith(("tcp://", "tls://")):
                await probe(self.url)
            client = Client(
                self.url,
                asynchronous=True,
                set_as_default=False,
                timeout=CONNECT_TIMEOUT,
                name="taskfc_ext",
                security=security,
            )
            await _await_answer(client)
        except (OSError, ValueError, TypeError, RuntimeError, TimeoutError) as error:
            raise Unreachable(_line(_cause_of(error))) from error
        self._client = client
        client.subscribe_topic(topic_of(self._run), self._on_event)
        self._background.start(self._watch(client))
        self._events.put_nowait(Connected())

    async def ask(self, token: str) -> None:
        """See `Adapter`."""
        if self._client is None:
            return
        missing = self._resources and not await self._has_room(self._client)
        if missing:
            wanted = ", ".join(f"{name}={amount:g}" for name, amount in self._resources.items())
            self._events.put_nowait(Failed(token, f"no worker of the cluster has {wanted}"))
            return
        future = self._client.submit(
            eval, HOLD.format(token, self._run), key=KEY + token, pure=False, resources=self._resources or None
        )
        self._requests[token] = _Request(future)
        self._background.start(self._follow(token, future))

    async def _has_room(self, client: Any) -> bool:
        """Return whether some worker has all the wanted resources, in use or not."""
        workers = await _list_workers(client)
        return any(
            all(worker.get("resources", {}).get(name, 0) >= amount for name, amount in self._resources.items())
            for worker in workers.values()
        )

    async def _follow(self, token: str, future: Any) -> None:
        """Report a Dask task that has ended, unless it was withdrawn."""
        reason = "its Dask task has ended"
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                raise
            reason = "its Dask task was cancelled"
        except Exception as error:  # noqa: BLE001  whatever the task raised
            reason = _explain(error)
        request = self._requests.get(token)
        if request is not None and request.future is future:
            self._forget(token)
            self._events.put_nowait(Failed(token, reason))

    async def withdraw(self, token: str) -> None:
        """See `Adapter`."""
        request = self._forget(token)
        if request is not None and self._client is not None:
            with suppress(*_BROKEN):
                await self._client.cancel([request.future], force=True)

    def _forget(self, token: str) -> _Request | None:
        """Forget a request; its slot is not kept alive any more."""
        request = self._requests.pop(token, None)
        if request is not None:
            self._worker_of.pop(request.slot, None)
        return request

    def _kept_alive(self, worker: _DaskWorker) -> list[str]:
        """Return the slots of a worker that the bridge wants: the newest incarnation of each request."""
        newest = [request.slot for request in self._requests.values()]
        return [slot for slot in newest if self._worker_of.get(slot) is worker]

    async def put(self, slot: str, frame: bytes) -> None:
        """See `Adapter`."""
        number = next(self._numbers)
        clock = asyncio.get_running_loop().time
        until = clock() + GONE_AFTER
        while (worker := self._worker_of.get(slot)) is not None:
            try:
                if await worker.call("taskfc_put", slot=slot, number=number, frame=wrap_large(frame)):
                    return
                break
            except _BROKEN as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise
                if clock() > until:  # a slot that misses a frame is of no use
                    self._worker_of.pop(slot, None)
                    self._events.put_nowait(Gone((slot,), _line(error)))
            await asyncio.sleep(0.1)
        raise SlotGone(slot)

    async def close(self) -> None:
        """See `Adapter`."""
        client, self._client = self._client, None
        self._background.cancel()
        self._requests.clear()
        self._workers.clear()
        self._worker_of.clear()
        if client is not None:
            with suppress(*_BROKEN, ValueError):
                client.unsubscribe_topic(topic_of(self._run))  # else the scheduler logs an error
            with suppress(*_BROKEN):
                await client.close(timeout=2)

    # events

    def _fail(self, error: BaseException) -> None:
        logger.error("a part of the Dask adapter failed", exc_info=error)
        self._events.put_nowait(Lost(f"{type(error).__name__}: {error}"))

    def _on_event(self, event: tuple[float, dict[str, str]]) -> None:
        """Handle the event of a new slot: from now on, frames are fetched from its worker."""
        address = event[1]["address"]
        if self._client is None:
            return
        if (worker := self._workers.get(address)) is not None:
            worker.has_news = True
        else:
            worker = self._workers[address] = _DaskWorker(self._client, address)
            self._background.start(self._fetch(worker))

    async def _fetch(self, worker: _DaskWorker) -> None:
        """Fetch frames from a Dask worker until it is gone, or has no slot of ours any more."""
        got = 0
        failing_since: float | None = None
        clock = asyncio.get_running_loop().time
        while self._workers.get(worker.address) is worker:
            try:
                worker.has_news = False
                answer = await worker.call("taskfc_take", run=self._run, got=got, slots=self._kept_alive(worker))
                failing_since = None
            except _BROKEN as error:
                if isinstance(error, asyncio.CancelledError) and self._client is None:
                    raise
                failing_since = failing_since or clock()
                if clock() - failing_since > GONE_AFTER or not await self._is_listed(worker.address):
                    self._leave(worker, _line(error))
                    return
                await asyncio.sleep(0.1)
                continue
            if answer is None:
                if not worker.has_news:
                    self._leave(worker, "its Dask worker does not have it any more")
                    return
                continue
            got, letters = answer
            for slot, frame in letters:
                self._place(slot, worker)
                self._events.put_nowait(Frame(slot, frame))

    def _leave(self, worker: _DaskWorker, reason: str) -> None:
        """Forget a worker, and report the slots that it should have as lost."""
        del self._workers[worker.address]
        lost = [slot for slot, home in self._worker_of.items() if home is worker]
        for slot in lost:
            del self._worker_of[slot]
        if lost:
            self._events.put_nowait(Gone(tuple(lost), reason))

    def _place(self, slot: str, worker: _DaskWorker) -> None:
        """Note the place of a slot. Of the incarnations of a token, the newest is kept alive."""
        if slot in self._worker_of:
            return
        self._worker_of[slot] = worker
        request = self._requests.get(token_of(slot))
        if request is not None:
            request.slot = slot

    async def _is_listed(self, address: str) -> bool:
        if self._client is None:
            return False
        try:
            return address in await asyncio.wait_for(_list_workers(self._client), CONNECT_TIMEOUT)
        except _BROKEN:
            return True  # the scheduler does not know either; `_watch` says when it is lost

    async def _watch(self, client: Any) -> None:
        """Report the loss of the scheduler."""
        while self._client is client:
            await asyncio.sleep(CHECK_EVERY)
            if self._client is client and client.status != "running":
                await self.close()
                self._events.put_nowait(Lost("the connection to the scheduler is broken"))
                return


@dataclass
class _Request:
    """A token that was asked for.

    Attributes:
        future: its Dask task.
        slot: its newest incarnation; "": it has none yet.
    """

    future: Any
    slot: str = ""


class _DaskWorker:
    """A Dask worker with slots of ours.

    Attributes:
        has_news: it has got a slot since frames were asked for.
    """

    def __init__(self, client: Any, address: str) -> None:
        self.address = address
        self.has_news = False
        self._client = client
        self._is_direct: bool | None = None

    async def call(self, op: str, **arguments: Any) -> Any:
        """Call a handler of the worker, directly where that is possible, else through the scheduler.

        Raises:
            OSError, TimeoutError: it does not answer.
        """
        if self._is_direct is None:
            self._is_direct = await self._answers()
        if self._is_direct:
            return await getattr(self._client.rpc(self.address), op)(**arguments)
        return await self._client.scheduler.proxy(msg={"op": op, **arguments}, worker=self.address)

    async def _answers(self) -> bool:
        try:
            await asyncio.wait_for(self._client.rpc(self.address).identity(), DIRECT_TIMEOUT)
        except _BROKEN:
            return False
        return True


async def _await_answer(client: Any) -> None:
    """Wait until a new client has reached its scheduler.

    Raises:
        Unreachable: no scheduler answers.
        OSError: Dask's own reason.
    """
    try:
        await asyncio.wait_for(client, ANSWER_TIMEOUT)
    except TimeoutError:
        with suppress(*_BROKEN):
            await client.close(timeout=1)
        raise Unreachable("no Dask scheduler answers at that port") from None


async def _list_workers(client: Any) -> dict[str, dict[str, Any]]:
    """Return all workers of the cluster by their addresses, as the scheduler describes them."""
    found = await client.scheduler.identity(n_workers=-1)
    workers: dict[str, dict[str, Any]] = found["workers"]
    return workers


def _cause_of(error: BaseException) -> BaseException:
    """Return the first cause of an error that says anything."""
    while (cause := error.__cause__) is not None and str(cause):
        error = cause
    return error


def _is_cancelled() -> bool:
    """Return whether the present task is cancelled; Dask raises `CancelledError` for broken connections too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _line(error: BaseException) -> str:
    """Return an error in one line."""
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


def _explain(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "taskfc_ext":
        return f"taskfc_ext is not installed where its workers run: `pip install taskfc-ext=={__version__}` there"
    return f"{type(error).__name__}: {_line(error)}"
