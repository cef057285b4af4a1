"""A whole farm in virtual time: it carries out a plan, lets the faults end, and then waits until everything is over.

Real: the controller's loop with endpoint, outbox and answers, the scheduler, the encoding of messages and records, the
replay, the client's connection, bookkeeping and futures, the worker's link. Modelled: the network, the disk, the
supervisor with its pages, the worker's loop, the code of tasks. Left out: payloads in files, output and displays,
engines, signals, the memory limit; the tests with real processes have these.
"""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from taskfc_ext.core.state.validate import validate
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.records import Record, decode_record
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from tests.homes import memory_or
from tests.simulate.client import VirtualClient, Watcher
from tests.simulate.disk import Disk, VirtualStore
from tests.simulate.ledger import Ledger, Violation
from tests.simulate.network import Network
from tests.simulate.plan import OK, Job, Plan
from tests.simulate.real_store import RealStore
from tests.simulate.steps import Steps
from tests.simulate.supervisor import Supervisor
from tests.simulate.timeline import Timeline
from tests.simulate.worker import Attempt, VirtualWorker

SETTLE = 90.0
"""Virtual seconds without a commit, after the last fault, in which everything that can end has ended."""

CHECK_FULLY_EVERY = 8
"""Turns of the controller from one check of its whole state to the next one; a whole check costs as much as ten."""

NESTED = 100_000


