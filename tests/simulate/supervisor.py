"""A virtual supervisor, and the process of the controller that it starts: real loop, real scheduler, virtual machine.

The model keeps what the controller relies on: the first message lists the workers and the unrecorded ends; ends are
kept until they are noted; a worker's page is read at its end; the children of a killed supervisor die with it, and the
next one reads their pages, but knows nothing of ends that only the killed one had in memory.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any

from taskfc_ext.controller.loop import Controller, SupervisorLost
from taskfc_ext.controller.surroundings import Surroundings
from taskfc_ext.core.events import Now
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.errors import StorageFull
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.supervisor_messages import (
    Farm,
    Noted,
    Revoke,
    Revoked,
    Serving,
    SetWorkers,
    Shutdown,
    Step,
    StopAttempt,
    WorkerDown,
    WorkerUp,
)
from tests.simulate.network import Crash, VirtualRouter
from tests.simulate.plan import TOTALS
from tests.simulate.worker import VirtualWorker

if TYPE_CHECKING:
    from tests.simulate.world import World

FOREVER = 1e18


class Channel:
    """The controller's end of the socket pair; a message that was sent arrives, also after the sender's death."""

    def __init__(self, process: ControllerProcess) -> None:
        self._process = process
        self._arrived: deque[bytes] = deque()
        self.is_closed = False

    def fileno(self) -> Any:
        """Return its name for the poller."""
        return "supervisor"

    @property
    def is_ready(self) -> bool:
        """Whether there is something to receive."""
        return bool(self._arrived) or self.is_closed

    def recv(self, size: int, flags: int) -> bytes:
        """Return the next datagram; empty: the supervisor is gone."""
        if self._arrived:
            return self._arrived.popleft()
        if self.is_closed:
            return b""
        raise BlockingIOError

    def send(self, frame: bytes) -> None:
        """Send to the supervisor; the controller may be killed before it."""
        self._process.step()
        supervisor = self._process.supervisor
        for message in codec.to_supervisor.decode(frame):
            supervisor.later(supervisor.handle, message)

    def push(self, frame: bytes) -> None:
        """Let a datagram of the supervisor arrive."""
        self._arrived.append(frame)
        self._process.wake()


class _Poller:
    """Stands in for `zmq.Poller`; never waits."""

    def __init__(self, process: ControllerProcess) -> None:
        self._process = process

    def register(self, socket: Any, flags: int) -> None:
        """Wait for it from now on, or no more."""
        self._process.flags[socket] = flags

    def poll(self, timeout: int | None = None) -> list[tuple[Any, int]]:
        """Return the readable ends."""
        return self._process.readable()


class ControllerProcess:
    """One controller process: its turns, and its death at a chosen point."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor, self.world = supervisor, supervisor.world
        self.is_alive = True
        self.hung_until = 0.0
        self._due = FOREVER  # when the next turn is
        self._commits_left = self._sends_left = -1
        self._when = ""
        world = self.world
        self.channel = Channel(self)
        self._has_begun = False
        self.flags: dict[str, int] = {}  # of the ends that the loop waits for
        supervisor.send_to(self, supervisor.farm_message())
        world.timeline.after(0.05 + world.rng.random() * 0.2, self._begin)

    # its death

    def crash_at(self, commits: int, when: str, sends: int) -> None:
        """Die at the commit after so many others: before it, after it, or before a later send."""
        self._commits_left, self._when, self._sends_left = commits, when, sends

    def _before_commit(self) -> None:
        if self._commits_left == 0 and self._when == "before":
            raise Crash
        if self._commits_left == 0 and self._when == "full":
            self._commits_left = -1
            raise sqlite3.OperationalError("database or disk is full")

    def _after_commit(self) -> None:
        if self._commits_left == 0 and self._when == "after":
            raise Crash
        self._commits_left -= self._commits_left >= 0

    def step(self) -> None:
        """Count a send; die before it if it is time."""
        if self._when == "send" and self._commits_left == -1 and self._sends_left > 0:
            self._sends_left -= 1
            if not self._sends_left:
                raise Crash

    def die(self) -> None:
        """Kill it now."""
        if self.is_alive:
            self.is_alive = False
            self.world.net.unbind(flushes=False)
            self.world.note("controller", "dies")
            if self._has_begun:
                self._store.end(is_regular=False)
            self.supervisor.later(self.supervisor.on_controller_end, self, False)

    # its turns

    def _begin(self) -> None:
        if not self.is_alive:
            return
        world = self.world
        store = self._store = world.open_store(self._before_commit, self._after_commit)
        self.scheduler = Scheduler(store.records(), name="t", totals=TOTALS, unreachable_after=5.0)
        clients = VirtualRouter(world.net, "clients", self.wake, self.step)
        workers = VirtualRouter(world.net, "workers", self.wake, self.step)
        self._routers = {"clients": clients, "workers": workers}
        self.controller = Controller(
            "t", self.scheduler, store, clients, workers, self.channel, Surroundings(self._now, lambda: _Poller(self))
        )
        self.controller._next_socket_check = FOREVER  # the virtual sockets have no files
        self.controller.before_shutdown(lambda is_idle: world.note_stop())
        self.controller.add_chore(store.remove_cleared)
        self._has_begun = True
        self._run(self._serve)

    def _serve(self) -> None:
        self.controller.begin()
        self.controller.await_supervisor()
        self.channel.send(codec.encode([Serving()]))
        self.world.note("controller", f"serves as incarnation {self.scheduler.farm.incarnation}")

    def _now(self) -> Now:
        timeline = self.world.timeline
        return Now(timeline.now, timeline.now + timeline.wall_ahead)

    def readable(self) -> list[tuple[Any, int]]:
        """Return the ends with something to receive."""
        ready = [(name, 1) for name, router in self._routers.items() if router.arrived and self.flags.get(name)]
        return [*ready, ("supervisor", 1)] if self.channel.is_ready else ready

    def wake(self) -> None:
        """Let a turn come soon."""
        self._turn_at(self.world.timeline.now + self.world.rng.random() * 0.0003)

    def _turn_at(self, when: float) -> None:
        if self._has_begun and self.is_alive and when < self._due:
            self._due = when
            self.world.timeline.at(when, self._turn, when)

    def _turn(self, when: float) -> None:
        if when != self._due or not self.is_alive:
            return
        self._due = FOREVER
        if self.hung_until > self.world.timeline.now:
            self._turn_at(self.hung_until)
        else:
            self._run(self.controller.turn)

    def _run(self, action: Any) -> None:
        try:
            action()
        except (Crash, SupervisorLost, StorageFull, sqlite3.OperationalError):
            self.die()
            return
        self.world.checked_turn(self.scheduler.farm)
        if self.controller._ended:
            self.is_alive = False
            self.world.net.unbind(flushes=True)
            self._store.end(is_regular=True)
            self.supervisor.later(self.supervisor.on_controller_end, self, True)
        else:
            self._turn_at(self.world.timeline.now + self.controller._timeout_ms() / 1000)


