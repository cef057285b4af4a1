"""The real controller with the real scheduler and store, in a thread, with workers in threads.

Tests see the messages that it receives, answer some of them in its place, and let messages get lost.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from taskfc_ext.controller.loop import Controller, SupervisorLost
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.drivers.machine import machine_totals
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.transport import BYTES_AT_ONCE, Router
from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ClientMessage, Confirmed, ControllerMessage, Hello
from taskfc_ext.protocol.limits import MAX_CLIENT_FRAME
from taskfc_ext.protocol.supervisor_messages import (
    Farm,
    FromSupervisor,
    LimitMemory,
    Noted,
    Revoke,
    Serving,
    SetWorkers,
    Shutdown,
    StopAttempt,
    ToSupervisor,
    WorkerUp,
)
from taskfc_ext.testing.worker import WorkerThread

ANSWER_WITHIN = 60.0
"""Seconds: a bound on hangs, far above what anything takes on a loaded machine."""

_ZMQ_CLOSES_WITHIN = 10.0
"""Seconds after which ZMQ has removed the file of a closed socket, in a thread of its own: half a second, and room."""

Rule = Callable[[ClientMessage], Sequence[ControllerMessage] | None]
"""Receives each message first: `None` leaves it to the controller, anything else is sent in place of its answer."""

# macOS has no SEQPACKET
_KIND = socket.SOCK_DGRAM if sys.platform == "darwin" else socket.SOCK_SEQPACKET


STORE = "store"
"""Name of the store's journal in a farm's folder."""


class ControllerThread:
    """A controller in a thread, and the supervisor and the workers beside it.

    Args:
        name: the farm's.
        folder: holds the store, which a controller before it may have left, and the sockets.
        worker_ids: gives each worker an id that no other had.
        rule: receives each message first.
        running: see the property.
        n_workers: how many workers there are while it is running.
        properties: given to `depend` functions.

    Attributes:
        received: the messages of all clients so far.
        rule: may be set at any time.
        socket: where clients connect.
        lost: messages of these types to clients get lost on the way.
        has_stopped: whether the farm was stopped by a client's request.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        worker_ids: Iterator[int],
        *,
        rule: Rule | None = None,
        running: bool = True,
        n_workers: int = 1,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.received: list[ClientMessage] = []
        self.rule = rule
        self.lost: tuple[type[ControllerMessage], ...] = ()
        self.has_stopped = False
        self._changed = threading.Condition()
        self._n_handled = 0
        self._actions: list[tuple[Callable[[], None], threading.Event]] = []
        self._workers_path = folder / "w"
        self._worker_ids = worker_ids
        self._properties = properties or {}
        self._workers: dict[int, WorkerThread] = {}
        self._n_workers = n_workers
        self._is_running = running
        self._is_closed = False
        self._store = Store(folder / STORE)
        self._payloads = LargePayloads(lambda: folder / STORE, "workers")
        self._scheduler = Scheduler(self._store.records(), name=name, totals=machine_totals({}))
        self.socket = folder / "c"
        self._clients = _ClientSocket(self.socket, self)
        self._worker_socket = _Socket(self._workers_path)
        self._supervisor, theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        self._supervisor.setblocking(False)
        self._theirs = theirs
        self._waking, self._wake = os.pipe()
        self._controller = _Controller(name, self._scheduler, self._store, self._clients, self._worker_socket, theirs)
        self._controller.after_turn = self._after_turn
        self._controller.watch(self._waking, self._do_actions)
        self._send_to_controller(Farm(supervisor_pid=os.getpid(), n_workers=n_workers, alive=(), dead=()))
        self._thread = threading.Thread(target=self._serve, name="taskfc-test-controller", daemon=True)
        self._thread.start()
        self._adjust_workers()

    # for tests

    @property
    def running(self) -> bool:
        """Whether tasks are run. Set it to `False` and no task starts any more; an attempt that runs goes on."""
        return self._is_running

    @running.setter
    def running(self, running: bool) -> None:
        self._is_running = running
        self._adjust_workers()
        with self._changed:
            # an idle worker could still be sent a task
            self._changed.wait_for(lambda: running or not self._has_idle_workers(), ANSWER_WITHIN)

    def _has_idle_workers(self) -> bool:
        return not all(each.is_busy for each in self._workers.values())

    @property
    def n_accepted(self) -> int:
        """How many tasks were accepted so far, by this controller and those before it."""
        return self._scheduler.farm.next_id

    def run_tasks(self) -> None:
        """Run the tasks that were held back, and those that are submitted from now on."""
        self.running = True

    def wait_for(self, kind: type[ClientMessage], n: int = 1, timeout: float = ANSWER_WITHIN) -> list[ClientMessage]:
        """Return the messages of `kind` as soon as `n` of them were handled."""

        def select() -> list[ClientMessage]:
            return [message for message in self.received[: self._n_handled] if isinstance(message, kind)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(select()) >= n, timeout):
                raise TimeoutError(f"{len(select())} of {n} {kind.__name__} after {timeout} s: {self.received}")
            return select()

    def send(self, *messages: ControllerMessage) -> None:
        """Send messages to all clients."""
        self._do_in_thread(lambda: self._clients.send_to_all(messages))

    def close(self) -> None:
        """End at once, as a killed process does: nothing is sent any more, and running attempts are not waited for."""
        self._do_in_thread(self._controller.kill)
        self._thread.join()

    # inside

    def _do_in_thread(self, action: Callable[[], None]) -> None:
        """Call `action` in the controller's thread, and return when it is done or the controller has ended."""
        done = threading.Event()
        with self._changed:
            if self._is_closed:
                return
            self._actions.append((action, done))
            os.write(self._wake, b"x")
        if not done.wait(ANSWER_WITHIN):
            raise TimeoutError("the controller's thread does not answer")

    def _do_actions(self) -> None:
        os.read(self._waking, 2**16)
        with self._changed:
            actions = list(self._actions)
        for action, done in actions:
            action()
            done.set()
            self._actions.remove((action, done))

    def _serve(self) -> None:
        try:
            self._controller.begin()
            self._controller.await_supervisor()
            self._controller.run()
            self.has_stopped = True
        except SupervisorLost:
            pass  # killed
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        with self._changed:
            self._is_closed = True
            for _, done in self._actions:
                done.set()
        self._clients.close()
        self._worker_socket.close()
        self._end_workers()
        with self._changed:
            self._workers.clear()
            self._changed.notify_all()
        self._store.close()
        self._supervisor.close()
        self._theirs.close()
        os.close(self._waking)
        os.close(self._wake)

    def _after_turn(self) -> None:
        self._carry_out_orders()
        self._clients.send_answers()
        if not self._controller.has_handled_all:
            return  # a slow turn leaves messages to the next one
        with self._changed:
            self._n_handled = len(self.received)
            self._changed.notify_all()

    # the supervisor

    def _send_to_controller(self, message: FromSupervisor) -> None:
        try:
            self._supervisor.send(codec.encode([message]))
        except OSError:
            pass  # the controller has ended

    def _carry_out_orders(self) -> None:
        """Carry out the orders to the supervisor that the controller has sent."""
        while True:
            try:
                frame = self._supervisor.recv(2**20)
            except BlockingIOError:
                return
            for order in codec.to_supervisor.decode(frame):
                self._carry_out(order)

    def _carry_out(self, order: ToSupervisor) -> None:
        match order:
            case StopAttempt(worker, lease):
                if worker in self._workers:
                    self._workers[worker].stop(lease)
            case SetWorkers(n, retire, substitutes):
                self._n_workers = n + substitutes
                for worker in retire:
                    if worker in self._workers:
                        self._workers[worker].retire()
                self._adjust_workers()
            case Noted(workers):
                with self._changed:
                    for worker in workers:
                        self._workers.pop(worker, None)
            case Shutdown():
                self._is_running = False
                self._end_workers()
            case Revoke() | Serving() | LimitMemory():
                pass  # a long attempt has the ones behind it given back anyway

    def _adjust_workers(self) -> None:
        """Start the workers that are missing, or retire all of them while tasks are held back."""
        with self._changed:
            if self._is_closed:
                return
            if not self._is_running:
                for each in self._workers.values():
                    each.retire()
                return
            n_missing = self._n_workers - sum(not each.is_retiring for each in self._workers.values())
            for _ in range(n_missing):
                worker = next(self._worker_ids)
                self._send_to_controller(WorkerUp(worker, os.getpid()))
                self._workers[worker] = WorkerThread(
                    worker, self._workers_path, self._properties, self._payloads, self._send_to_controller
                )

    def _end_workers(self) -> None:
        for each in list(self._workers.values()):
            each.close()