class World(Steps):
    """One run of a plan.

    Args:
        salt: chooses other delays for the same plan.
        trace: gets a line for each event; `None`: none is made.
    """

    def __init__(self, plan: Plan, salt: int = 0, trace: list[str] | None = None) -> None:
        self.plan, self.trace = plan, trace
        self.rng = random.Random(f"{plan.seed}.{salt}")
        self.timeline = Timeline()
        self.net = Network(self.timeline, self.rng, plan.latency)
        self.disk = Disk()
        self.disk.on_commit = self._on_commit
        self.ledger = Ledger()
        self.is_stopped, self.n_stops = False, 0
        is_real = plan.store == "sqlite"
        self._folder = tempfile.TemporaryDirectory(dir=memory_or(None)) if is_real else None
        self._n_workers_made = self._n_clients_made = self._n_nested = 0
        self._revivals: list[tuple[VirtualClient, Callable[[Exception | None], None]]] = []
        self._is_starting = False
        self._n_turns = 0
        self._last_commit = 0.0
        self.nested: dict[int, VirtualClient] = {}
        self.supervisor = Supervisor(self, plan.n_workers, {})
        self.clients = [self.new_client() for _ in range(plan.n_clients)]
        self.watcher = Watcher(self, self._next_client())

    def note(self, who: str, text: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.timeline.now - 1000:10.4f}  {who:<12} {text}")

    # the run

    def run(self) -> None:
        """Carry out the plan.

        Raises:
            Violation: an invariant does not hold.
        """
        logging.disable(logging.CRITICAL)
        try:
            for step in self.plan.steps:
                self.timeline.at(1000.0 + step.at, self.do, step)
            self.timeline.run_until(1000.0 + self.plan.horizon)
            self.end_faults()
            self._settle()
        except Violation:
            raise
        except Exception as error:
            raise Violation(f"{type(error).__name__}", f"{error}") from error
        finally:
            logging.disable(logging.NOTSET)
            if self._folder is not None:
                if self.supervisor.controller is not None:
                    self.supervisor.controller.die()
                self._folder.cleanup()

    def _settle(self) -> None:
        began = self._last_commit = self.timeline.now
        left = ["everything"]
        while left:
            self.timeline.run_until(self.timeline.now + 0.5)
            left = self.left_over()
            is_stuck = self.timeline.now - self._last_commit > SETTLE or self.timeline.now - began > 3000.0
            if left and is_stuck:
                raise Violation("I10", "; ".join(left))

    def left_over(self) -> list[str]:
        """Return what has not ended, or was not cleaned up."""
        unfinished = {taskid for taskid, facts in self.ledger.tasks.items() if facts.end is None}
        left = [f"task {taskid} has not ended" for taskid in sorted(unfinished)]
        if left:
            return left
        for client in self.clients:
            left += client.left_over()
        controller = self.supervisor.controller
        if controller is None or not controller.is_alive or not controller._has_begun:
            return [*left, "there is no controller"]
        for worker in self.supervisor.workers.values():
            if worker.link is None or worker.link.has_uncommitted or worker.running is not None:
                left.append(f"{worker.name} has something to report")
        farm = controller.scheduler.farm
        for name in ("tasks", "leases", "stopping_leases", "barriers", "broadcast_waits", "result_subscribers", "held"):
            if getattr(farm, name):
                left.append(f"I11: the controller has {name}: {getattr(farm, name)}")
        if len(farm.workers) != self.supervisor.n or self.supervisor.n_substitutes:
            left.append(f"I11: there are workers {list(farm.workers)}, and {self.supervisor.n} are wanted")
        finished = {taskid for taskid, facts in self.ledger.tasks.items() if not facts.is_cleared}
        return left + self.watcher.left_over(unfinished, finished)

    def checked_turn(self, farm: Any) -> None:
        """Check the state of the controller after some of its turns."""
        self._n_turns += 1
        if self._n_turns % CHECK_FULLY_EVERY == 0:
            validate(farm)

    # the disk

    def open_store(self, before: Callable[[], None], after: Callable[[], None]) -> Any:
        """Open the store for a new controller."""
        if self._folder is not None:
            return RealStore(Path(self._folder.name) / "journal", before, after, self._on_commit)
        return VirtualStore(self.disk, before, after)

    def _on_commit(self, records: Sequence[Record]) -> None:
        self._last_commit = self.timeline.now
        if self.trace is not None:
            for record in records:
                self.note("disk", f"has {record}")
        self.ledger.on_commit(records)

    def forget_what_was_lost(self) -> None:
        """Let the ledger begin again with what the disk has."""
        self.ledger.forget_what_was_lost([[decode_record(body) for body in each] for each in self.disk.transactions])

    # the processes

    def next_worker(self) -> int:
        """Return a worker's id that no other had."""
        self._n_workers_made += 1
        return self._n_workers_made - 1

    def _next_client(self) -> int:
        self._n_clients_made += 1
        return self._n_clients_made

    def new_client(self, worker: int = -1) -> VirtualClient:
        """Start a client."""
        return VirtualClient(self, self._next_client(), worker)

    def on_worker_death(self, worker: VirtualWorker) -> None:
        """Let the supervisor notice."""
        self.note(worker.name, "dies")
        self.supervisor.on_worker_death(worker)

    def begin_nested(self, worker: VirtualWorker, attempt: Attempt) -> None:
        """Let a task submit two others and wait for them."""
        client = self.nested[worker.number] = self.new_client(worker.number)
        jobs = []
        for _ in range(2):
            self._n_nested += 1
            jobs.append(Job(NESTED + self._n_nested, (OK,)))

        def end() -> None:
            self.timeline.after(0.001, self._end_nested, worker, attempt, client)

        client.run_inside(jobs, end)

    def _end_nested(self, worker: VirtualWorker, attempt: Attempt, client: VirtualClient) -> None:
        if client.is_alive:
            self.end_nested(worker.number)
            worker.end_nested(attempt)

    def end_nested(self, worker: int) -> None:
        """End the client in the task on a worker, with the task."""
        client = self.nested.pop(worker, None)
        if client is not None:
            client.die()

    # the farm's life

    def note_stop(self) -> None:
        """Count a stop on purpose."""
        self.n_stops += 1
        self.note("controller", "stops")

    def on_serving(self) -> None:
        """Note that the controller answers: revivals are over."""
        self._end_revivals(None)

    def _end_revivals(self, error: Exception | None) -> None:
        revivals, self._revivals = self._revivals, []
        for client, on_revived in revivals:
            if client.is_alive:
                on_revived(error)

    def on_supervisor_death(self) -> None:
        """Let the revivals fail that wait for this supervisor."""
        self.note("supervisor", "dies")
        if not self._is_starting:
            self.timeline.after(0.02, self._end_revivals, StartFailed("the supervisor was killed"))

    def on_farm_over(self) -> None:
        """Note the regular end of all processes."""
        self.note("supervisor", "ends")
        self.is_stopped = True

    def revive(self, client: VirtualClient, on_revived: Callable[[Exception | None], None]) -> None:
        """Start the farm unless it runs; call `on_revived` when it answers."""
        self._revivals.append((client, on_revived))
        if self.supervisor.is_alive and self.supervisor.has_served:
            self.timeline.after(0.01, self.on_serving)
        elif not self.supervisor.is_alive and not self._is_starting:
            self._is_starting = True
            self.timeline.after(0.05 + self.rng.random() * 0.1, self._start_farm, self.pages)

    def _start_farm(self, pages: Callable[[], dict[int, WorkerDown]]) -> None:
        dead = pages()
        self._is_starting = False
        self.note("supervisor", f"starts; dead: {list(dead.values())}")
        self.is_stopped = False
        self.supervisor = Supervisor(self, self.supervisor.n, dead)