class Supervisor:
    """One supervisor process.

    Args:
        dead: the ends of the workers of a killed predecessor.
    """

    def __init__(self, world: World, n_workers: int, dead: dict[int, WorkerDown]) -> None:
        self.world, self.n, self.n_substitutes = world, n_workers, 0
        self.workers: dict[int, VirtualWorker] = {}
        self.dead = dead
        self.is_alive, self.is_stopping = True, False
        self.has_served = False
        self.controller: ControllerProcess | None = None
        self._last = 0.0  # when the last of `later` happens: a channel keeps the order
        self._orphans: dict[int, VirtualWorker] = {}
        self._start_controller()
        self.later(self._fill)

    def later(self, action: Any, *args: Any) -> None:
        """Call `action` after what it was asked for before, if the supervisor lives then."""
        timeline = self.world.timeline
        self._last = max(self._last, timeline.now + self.world.rng.random() * 0.002)
        timeline.at(self._last, self._do, action, *args)

    def _do(self, action: Any, *args: Any) -> None:
        if self.is_alive:
            action(*args)

    def send(self, message: Message) -> None:
        """Send to the controller, if there is one."""
        if self.controller is not None:
            self.send_to(self.controller, message)

    def send_to(self, controller: ControllerProcess, message: Message) -> None:
        """Send to a controller, which may have ended."""
        frame = codec.encode([message])
        self.later(controller.channel.push, frame)

    def farm_message(self) -> Farm:
        """Return the first message to a controller."""
        ups = tuple(WorkerUp(number, number) for number in self.workers)
        return Farm(supervisor_pid=1, n_workers=self.n, alive=ups, dead=tuple(self.dead.values()))

    def kill(self) -> None:
        """Kill it, and with it all its children."""
        self.is_alive = False
        workers, self.workers = self.workers, {}
        if self.controller is not None:
            self.controller.channel.is_closed = True
            self.controller.wake()
            self.world.timeline.after(0.01, self.controller.die)
        for worker in workers.values():
            self.world.timeline.after(self.world.rng.random() * 0.01, worker.die)
        self._orphans = workers

    def pages_left(self) -> dict[int, WorkerDown]:
        """Return the ends of the workers of this killed supervisor, as their pages say."""
        for worker in self._orphans.values():
            worker.die()
        return {
            number: self._down(worker, planned=True, to_blame=worker.page.is_running)
            for number, worker in self._orphans.items()
        }

    def _down(self, worker: VirtualWorker, *, planned: bool, to_blame: bool = False) -> WorkerDown:
        page = worker.page
        return WorkerDown(
            worker=worker.number, pid=worker.number, started=page.started, running=page.is_running, note="x",
            planned=planned, to_blame=to_blame,
        )  # fmt: skip

    # the controller

    def _start_controller(self) -> None:
        if self.is_alive and self.controller is None and not self.is_stopping:
            self.controller = ControllerProcess(self)
            self.n_substitutes = 0
            for worker in self.workers.values():
                worker.wants_reconnect = True
                worker.poke()

    def on_controller_end(self, controller: ControllerProcess, is_regular: bool) -> None:
        """Reap a controller: start the next one, or end with it."""
        if controller is not self.controller:
            return
        self.controller = None
        if is_regular or self.is_stopping:
            self._stop()
            self._check_over()
        else:
            self.world.timeline.after(self.world.rng.random() * 0.3, self._start_controller)

    def handle(self, message: Message) -> None:
        """Carry out an order of the controller."""
        if self.world.trace is not None:
            self.world.note("supervisor", f"is asked: {message}")
        match message:
            case Serving():
                self.has_served = True
                self.world.on_serving()
            case StopAttempt(number, lease, step):
                self._stop_attempt(number, lease, step)
            case Revoke(number, until):
                self._revoke(number, until)
            case Noted(workers):
                for number in workers:
                    self.dead.pop(number, None)
            case SetWorkers(n, retire, substitutes):
                if not self.is_stopping:
                    self.n, self.n_substitutes = n, substitutes
                    for number in retire:
                        self._end(number)
                    self._fill()
            case Shutdown():
                self._stop()

    def _stop(self) -> None:
        self.is_stopping = True
        for number in list(self.workers):
            self._end(number)

    def _check_over(self) -> None:
        if self.is_stopping and self.controller is None and not self.workers and self.is_alive:
            self.is_alive = False
            self.world.on_farm_over()

    # the workers

    def _fill(self) -> None:
        if self.is_stopping:
            return
        n_missing = self.n + self.n_substitutes - sum(not worker.is_ending for worker in self.workers.values())
        for _ in range(n_missing):
            number = self.world.next_worker()
            self.workers[number] = VirtualWorker(self.world, number)
            self.send(WorkerUp(number, number))

    def _end(self, number: int) -> None:
        worker = self.workers.get(number)
        if worker is not None and not worker.is_ending:
            worker.is_ending = True
            grace = 1.0 if worker.hung_until > self.world.timeline.now else self.world.rng.choice((0.001, 0.02, 1.0))
            self.world.timeline.after(grace, worker.die)

    def _stop_attempt(self, number: int, lease: int, step: Step) -> None:
        worker = self.workers.get(number)
        if worker is None:
            return
        if step is Step.INTERRUPT:
            worker.interrupt(lease)
        elif worker.is_in(lease):
            is_hung = worker.hung_until > self.world.timeline.now
            worker.stopped = lease, self.world.timeline.now
            if step is Step.KILL or not (is_hung or worker.running is None or worker.running.act.kind == "deaf"):
                self.world.timeline.after(0.001, self._kill_in, worker, lease)

    def _kill_in(self, worker: VirtualWorker, lease: int) -> None:
        if worker.is_in(lease):
            worker.die()

    def _revoke(self, number: int, until: int) -> None:
        worker = self.workers.get(number)
        if worker is not None and worker.is_alive:
            started = worker.revoke(until)
            kept = [(lease, *rest) for lease, rest in worker.page.kept.items() if lease < worker.page.started][-7:]
            leases, seconds, values = tuple(zip(*kept, strict=True)) if kept else ((), (), ())
            self.send(Revoked(number, until, started, leases, values, seconds))

    def on_worker_death(self, worker: VirtualWorker) -> None:
        """Note the end of a worker; it is reaped and reported a little later."""
        self.world.timeline.after(self.world.rng.random() * 0.05, self._do, self._reap, worker)

    def _reap(self, worker: VirtualWorker) -> None:
        if self.workers.pop(worker.number, None) is None:
            return
        stopped = worker.stopped
        is_explained = stopped is not None and (
            worker.page.started == stopped[0] or self.world.timeline.now - stopped[1] < 1.0
        )
        down = self._down(worker, planned=worker.is_ending or is_explained)
        self.dead[worker.number] = down
        self.send(down)
        self._check_over()
        if not self.is_stopping:
            self.world.timeline.after(self.world.rng.random() * 0.1, self._do, self._fill)
