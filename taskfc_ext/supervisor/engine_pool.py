"""The workers of a farm in the slots of an engine: one bridge process stands for all of them."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

import msgspec

from taskfc_ext.drivers.backoff import StartBackoff
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.bridge_messages import Announced, FromBridge, Reconnect, ToBridge
from taskfc_ext.protocol.options import EngineOptions, FarmOptions
from taskfc_ext.protocol.supervisor_messages import (
    Demand,
    EngineState,
    LimitMemory,
    Revoke,
    Revoked,
    SetWorkers,
    Shutdown,
    StopAttempt,
    WorkerDown,
    WorkerUp,
)
from taskfc_ext.supervisor.log import log
from taskfc_ext.supervisor.pool import Commands, News
from taskfc_ext.supervisor.socket_process import SocketProcess
from taskfc_ext.supervisor.stored_options import restore_options, store_n_workers

GOOD_AFTER = 10.0
"""Seconds of life after which a bridge has not failed to start."""

STOP_TIMEOUT = 14.0
"""Seconds that a bridge has to end its slots; less than the controller has to record the stop."""


class EnginePool:
    """The workers of a farm on an engine, see `Pool`.

    Args:
        engine: the engine in `options`.
        secrets: what the bridge needs to be let in, as JSON; never stored.
        dead: ends of earlier workers that no controller has recorded yet.
    """

    def __init__(
        self,
        paths: FarmPaths,
        options: FarmOptions,
        engine: EngineOptions,
        commands: Commands,
        *,
        secrets: bytes = b"",
        dead: Iterable[WorkerDown] = (),
    ) -> None:
        self._paths = paths
        self._options = options
        self._commands = commands
        self._secrets = secrets
        self._bridge: SocketProcess[FromBridge] | None = None
        self._started_at = 0.0
        self._backoff = StartBackoff()
        self._is_closed = False
        self._ups: dict[int, WorkerUp] = {}
        self._unconfirmed: set[int] = set()
        self._dead = {down.worker: down for down in dead}
        self._last_size = SetWorkers(options.n_workers)
        self._last_demand: Demand | None = None
        self.engine: EngineState | None = EngineState(kind=engine.kind, url=engine.url, state="connecting")

    @property
    def n(self) -> int:
        """See `Pool`."""
        return self._options.n_workers

    @property
    def ups(self) -> Sequence[WorkerUp]:
        """See `Pool`."""
        return list(self._ups.values())

    @property
    def dead(self) -> Sequence[WorkerDown]:
        """See `Pool`."""
        return list(self._dead.values())

    @property
    def pids(self) -> Iterable[int]:
        """See `Pool`."""
        return [] if self._bridge is None else [self._bridge.pid]

    @property
    def is_over(self) -> bool:
        """See `Pool`."""
        return self._bridge is None and self._is_closed

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """See `Pool`."""
        return [] if self._bridge is None or self._bridge.hung_up else [self._bridge.socket]

    def fill(self, now: float) -> list[WorkerUp]:
        """Start the bridge if it does not run. Its workers are reported by `reap`."""
        if self._bridge is None and not self._is_closed and now >= self._backoff.not_before:
            try:
                self._start(now)
            except OSError as error:
                delay = self._backoff.note_refused_start(now)
                log(f"the bridge could not be started: {error}; next try in {delay:g} s")
        return []

    def _start(self, now: float) -> None:
        command = self._commands("engines", self._paths.name)
        self._bridge = SocketProcess(command, self._paths.bridge_log, codec.from_bridge, given=self._secrets)
        self._started_at = now
        self._send(self._last_size)
        if self._last_demand is not None:
            self._send(self._last_demand)

    def _send(self, message: ToBridge) -> None:
        if self._bridge is not None:
            self._bridge.send([message])

    def reap(self, now: float) -> list[News]:
        """See `Pool`."""
        bridge = self._bridge
        if bridge is None:
            return []
        ended = bridge.has_ended()  # checked before the last messages are read: none come after its end
        news: list[News] = []
        try:
            for message in bridge.receive():
                self._note(message)
                news.append(message)
        except ProtocolError as error:
            log(f"killing the bridge pid={bridge.pid}, which sent a damaged message: {error}")
            bridge.kill()
        bridge.flush()
        return [*news, *self._on_end(bridge, now)] if ended else news

    def _note(self, message: FromBridge) -> None:
        match message:
            case WorkerUp():
                self._ups[message.worker] = message
                self._unconfirmed.add(message.worker)
            case WorkerDown():
                self._remove(message)
            case EngineState():
                self.engine = message

    def _remove(self, down: WorkerDown) -> None:
        self._ups.pop(down.worker, None)
        self._unconfirmed.discard(down.worker)
        self._dead[down.worker] = down
        if not down.planned:
            log(f"worker={down.worker} pid={down.pid} {down.note.splitlines()[0] if down.note else ''}")

    def _on_end(self, bridge: SocketProcess[FromBridge], now: float) -> list[News]:
        """Handle the end of the bridge: the engine ends what it held, so its workers are lost."""
        bridge.reap()
        self._bridge = None
        if not self._is_closed:
            log(f"no bridge: {bridge.describe_end()}")
            self._judge(now)
        downs = [
            WorkerDown(
                worker=up.worker,
                pid=up.pid,
                started=0,
                running=False,
                note=f"{up.place}: the bridge to the engine has ended",
                planned=self._is_closed,
                place_lost=True,
            )
            for up in self.ups
        ]
        for down in downs:
            self._remove(down)
        assert self.engine is not None
        self.engine = msgspec.structs.replace(self.engine, state="connecting", text="", n_places=0)
        return [*downs, self.engine]

    def _judge(self, now: float) -> None:
        if now - self._started_at >= GOOD_AFTER:
            self._backoff.note_good_start()
        else:
            self._backoff.note_failed_start(now)

    def resume_stopped(self) -> None:
        """See `Pool`: the host of a slot has its worker."""

    def confirm(self) -> None:
        """See `Pool`."""
        if self._unconfirmed:
            self._send(Announced(tuple(sorted(self._unconfirmed))))
            self._unconfirmed.clear()

    def forget_noted(self, workers: Iterable[int]) -> None:
        """See `Pool`."""
        for worker in workers:
            self._dead.pop(worker, None)

    def resize(self, message: SetWorkers, now: float) -> None:
        """See `Pool`."""
        self._last_size = SetWorkers(message.n, substitutes=message.substitutes)
        self._send(message)
        if message.n != self.n:
            self._options = store_n_workers(self._paths, self._options, message.n)

    def restore_files(self) -> None:
        """See `Pool`."""
        restore_options(self._paths, self._options)

    def demand(self, n: int) -> None:
        """See `Pool`."""
        self._last_demand = Demand(n)
        self._send(self._last_demand)

    def stop_attempt(self, message: StopAttempt) -> None:
        """See `Pool`."""
        self._send(message)

    def revoke(self, message: Revoke) -> Revoked | None:
        """Return `None`: the pages are on other machines, and the controller does not ask for it."""
        return None

    def ask_to_reconnect(self) -> None:
        """See `Pool`."""
        self._last_size = SetWorkers(self.n)
        self._send(Reconnect())

    def start_no_more(self) -> None:
        """See `Pool`."""
        self._send(Demand(0))

    def end_all(self, now: float) -> None:
        """See `Pool`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._send(Shutdown())
        if self._bridge is not None:
            self._bridge.kill_at = now + STOP_TIMEOUT

    def limit_memory(self, message: LimitMemory) -> None:
        """See `Pool`: the host of its slot watches the worker."""
        self._send(message)

    def act_on_time(self, now: float) -> None:
        """See `Pool`."""
        bridge = self._bridge
        if bridge is not None and bridge.kill_at is not None and bridge.kill_at <= now:
            log(f"the bridge pid={bridge.pid} does not end; killing it")
            bridge.kill()

    def wake_at(self) -> float | None:
        """See `Pool`."""
        if self._bridge is not None:
            return self._bridge.kill_at
        return None if self._is_closed else self._backoff.not_before
