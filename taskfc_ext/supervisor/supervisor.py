"""The supervisor's loop: one thread that waits for signals, for the controller's messages and for deadlines."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import assert_never

from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.process_tree import (
    Process,
    become_subreaper,
    children,
    is_supervisor,
    kill_descendants,
    reap,
)
from taskfc_ext.drivers.processes import kill_tagged, python_command
from taskfc_ext.drivers.rescue import HeldLock
from taskfc_ext.drivers.room import refuse_start
from taskfc_ext.drivers.signals import Signal, is_stray, signal_queue
from taskfc_ext.drivers.stops import note_stop
from taskfc_ext.errors import ProtocolError, StoreError
from taskfc_ext.protocol.launch import LaunchStatus
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import (
    Demand,
    Farm,
    LimitMemory,
    Noted,
    RequestFailed,
    Revoke,
    Serving,
    SetWorkers,
    Shutdown,
    StopAttempt,
    StoreRefused,
    ToSupervisor,
    WorkerDown,
)
from taskfc_ext.supervisor.backoff import ControllerBackoff
from taskfc_ext.supervisor.controller_process import ControllerProcess, fit
from taskfc_ext.supervisor.engine_pool import EnginePool
from taskfc_ext.supervisor.log import log
from taskfc_ext.supervisor.pool import Commands, Pool
from taskfc_ext.supervisor.status import StatusPipe
from taskfc_ext.supervisor.workers import Workers

WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that the supervisor handles, or catches so that they have no effect."""

STOP_TIMEOUT = 15.0
"""Seconds that a controller has to record the stop of the farm before it is killed, which its store survives."""

STRAYS_TIMEOUT = 0.5
"""Seconds for killed processes of a task to end; the farm waits meanwhile."""

ROOM_EVERY = 1.0
"""Seconds between tries to start a controller again while a disk is full: it has served before, and may again."""

FAILURES_KEPT = 32
"""Failures of controllers at requests that are kept for the next ones, the latest."""

FAILURES_COUNT_FOR = 600.0
"""Seconds for which a failure is reported to each controller that starts."""

HANG_UP_TIMEOUT = 2.0
"""Seconds that a controller may live after it has closed its end of the socket pair."""


