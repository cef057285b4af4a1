"""The bridge: a pipe of frames between the controller and the workers in an engine's slots.

It decodes no frame and keeps no task. Each worker has a connection of its own to the controller here, as it has at
home. `Slots` decides; this module does what it decides.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import socket
import time
from collections.abc import Iterable
from typing import Literal, assert_never

import msgspec

from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.worker_ids import reserve_ids
from taskfc_ext.engines.adapter import Adapter, Connected, Event, Events, Failed, Frame, Gone, Lost, Unreachable
from taskfc_ext.engines.background import Background
from taskfc_ext.engines.files import Files
from taskfc_ext.engines.pipes import ControllerConnection, HostPipe, SupervisorEnd
from taskfc_ext.engines.slots import Ask, Close, Effect, Forward, Leave, Open, Put, Report, Slots, Withdraw
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.bridge_messages import Announced, Reconnect, ToBridge
from taskfc_ext.protocol.options import EngineOptions, FarmOptions
from taskfc_ext.protocol.slot_messages import (
    Begin,
    FilePart,
    FileWanted,
    FromHost,
    FromHosted,
    SlotDown,
    SlotHello,
    SlotUp,
    token_of,
)
from taskfc_ext.protocol.supervisor_messages import Demand, EngineState, LimitMemory, SetWorkers, Shutdown, StopAttempt
from taskfc_ext.version import __version__

logger = logging.getLogger(__name__)

FIRST_TRY_AFTER, TRY_EVERY = 0.5, 5.0
"""Seconds until an engine is tried again: at first, and after each try twice as many, up to the latter."""

CHECK_EVERY = 0.5
"""Seconds between two checks of what has no event of its own: full connections, removed sockets, back-offs."""

END_WITHIN = 10.0
"""Seconds that the slots have to end when the farm stops; the engine ends the rest when it loses the bridge."""


class Bridge:
    """The bridge of one farm.

    Args:
        options: the farm's.
        engine: the engine in them.
        supervisor: an end of the socket pair.
        run: names this bridge, see `name_bridge`.
        adapter: the engine.
        events: of the adapter.

    Attributes:
        has_failed: it ends because of an error in it.
    """

    def __init__(
        self,
        paths: FarmPaths,
        options: FarmOptions,
        engine: EngineOptions,
        supervisor: socket.socket,
        *,
        run: str,
        adapter: Adapter,
        events: Events,
    ) -> None:
        self._paths = paths
        self._engine = engine
        self._run = run
        self._adapter = adapter
        self._events = events
        self._options = msgspec.json.encode(options)
        self._slots = Slots(options.n_workers, self._begin, why_unfit)
        self._next_worker = 0
        self._files = Files(paths)
        self._connections: dict[int, ControllerConnection] = {}
        self._hosts: dict[str, HostPipe] = {}
        self._background = Background(self._fail)
        self._is_connected = False
        self._is_stopping = False
        self.has_failed = False
        self._ended = asyncio.Event()
        self._state: EngineState | None = None
        self._supervisor = SupervisorEnd(supervisor, self._on_order, self._ended.set)

    async def run(self) -> None:
        """Serve until the farm stops or the supervisor is gone."""
        self._set_state("connecting", "")
        self._background.start(self._connect("connecting"))
        self._background.start(self._handle_events())
        self._background.start(self._check_regularly())
        await self._ended.wait()
        self._background.cancel()
        for host in self._hosts.values():
            host.cancel()
        for connection in self._connections.values():
            connection.close()
        self._files.close()
        await self._adapter.close()

    def _begin(self, worker: int) -> Begin:
        paths = self._paths
        return Begin(worker=worker, farm=paths.name, tag=paths.tag, options=self._options, engine=self._engine.url)

    # the engine

    async def _connect(self, state: Literal["connecting", "lost"]) -> None:
        """Try to reach the engine until it answers."""
        pause = FIRST_TRY_AFTER
        while True:
            try:
                await self._adapter.connect()
                return
            except Unreachable as error:
                self._set_state(state, str(error))
            await asyncio.sleep(pause)
            pause = min(TRY_EVERY, 2 * pause)

    async def _handle_events(self) -> None:
        while True:
            self._on_event(await self._events.get())

    def _on_event(self, event: Event) -> None:
        match event:
            case Connected():
                self._is_connected = True
                self._set_state("connected", "")
            case Lost():
                logger.warning("the engine is lost: %s", event.reason)
                self._is_connected = False
                self._do(self._slots.on_engine_lost(event.reason))
                self._set_state("lost", event.reason)
                self._background.start(self._connect("lost"))
            case Gone():
                for slot in event.slots:
                    self._do(self._slots.on_place_gone(slot, event.reason))
            case Failed():
                self._do(self._slots.on_token_failed(event.token, event.reason, time.monotonic()))
            case Frame():
                self._on_frame(event)
                return
            case _:
                assert_never(event)
        self._fill()

    def _on_frame(self, event: Frame) -> None:
        try:
            messages = codec.from_host.decode(event.frame)
        except ProtocolError as error:
            logger.warning("a host's frame is not understood: slot=%s %s", event.slot, error)
            return
        for message in messages:
            self._on_message(event.slot, message)

    def _on_message(self, slot: str, message: FromHost) -> None:
        match message:
            case FromHosted():
                self._do(self._slots.on_frames(slot, message))
            case FilePart() | FileWanted() if slot not in self._slots:
                pass  # of a slot that was given up
            case FilePart():
                self._files.receive(message)
            case FileWanted():
                self._host(slot).send_file(self._files.parts(message.file))
            case SlotHello():
                self._do(self._slots.on_hello(slot, message, self._new_worker, time.monotonic()))
                self._fill()
            case SlotUp():
                self._do(self._slots.on_up(slot, message))
                self._fill()
            case SlotDown():
                self._do(self._slots.on_down(slot, message, time.monotonic()))
                self._fill()
            case _:
                assert_never(message)

    def _new_worker(self) -> int:
        worker = reserve_ids(self._paths, 1, log=logger.warning, at_least=self._next_worker)
        self._next_worker = worker + 1
        return worker

    # the supervisor

    def _on_order(self, message: ToBridge) -> None:
        match message:
            case Announced():
                self._do(self._slots.on_announced(message.workers))
            case Reconnect():
                self._do(self._slots.on_new_controller())
            case SetWorkers():
                self._do(self._slots.resize(message))
            case Demand():
                self._slots.demand(message.n)
            case StopAttempt():
                self._do(self._slots.stop_attempt(message))
            case LimitMemory():
                self._do(self._slots.limit_memory(message))
            case Shutdown():
                self._is_stopping = True
                self._do(self._slots.close())
                asyncio.get_running_loop().call_later(END_WITHIN, self._ended.set)
            case _:
                assert_never(message)
        self._fill()

    def _set_state(self, state: Literal["connecting", "connected", "lost"], text: str) -> None:
        n_places = len(self._slots.places)
        new = EngineState(kind=self._engine.kind, url=self._engine.url, state=state, text=text, n_places=n_places)
        if new != self._state:
            self._state = new
            self._supervisor.send(new)

    # doing

    def _fill(self) -> None:
        """Ask for missing slots, and report what there is."""
        if self._is_connected:
            self._do(self._slots.fill(time.monotonic(), lambda n: f"{self._run}n{n:x}"))
            self._set_state("connected", self._slots.problem)
        if self._is_stopping and self._slots.is_empty:
            self._ended.set()

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Forward():
                    self._connections[effect.worker].send(effect.frames)
                case Put():
                    self._host(effect.slot).send(effect.message)
                case Leave():
                    if (host := self._hosts.pop(effect.slot, None)) is not None:
                        host.cancel()
                case Open():
                    self._open(effect.worker)
                case Close():
                    self._connections.pop(effect.worker).close()
                    self._files.forget(effect.worker)
                case Report():
                    self._supervisor.send(effect.message)
                case Ask():
                    self._background.start(self._adapter.ask(effect.token))
                case Withdraw():
                    self._forget_hosts(effect.token)
                    self._background.start(self._adapter.withdraw(effect.token))
                case _:
                    assert_never(effect)

    def _open(self, worker: int) -> None:
        def receive(frames: tuple[bytes, ...]) -> None:
            self._do(self._slots.on_frames_of_controller(worker, frames))

        old = self._connections.pop(worker, None)
        if old is not None:
            old.close()
        self._connections[worker] = ControllerConnection(self._paths.workers, receive)

    def _host(self, slot: str) -> HostPipe:
        if slot not in self._hosts:
            self._hosts[slot] = HostPipe(self._adapter, slot)
        return self._hosts[slot]

    def _forget_hosts(self, token: str) -> None:
        for slot in [slot for slot in self._hosts if token_of(slot) == token]:
            self._hosts.pop(slot).close()

    def _fail(self, error: BaseException) -> None:
        """End the bridge, which is then started again."""
        logger.error("the bridge failed", exc_info=error)
        self.has_failed = True
        self._ended.set()

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY)
            for worker, connection in list(self._connections.items()):
                if connection.is_astray:
                    self._do(self._slots.reopen(worker))
                else:
                    connection.flush()
            self._fill()


def why_unfit(hello: SlotHello) -> str:
    """Return why a place cannot run workers of this farm; "" if it can."""
    ours, theirs = platform.python_version(), hello.python
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        return f"it runs Python {theirs}, this farm {ours}: code does not travel between them"
    if hello.version != __version__:
        return f"it has taskfc_ext {hello.version}, this farm {__version__}: install the same there"
    return ""