class _Controller(Controller):
    """A controller that calls `after_turn` after each turn, and can be killed."""

    after_turn: Callable[[], None]

    @property
    def has_handled_all(self) -> bool:
        """Whether no message that was received waits for its turn."""
        return self._reception.turns.is_empty

    def turn(self) -> None:
        super().turn()
        self._to_workers.send_deferred()  # a worker that retires waits for the word that its results are committed
        self.after_turn()

    def kill(self) -> None:
        """End it, when called in a turn."""
        raise SupervisorLost


class _Socket(Router):
    """A socket that closes its folder, too: unlike a controller's process, this one goes on."""

    _left_open: ClassVar[deque[tuple[float, int]]] = deque()  # when it may be closed, and the descriptor of the folder

    def close(self) -> None:
        """Close it, and the folders of sockets that were closed long ago."""
        super().close()
        now = time.monotonic()
        self._left_open.append((now + _ZMQ_CLOSES_WITHIN, self._folder_fd))
        while self._left_open and self._left_open[0][0] < now:
            os.close(self._left_open.popleft()[1])


class _ClientSocket(_Socket):
    """The clients' socket, at which tests watch and interfere."""

    def __init__(self, path: Path, owner: ControllerThread) -> None:
        super().__init__(path, largest=MAX_CLIENT_FRAME)
        self._owner = owner
        self._peers: dict[bytes, None] = {}
        self._answers: list[tuple[bytes, Sequence[ControllerMessage]]] = []

    def receive(
        self, at_most: int, enough: int = BYTES_AT_ONCE, is_ignored: Callable[[bytes], bool] | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return the frames for the controller, without the messages that the rule answers. Notes every message."""
        received = []
        for identity, frame in super().receive(at_most, enough, is_ignored):
            try:
                messages = codec.from_client.decode(frame)
            except ProtocolError:
                received.append((identity, frame))
                continue
            left = [each for each in messages if isinstance(each, Confirmed) or self._is_for_controller(identity, each)]
            if left or not messages:
                received.append((identity, frame if len(left) == len(messages) else codec.encode(left)))
        return received

    def _is_for_controller(self, identity: bytes, message: ClientMessage) -> bool:
        self._owner.received.append(message)  # before a client can receive its answer
        if isinstance(message, Hello):
            self._peers[identity] = None
        answers = self._owner.rule(message) if self._owner.rule is not None else None
        if answers is not None:
            self._answers.append((identity, answers))
        return answers is None

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send a frame of the controller, without the messages of the types in `lost`."""
        lost = self._owner.lost
        if lost:
            messages = codec.from_controller.decode(frame)
            left = [message for message in messages if not isinstance(message, lost)]
            if len(left) < len(messages):
                frame = codec.encode(left)
        return super().send(identity, frame)

    def send_answers(self) -> None:
        """Send the answers that the rule has given, after those of the controller."""
        answers, self._answers = self._answers, []
        for identity, messages in answers:
            self._send_whole(identity, messages)

    def send_to_all(self, messages: Sequence[ControllerMessage]) -> None:
        """Send `messages` to all clients."""
        for identity in list(self._peers):
            self._send_whole(identity, messages)

    def _send_whole(self, identity: bytes, messages: Sequence[ControllerMessage]) -> None:
        if not messages:
            return
        frame = codec.encode(messages)
        try:
            while not super().send(identity, frame):
                time.sleep(0.001)  # the queue to this client is full
        except ConnectionError:
            self._peers.pop(identity, None)