class Supervisor:
    """The supervisor of one farm.

    Args:
        lock_fd: descriptor of the store's lock, which is held.
        dead: ends of the workers of a previous supervisor.
        commands: makes the commands of the child processes.
        secrets: what a bridge needs to be let in by its engine, as JSON.
        umask: of the workers; -1: that of this process.

    Attributes:
        is_lost: the tasks, which were in memory only, have ended with their controller, and so did the farm.
    """

    def __init__(
        self,
        paths: FarmPaths,
        options: FarmOptions,
        *,
        lock_fd: int,
        status: StatusPipe,
        dead: Iterable[WorkerDown] = (),
        commands: Commands = python_command,
        secrets: bytes = b"",
        umask: int = -1,
    ) -> None:
        self.is_lost = False
        self._paths = paths
        self._lock = HeldLock(paths.lock, lock_fd)
        self._status = status
        self._commands = commands
        self._pool: Pool = (
            Workers(paths, options, commands, dead, umask=umask)
            if options.engine is None
            else EnginePool(paths, options, options.engine, commands, secrets=secrets, dead=dead)
        )
        self._controller: ControllerProcess | None = None
        self._start_at: float | None = 0.0  # when to start the next controller
        self._backoff = ControllerBackoff()
        self._failed_requests: deque[tuple[float, RequestFailed]] = deque(maxlen=FAILURES_KEPT)
        self._stopping = False
        self._has_uncounted_stop = False  # whether the controller has yet to confirm that it has counted a stop
        self._has_strays = False  # whether there are other children than controller and workers, to be reaped

    def run(self) -> None:
        """Run the farm until all its processes have ended. In the main thread only."""
        become_subreaper()
        with signal_queue(WATCHED) as signals, selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            while not self._is_over():
                self._act_on_time(time.monotonic())
                self._wait(selector)
                for received in signals.receive():
                    self._on_signal(received, time.monotonic())
                self._act_on_events(time.monotonic())

    def _is_over(self) -> bool:
        return self._stopping and self._controller is None and self._pool.is_over

    def _wait(self, selector: selectors.BaseSelector) -> None:
        """Wait for an event or a deadline."""
        controller = self._controller
        listen = controller is not None and not controller.hung_up
        if controller is not None and listen:
            behind = selectors.EVENT_WRITE if controller.is_behind else 0
            selector.register(controller.socket, selectors.EVENT_READ | behind)
        sockets = self._pool.sockets
        for end in sockets:
            selector.register(end, selectors.EVENT_READ)
        wake_at = self._wake_at()
        selector.select(None if wake_at is None else max(0.0, wake_at - time.monotonic()))
        if controller is not None and listen:
            selector.unregister(controller.socket)
        for end in sockets:
            selector.unregister(end)

    def _wake_at(self) -> float | None:
        times = [self._pool.wake_at(), self._start_at, self._controller.kill_at if self._controller else None]
        return min((at for at in times if at is not None), default=None)

    def _act_on_time(self, now: float) -> None:
        self._pool.act_on_time(now)
        controller = self._controller
        if controller is not None and controller.kill_at is not None and controller.kill_at <= now:
            log(f"controller pid={controller.pid} does not end; killing it")
            controller.kill()
        if self._start_at is not None and self._start_at <= now:
            self._start_controller(now)
        ups = self._pool.fill(now)
        if ups and self._controller is not None:
            self._controller.send(ups)

    def _act_on_events(self, now: float) -> None:
        controller = self._controller
        if controller is not None:
            # checked before the last messages are read: none come after its end
            ended = controller.has_ended()
            self._receive(controller, now)
            controller.flush()
        news = self._pool.reap(now)
        downs = [down for down in news if isinstance(down, WorkerDown)] if self._pool.engine is None else []
        if self._has_strays or downs:
            self._end_strays(downs)  # before the end of the attempt is reported
        if controller is not None and news:
            for message in news:
                controller.send([message])  # a frame each: the notes of many would not fit into one
            self._pool.confirm()
        if not self._stopping:  # `clear_away` kills all at the end of the farm
            for down in downs:
                kill_tagged(self._paths.tag, down.worker)  # last, as it reads the environment of every process
        if controller is not None and ended:
            self._on_controller_end(controller, now)

    def _end_strays(self, downs: Sequence[WorkerDown]) -> None:
        """Kill the processes that dead workers have started, also daemons, which are children of this process now."""
        own = set(self._pool.pids)
        if self._controller is not None:
            own.add(self._controller.pid)

        def is_own(process: Process) -> bool:
            return process.pid in own

        def is_to_stay(process: Process) -> bool:
            return is_own(process) or is_supervisor(process)  # a farm outlives the task that has started it

        if downs:
            left = kill_descendants(is_to_stay, timeout=STRAYS_TIMEOUT)
            if left:
                log(f"cannot kill {[process.pid for process in left]}, which a task has started")
        reap(is_own)
        self._has_strays = not all(map(is_own, children(os.getpid())))

    # the controller

    def _start_controller(self, now: float) -> None:
        self._start_at = None
        command = self._commands("controller", self._paths.name)
        try:
            self._restore_files()
            controller = ControllerProcess(self._paths, command, self._lock.fd)
        except (OSError, StoreError) as error:
            self._try_again(f"could not be started: {error}", now + self._backoff.note_refused_start())
            return
        self._controller = controller
        farm = Farm(
            supervisor_pid=os.getpid(),
            n_workers=self._pool.n,
            alive=tuple(self._pool.ups),
            dead=tuple(self._pool.dead),
            engine=self._pool.engine,
        )
        controller.send([fit(farm)])
        for failed_at, failure in self._failed_requests:
            if now - failed_at < FAILURES_COUNT_FOR:
                controller.send([failure])  # a frame each: together they might not fit into one
        self._pool.confirm()
        self._pool.ask_to_reconnect()

    def _restore_files(self) -> None:
        """Make the lock and the farm's options again if a task has removed them: the controller needs them."""
        if self._lock.renew():
            log(f"the lock {self._paths.lock} was missing; made and locked it again")
        self._pool.restore_files()

    def _receive(self, controller: ControllerProcess, now: float) -> None:
        try:
            messages = controller.receive()
        except ProtocolError as error:
            log(f"killing controller pid={controller.pid}, which sent a damaged message: {error}")
            controller.kill()
            return
        for message in messages:
            self._handle(controller, message, now)
        if controller.hung_up and controller.kill_at is None:
            controller.kill_at = now + HANG_UP_TIMEOUT

    def _handle(self, controller: ControllerProcess, message: ToSupervisor, now: float) -> None:
        match message:
            case Serving():
                self._backoff.note_served()
                self._status.send(LaunchStatus(ready=controller.pid))
            case StopAttempt():
                self._pool.stop_attempt(message)
            case Demand():
                self._pool.demand(message.n)
            case Revoke():
                revoked = self._pool.revoke(message)
                if revoked is not None:
                    controller.send([revoked])
            case LimitMemory():
                self._pool.limit_memory(message)
            case Noted():
                self._pool.forget_noted(message.workers)
            case SetWorkers():
                if not self._stopping:
                    self._pool.resize(message, now)
            case RequestFailed(error=error):
                log(f"the controller failed while it handled a request: {error}")
                self._failed_requests.append((now, message))
            case StoreRefused(error, hint):
                log(f"stopping, as no controller can serve the store: {error}")
                self._status.send(LaunchStatus(error=error, hint=hint))
                self.is_lost = self._paths.memory is not None and self._backoff.has_served
                self._stop(now)
            case Shutdown():
                log("stopping")
                self._has_uncounted_stop = False
                self._stop(now)
            case _:
                assert_never(message)

    def _on_controller_end(self, controller: ControllerProcess, now: float) -> None:
        returncode = controller.reap()
        self._controller = None
        if self._has_uncounted_stop:
            note_stop(self._paths)
        if self._stopping or returncode == 0:
            self._stop(now)
        elif self._paths.memory is not None and self._backoff.has_served:
            log(f"stopping, as the tasks, in memory only, ended with the controller: {controller.describe_end()}")
            self.is_lost = True
            self._stop(now)
        else:
            self._try_again(controller.describe_end(), now + self._backoff.note_death(now))

    def _try_again(self, why: str, start_at: float) -> None:
        log(f"no controller: {why}")
        full = refuse_start(self._paths.written)
        if not self._paths.store.is_dir():
            log(f"stopping, as {self._paths.store} is gone: there is nothing left to serve")
            self._stop(time.monotonic())
        elif full is not None and self._backoff.has_served:
            self._start_at = max(start_at, time.monotonic() + ROOM_EVERY)
        elif full is not None:
            log(f"stopping: {full.message}")
            self._status.send(LaunchStatus(error=full.message, hint=full.hint))
            self._stop(time.monotonic())
        elif self._backoff.is_hopeless:
            failures = self._backoff.unanswered
            log(f"stopping, as the controller failed {failures} times before it answered")
            problem = f"the controller failed {failures} times before it answered: {why}"
            self._status.send(LaunchStatus(error=problem, hint=f"see {self._paths.controller_log}"))
            self._stop(time.monotonic())
        else:
            self._start_at = start_at

    # the end

    def _on_signal(self, received: Signal, now: float) -> None:
        """Stop the farm on a SIGTERM that no task has sent; ignore other signals."""
        if received.number == signal.SIGCHLD:
            self._pool.resume_stopped()
            return  # each turn checks for children that have ended
        name = signal.strsignal(received.number) or str(received.number)
        if received.number != signal.SIGTERM:
            log(f"ignored a signal ({name}) from pid={received.sender}")
        elif is_stray(received, os.getpid()):
            log(f"ignored SIGTERM from pid={received.sender}, which a task has started or which is gone")
        else:
            self._on_terminate(now)

    def _on_terminate(self, now: float) -> None:
        """Have the controller stop the farm, so that it records the stop."""
        if self._stopping:
            return
        log("asked to stop by SIGTERM")
        self._stopping = True
        self._pool.start_no_more()
        if self._controller is None:
            note_stop(self._paths)
            self._stop(now)
        else:
            self._has_uncounted_stop = True
            self._controller.kill_at = now + STOP_TIMEOUT
            self._controller.terminate()

    def _stop(self, now: float) -> None:
        """End all workers; the controller ends by itself after their ends are reported."""
        self._stopping = True
        self._start_at = None
        self._pool.end_all(now)
        if self._controller is not None:
            self._controller.kill_at = now + STOP_TIMEOUT
