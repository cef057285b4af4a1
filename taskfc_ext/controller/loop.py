"""The controller's loop: receive, decide, commit, send. One thread, no asyncio."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from functools import partial

import zmq

from taskfc_ext.controller.answers import Answers
from taskfc_ext.controller.endpoint import FCTaskControllerFromTaskController
from taskfc_ext.controller.failed_requests import FailedRequests
from taskfc_ext.controller.listening import Listening
from taskfc_ext.controller.outbox import Outbox
from taskfc_ext.controller.rare_log import RareLog
from taskfc_ext.controller.reception import PROBE_AFTER, Reception
from taskfc_ext.controller.retention import Retention
from taskfc_ext.controller.room import Room
from taskfc_ext.controller.staging import Staging
from taskfc_ext.controller.surroundings import REAL, Surroundings
from taskfc_ext.controller.worker_connections import WorkerConnections
from taskfc_ext.core.effects import (
    ClientSend,
    Effects,
    Recall,
    Send,
    SendCode,
    SendRun,
    SupervisorSend,
    ToComplete,
    WorkerSend,
)
from taskfc_ext.core.events import Audit, FromParent, FromWorker, Now, PeerLost, RoomChanged, Tick
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.transport import Router
from taskfc_ext.errors import ProtocolError, StorageFull
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Refused, Welcome
from taskfc_ext.protocol.ids import PROTOCOL, Session, WorkerId
from taskfc_ext.protocol.infos import NoRoom
from taskfc_ext.protocol.records import Record
from taskfc_ext.protocol.supervisor_messages import FromSupervisor, RequestFailed, Shutdown, WorkerDown
from taskfc_ext.protocol.worker_messages import Committed, Ready, WorkerMessage
from taskfc_ext.version import __version__

logger = logging.getLogger(__name__)

FRAMES_A_TURN = 256
"""Frames received from the workers in one turn, so that a flood of theirs cannot starve the clients."""

HOUSEKEEPING = 5.0
"""Seconds between checks of facts that no message reports, such as lagging clients."""

CHECK_SOCKETS = 1.0
"""Seconds between checks of the socket files: while one is missing, nothing can connect."""

REPAIRS_LOGGED = 20
"""Repairs of one audit that are logged one by one."""

_DATAGRAM = 2**20


class SupervisorLost(Exception):
    """The supervisor is gone, and no process of the farm may outlive it."""


class Controller:
    """The loop. In each turn it receives, asks the scheduler, commits and sends.

    Args:
        name: the farm's name.
        scheduler: makes the decisions; it has replayed the store.
        store: receives the records.
        clients: the clients' socket.
        workers: the workers' socket.
        supervisor: this process's end of the socket pair.
        surroundings: its clock, its wait for messages, and the limits of the machine.
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        store: Store,
        clients: Router,
        workers: Router,
        supervisor: socket.socket,
        surroundings: Surroundings = REAL,
    ) -> None:
        self._name = name
        self._now, self._make_poller, stopwatch, refuse_growth = surroundings
        self._scheduler = scheduler
        self._room = Room(store, self._tell_of_room, lambda: scheduler.farm.stop_asked)
        self._staging = Staging(
            store,
            note=lambda error: self._room.note(error, self._now().mono),
            has_room=lambda n_bytes: self._room.has_room(n_bytes, self._now().mono),
        )
        self._store = store
        knows, end_of = scheduler.farm.knows, scheduler.farm.end_of
        store.use_checks(knows, lambda taskid: knows(taskid) and end_of(taskid) is not None)
        self._answers = Answers(store, scheduler.farm.knows)
        self._clients = clients
        self._workers = workers
        self._supervisor = supervisor
        self._failed = FailedRequests()
        endpoint = FCTaskControllerFromTaskController(
            scheduler,
            self._failed,
            stage=self._staging.arguments,
            read=self._staging.content,
            stage_code=self._staging.code,
            refuse_growth=partial(refuse_growth, scheduler.farm),
        )
        self._reception = Reception(clients, endpoint, self._failed, stopwatch, self._room.expect)
        self._to_clients = self._reception.outbox
        self._junk_log = RareLog(logger)
        self._lies_log = RareLog(logger)
        self._to_workers = Outbox(workers)
        self._retention = Retention(store, scheduler.farm)
        self._reception.probe_after = min(PROBE_AFTER, scheduler.farm.limits.idle or PROBE_AFTER)
        self._client_identity: dict[Session, bytes] = {}
        self._worker_connections = WorkerConnections()
        self._records: list[Record] = []
        self._effects: list[Effects] = []
        self._wake_at: float | None = None
        self._next_housekeeping = 0.0
        self._next_socket_check = 0.0
        self._ended = False
        self._signals_fd = -1
        self._receive_signals: Callable[[], None] = lambda: None
        self._note_shutdown: Callable[[bool], None] = lambda is_idle: None
        self._chores: list[Callable[[], None]] = []
        self._late_news: list[FromSupervisor] = []
        self._late_frames: list[tuple[bytes, bytes]] = []
        self._poller = self._make_poller()
        self._listening = Listening(self._poller)
        self._poller.register(supervisor.fileno(), zmq.POLLIN)

    def watch(self, fd: int, receive: Callable[[], None]) -> None:
        """Call `receive` when `fd`, on which signals arrive, becomes readable."""
        self._signals_fd = fd
        self._receive_signals = receive
        self._poller.register(fd, zmq.POLLIN)

    def before_shutdown(self, note: Callable[[bool], None]) -> None:
        """Call `note` when the farm is stopped, before the stop is announced; its argument: it stops as it is idle."""
        self._note_shutdown = note

    def ask_to_stop(self) -> None:
        """Stop the farm, as a `Stop` request does; the effects are committed and sent at the end of the turn."""
        self._take(self._scheduler.stop(self._now()))

    def add_chore(self, chore: Callable[[], None]) -> None:
        """Call `chore` with the housekeeping, every few seconds; it must be quick."""
        self._chores.append(chore)

    def begin(self) -> None:
        """Record that this controller serves the store from now on.

        Raises:
            StorageFull: there is no room for that.
        """
        self._take(self._scheduler.begin(self._now()))
        self._finish_turn()
        self._room.refuse_to_begin()

    def await_supervisor(self) -> None:
        """Wait for the supervisor's first message, which lists the workers.

        Raises:
            StorageFull: there is no room for what it says.
            SupervisorLost: the supervisor is gone.
        """
        poller = self._make_poller()
        poller.register(self._supervisor.fileno(), zmq.POLLIN)
        poller.poll()
        self._receive_from_supervisor(begins=True)
        self._finish_turn()
        self._room.refuse_to_begin()

    def run(self) -> None:
        """Run turns until the farm is stopped.

        Raises:
            SupervisorLost: the supervisor is gone.
        """
        with self._failed.reporting(lambda failure: self._supervisor.send(codec.encode([failure]))):
            while not self._ended:
                self.turn()
        _log_repairs(self._scheduler.handle(Audit(), self._now()))  # most farms of tests live for one audit only

    def turn(self) -> None:
        """Wait for messages or a deadline, and handle all that have come.

        The clock is read after the messages are received, so that no event is dated before its cause.
        """
        before = self._now().mono
        self._listening.set(self._clients.socket, before)
        self._listening.set(self._workers.socket, before, listens=not (self._room.is_deaf or self._late_frames))
        ready = dict(self._poller.poll(self._timeout_ms()))
        self._room.look(self._now().mono)
        if self._signals_fd in ready:
            self._receive_signals()
        if self._supervisor.fileno() in ready or self._late_news:
            self._receive_from_supervisor()
        if self._workers.socket in ready or self._late_frames:
            self._receive_from_workers()
        if self._clients.socket in ready:
            self._reception.receive(self._now())
            if self._reception.hears_junk:
                self._listening.rest(self._clients.socket, self._now().mono)
        self._handle_clients()
        now = self._now()
        tick_at = self._room.wake_at if self._room.is_stuck else self._wake_at
        if tick_at is not None and now.mono >= tick_at:
            self._take(self._scheduler.handle(Tick(), now))
        if now.mono >= self._next_socket_check:
            self._check_sockets(now)
        if now.mono >= self._next_housekeeping:
            self._housekeeping(now)
        if not self._room.is_stuck and self._retention.is_due(now):
            self._take(self._scheduler.handle(self._retention.read(now), now))
        self._finish_turn()

    # receiving

    def _receive_from_supervisor(self, *, begins: bool = False) -> None:
        messages, self._late_news = self._late_news, []
        while True:
            try:
                datagram = self._supervisor.recv(_DATAGRAM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionResetError:
                datagram = b""
            if not datagram:
                raise SupervisorLost
            messages += codec.from_supervisor.decode(datagram)
        if self._room.is_deaf and not begins:
            self._late_news = messages
            return
        deaths = [message for message in messages if isinstance(message, WorkerDown)]
        for message in messages:
            if isinstance(message, RequestFailed):
                self._failed.note(message)
            elif not isinstance(message, WorkerDown):
                self._take(self._scheduler.handle(FromParent(message), self._now()))
        if deaths:
            self._receive_from_workers()  # a result that a worker sent before its death counts
            if self._late_frames and not begins:
                self._late_news = [*deaths]
                return
        for death in deaths:
            identity = self._worker_connections.end(WorkerId(death.worker))
            if identity is not None:
                self._to_workers.gone.add(identity)
            self._take(self._scheduler.handle(FromParent(death), self._now()))

    def _receive_from_workers(self) -> None:
        if self._room.is_deaf:
            return
        late, self._late_frames = self._late_frames, []
        frames = late or self._workers.receive(FRAMES_A_TURN, is_ignored=self._worker_connections.is_ignored)
        now = self._now()
        if not self._room.takes(sum(len(frame) for _, frame in frames), now.mono):
            self._late_frames = frames
            return
        for at, (identity, frame) in enumerate(frames):
            if self._worker_connections.is_ignored(identity):
                self._listening.rest(self._workers.socket, now.mono)
                continue
            try:
                messages = [self._staging.values(frame, message) for message in codec.from_worker.decode(frame)]
            except ProtocolError as error:
                self._worker_connections.note_junk(identity)
                self._listening.rest(self._workers.socket, now.mono)
                self._junk_log.warning(
                    now.mono, "a worker's frame is not understood: peer=%s %s", identity.hex(), error
                )
                continue
            except StorageFull:
                self._late_frames = frames[at:]
                return
            for message in messages:
                if isinstance(message, Ready):
                    self._connect_worker(identity, message)
                worker = self._worker_connections.worker_of(identity)
                if worker is not None:
                    self._handle_worker(worker, message, now)

    def _handle_worker(self, worker: WorkerId, message: WorkerMessage, now: Now) -> None:
        try:
            self._take(self._scheduler.handle(FromWorker(worker, message), now))
        except ProtocolError as error:
            self._lies_log.warning(now.mono, "a worker's report contradicts itself: worker=%d %s", worker, error)

    def _connect_worker(self, identity: bytes, message: Ready) -> None:
        if message.protocol != PROTOCOL:
            logger.error("worker=%d speaks protocol %d, not %d", message.worker, message.protocol, PROTOCOL)
            return
        worker = WorkerId(message.worker)
        if worker not in self._scheduler.farm.workers:  # its start was reported before, and may be unread
            self._receive_from_supervisor()
        if worker not in self._scheduler.farm.workers or self._worker_connections.is_late(worker, message.connection):
            return  # it has ended, or this is what is left of its former connection
        if self._worker_connections.identity_of(worker) is not None:
            self._finish_turn()  # the effects so far are for the old connection, which the worker has closed
        self._worker_connections.connect(identity, worker, message.connection)

    def _handle_clients(self) -> None:
        for connection, handled in self._reception.handle(self._now()):
            if handled.opened is not None:
                self._welcome_client(handled.opened, connection.identity)
            if handled.effects is not None:
                self._take(handled.effects)
        self._failed.end()

    def _welcome_client(self, session: Session, identity: bytes) -> None:
        old = self._client_identity.get(session)
        if old is not None and old != identity:
            self._reception.replace(old)
        self._client_identity[session] = identity
        farm = self._scheduler.farm
        welcome = Welcome(
            protocol=PROTOCOL,
            version=__version__,
            name=self._name,
            incarnation=farm.incarnation,
            pid=os.getpid(),
            supervisor_pid=farm.supervisor_pid,
            client_name=session,
            n_workers=farm.n_workers,
            store_began=farm.began,
            no_room=self._room.text,
        )
        self._to_clients.add(identity, welcome)

    # finishing a turn

    def _take(self, effects: Effects) -> None:
        self._records += effects.records
        self._effects.append(effects)
        _log_repairs(effects)

    def _finish_turn(self) -> None:
        """Commit the records of this turn, and only then send its messages."""
        effects, self._effects = self._effects, []
        records, self._records = self._records, []
        for effect in self._room.commit(records, effects, self._now().mono):
            self._wake_at = effect.wake_at
            self._ended = effect.exit
            for send in effect.sends:
                self._send(send)
        self._to_workers.flush()
        self._reception.flush(self._now())
        self._drop_workers()
        if self._to_clients.gone:
            self._drop_clients(self._now())

    def _send(self, send: Send) -> None:
        match send:
            case ClientSend(session, message):
                client = self._client_identity.get(session)
                if client is None:
                    return  # it asks again after it has reconnected
                if isinstance(message, ToComplete):
                    self._reception.answer(client, session, message, self._answers.complete_for_client, self._now())
                else:
                    self._to_clients.add(client, message)
            case WorkerSend(worker, order):
                identity = self._worker_connections.identity_of(worker)
                if isinstance(order, Committed) and identity is not None:
                    self._to_workers.add_deferred(identity, order)
                elif identity is not None:
                    whole = self._answers.complete_for_worker(order) if isinstance(order, SendCode | SendRun) else order
                    self._to_workers.add(identity, whole)
            case SupervisorSend(message):
                if isinstance(message, Shutdown):
                    self._note_shutdown(message.idle)
                self._supervisor.send(codec.encode([message]))
            case Recall():
                # the effects are committed in the next turn, which follows at once
                self._failed.run(send.session, send.request.seq, partial(self._recall, send))

    def _recall(self, asked: Recall) -> None:
        recalled = self._staging.again(asked, self._answers.recall)
        if isinstance(recalled, Refused):
            self._send(ClientSend(asked.session, recalled))
        else:
            self._take(self._scheduler.handle(recalled, self._now()))

    def _tell_of_room(self, no_room: NoRoom | None) -> None:
        self._take(self._scheduler.handle(RoomChanged(no_room), self._now()))

    def _drop_workers(self) -> None:
        """Forget lost connections of workers; if a worker died, the supervisor reports it."""
        for identity in self._to_workers.gone:
            self._to_workers.forget(identity)
            self._worker_connections.forget(identity)
        self._to_workers.gone.clear()

    def _drop_clients(self, now: Now) -> None:
        """Forget lost connections of clients. The effects need no commit, and are sent in the next turn."""
        for identity in self._to_clients.gone:
            connection = self._reception.forget(identity)
            session = connection.session if connection is not None else None
            if session is not None and self._client_identity.get(session) == identity:
                del self._client_identity[session]
                self._take(self._scheduler.handle(PeerLost(session), now))
        self._to_clients.gone.clear()

    def _timeout_ms(self) -> int:
        """Return the milliseconds until the next deadline, rounded up so as not to wake too early."""
        if self._effects:
            return 0
        now = self._now().mono
        turn_at = self._reception.turns.next_at(now)
        times = [self._next_housekeeping, self._next_socket_check, self._room.wake_at, self._listening.next_at, turn_at]
        if not self._room.is_stuck:
            times += [self._wake_at, self._retention.next_at]
        until = min(time for time in times if time is not None)
        return 0 if until <= now else int((until - now) * 1000) + 1

    def _check_sockets(self, now: Now) -> None:
        self._next_socket_check = now.mono + CHECK_SOCKETS
        for router in (self._clients, self._workers):
            if router.rebind_if_vanished():
                logger.warning("the socket %s was missing; bound it again", router.path)

    def _housekeeping(self, now: Now) -> None:
        self._next_housekeeping = now.mono + HOUSEKEEPING
        for chore in self._chores:
            chore()
        self._to_workers.send_deferred()
        self._to_clients.resync_lagging()
        self._reception.probe_silent(now)
        self._take(self._scheduler.handle(Tick(), now))
        self._take(self._scheduler.handle(Audit(), now))


def _log_repairs(effects: Effects) -> None:
    for repair in effects.repairs[:REPAIRS_LOGGED]:
        logger.error("repaired, please report it: %s", repair)
    if len(effects.repairs) > REPAIRS_LOGGED:
        logger.error("repaired, please report it: %d more", len(effects.repairs) - REPAIRS_LOGGED)
