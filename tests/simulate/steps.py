"""The steps of a plan: actions of clients, and faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from tests.simulate.client import BODY, CONTEXT, VirtualClient
from tests.simulate.plan import ACTIONS, OK, Job, Plan, Step

if TYPE_CHECKING:
    from tests.simulate.disk import Disk
    from tests.simulate.ledger import Ledger
    from tests.simulate.network import Network
    from tests.simulate.supervisor import Supervisor
    from tests.simulate.timeline import Timeline
    from tests.simulate.worker import VirtualWorker

LAST_JOB = 200_000


class Steps:
    """The part of a world that carries out steps."""

    plan: Plan
    timeline: Timeline
    net: Network
    disk: Disk
    ledger: Ledger
    supervisor: Supervisor
    clients: list[VirtualClient]
    nested: dict[int, VirtualClient]
    rng: Any
    note: Callable[[str, str], None]
    new_client: Callable[[], VirtualClient]
    forget_what_was_lost: Callable[[], None]
    on_supervisor_death: Callable[[], None]
    watcher: Any
    _is_power_lost = False
    _n_last_jobs = 0

    def do(self, step: Step) -> None:
        """Carry out a step."""
        self.note("plan", f"{step.kind} who={step.who} pick={step.pick} {step.args}")
        method = getattr(self, f"_do_{step.kind}")
        if step.kind in ACTIONS:
            method(self.clients[step.who % len(self.clients)], step)
        else:
            method(step)

    # actions of clients

    def _some(self, step: Step, among: list[int] | None = None) -> tuple[int, ...]:
        known = sorted(self.ledger.tasks) if among is None else among
        n = step.args.get("n", 1)
        return tuple(dict.fromkeys(known[(step.pick * (at + 1) * 7919) % len(known)] for at in range(n) if known))

    def _unfinished(self) -> list[int]:
        return [taskid for taskid, facts in sorted(self.ledger.tasks.items()) if facts.end is None]

    def _do_submit(self, client: VirtualClient, step: Step) -> None:
        parents: list[Any] = []
        for at in range(step.args.get("n_parents", 0)):
            number = step.pick * (at + 1) * 7919
            if step.args.get("by_id") or not client.futures:
                known = sorted(self.ledger.tasks)
                parents += [known[number % len(known)]] if known else []
            else:
                parents.append(client.futures[number % len(client.futures)])
        client.submit(step.jobs, step.args, list({id(parent): parent for parent in parents}.values()))

    def _do_abort(self, client: VirtualClient, step: Step) -> None:
        for taskid in self._some(step, self._unfinished()):
            client.ask(said.Abort, taskid=taskid, queued_only=step.args["queued_only"])

    def _do_abort_many(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.AbortTasks, taskids=self._some(step))

    def _do_hold(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Hold, taskids=self._some(step, self._unfinished()), held=True)

    def _do_release(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Hold, taskids=self._some(step, self._unfinished()), held=False)

    def _do_move(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Move, taskids=self._some(step, self._unfinished()), priority=step.args["priority"])

    def _do_retry(self, client: VirtualClient, step: Step) -> None:
        ended = [taskid for taskid, facts in sorted(self.ledger.tasks.items()) if facts.end is not None]
        for taskid in self._some(step, ended)[:1]:
            client.ask(said.Retry, taskid=taskid)

    def _do_barrier(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Barrier, taskids=None if step.args["all"] else self._some(step))

    def _do_unwait(self, client: VirtualClient, step: Step) -> None:
        for call in [call for call in client.calls if call.kind is said.Barrier and not call.answer.done()][:1]:
            client.connection.unwait(call)

    def _do_clear(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Clear, taskids=None if step.args["all"] else self._some(step))

    def _do_broadcast(self, client: VirtualClient, step: Step) -> None:
        context = said.Define(CONTEXT, BODY) if step.args["context"] else None
        code = step.args["how"].encode()
        client.ask(said.Broadcast, code_kind=Kind.STRING, label="b", code=code, body=b"", context=context)

    def _do_await_broadcast(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.AwaitBroadcast, number=1 + step.pick % 2)

    def _do_clear_broadcasts(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.ClearBroadcasts)

    def _do_scale(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Scale, n=step.args["n"])

    def _do_spin(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.Spin)

    def _do_results(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.GetResults, taskids=self._some(step))

    def _do_status(self, client: VirtualClient, step: Step) -> None:
        client.ask(said.QueueStatus, verbose=True)
        client.ask(said.ListTasks)

    def _do_follow(self, client: VirtualClient, step: Step) -> None:
        for taskid in self._some(step):
            client.follow(taskid)

    def _do_cancel(self, client: VirtualClient, step: Step) -> None:
        if client.futures:
            client.cancel(client.futures[step.pick % len(client.futures)])

    # faults

    def _worker(self, step: Step) -> VirtualWorker | None:
        workers = list(self.supervisor.workers.values())
        return workers[step.who % len(workers)] if workers else None

    def _do_crash(self, step: Step) -> None:
        controller = self.supervisor.controller
        if controller is not None:
            controller.crash_at(step.args["commits"], step.args["when"], step.args["sends"])

    def _do_kill_worker(self, step: Step) -> None:
        worker = self._worker(step)
        if worker is not None:
            worker.kill_when = step.args["when"]
            if worker.kill_when == "now":
                worker.die()

    def _do_hang_worker(self, step: Step) -> None:
        worker = self._worker(step)
        if worker is not None:
            worker.hung_until = self.timeline.now + step.args["seconds"]
            self.timeline.at(worker.hung_until, worker.poke)

    def _do_cut_worker(self, step: Step) -> None:
        """Lose the order of frames and time: nothing else can happen to a Unix socket of a living worker."""
        worker = self._worker(step)
        if worker is not None:
            self.net.parted[worker.name] = self.timeline.now + 1.0

    def _do_properties(self, step: Step) -> None:
        worker = self._worker(step)
        if worker is not None:
            worker.change_properties()

    def _do_kill_supervisor(self, step: Step) -> None:
        if self.supervisor.is_alive:
            self.supervisor.kill()
            self.on_supervisor_death()

    def pages(self) -> dict[int, WorkerDown]:
        """Return the ends of the workers of the last supervisor, if it was killed."""
        pages, self._is_power_lost = ({} if self._is_power_lost else self.supervisor.pages_left()), False
        return pages

    def _do_cut_client(self, step: Step) -> None:
        self.net.cut(self._client(step).name)

    def _client(self, step: Step) -> VirtualClient:
        every = [*self.clients, *self.nested.values(), self.watcher.client]
        return every[step.who % len(every)]

    def _do_kill_client(self, step: Step) -> None:
        at = step.who % len(self.clients)
        dead = self.clients[at]
        dead.die()
        fresh = self.clients[at] = self.new_client()
        tasks = [future.taskid for future in dead.futures if future.taskid is not None]
        self.timeline.after(0.1, self._follow_all, fresh, tasks)

    def _follow_all(self, client: VirtualClient, tasks: list[int]) -> None:
        for taskid in tasks:
            if client.is_alive and taskid in self.ledger.tasks:
                client.follow(taskid)

    def _peer(self, step: Step) -> str:
        worker = self._worker(step)
        return worker.name if step.pick % 2 and worker is not None else self._client(step).name

    def _do_part(self, step: Step) -> None:
        self.net.parted[self._peer(step)] = self.timeline.now + step.args["seconds"]

    def _do_slow(self, step: Step) -> None:
        self.net.slow[self._peer(step)] = (self.timeline.now + step.args["seconds"], step.args["longest"])

    def _do_full(self, step: Step) -> None:
        self.net.full[self._client(step).name] = self.timeline.now + step.args["seconds"]

    def _do_stop(self, step: Step) -> None:
        self.clients[step.who % len(self.clients)].ask(said.Stop)

    def _do_jump(self, step: Step) -> None:
        self.timeline.wall_ahead += step.args["seconds"]

    def _do_suspend(self, step: Step) -> None:
        self.timeline.now += step.args["seconds"]

    def _do_hang_controller(self, step: Step) -> None:
        if self.supervisor.controller is not None:
            self.supervisor.controller.hung_until = self.timeline.now + step.args["seconds"]

    def _do_disk_full(self, step: Step) -> None:
        self.disk.is_full, self.disk.n_fit = True, step.args["fit"]
        self.timeline.after(step.args["seconds"], self._make_room)

    def _make_room(self) -> None:
        self.disk.is_full = False

    def _do_power(self, step: Step) -> None:
        """Cut the power: every process dies, and the disk loses the last transactions."""
        if self.supervisor.controller is not None:
            self.supervisor.controller.die()
        self._do_kill_supervisor(step)
        self.supervisor.pages_left()  # which ends its workers at once
        for client in (*self.clients, *self.nested.values(), self.watcher.client):
            client.die()
        self.nested.clear()
        if self.plan.store == "memory":  # the real one keeps all in shared memory
            self.disk.cut_off(min(step.args["lost"], len(self.disk.transactions)))
            self.forget_what_was_lost()
        self._is_power_lost = True
        self.clients = [self.new_client() for _ in self.clients]
        self.watcher = type(self.watcher)(self, self._next_client())  # type: ignore[attr-defined]

    # the end of all faults

    def end_faults(self) -> None:
        """Heal the network and what hangs, release what is held, and start the farm if it is down."""
        self._make_room()
        self.net.slow.clear()
        self.net.parted.clear()
        self.net.full.clear()
        for worker in self.supervisor.workers.values():
            worker.hung_until = 0.0
            worker.kill_when = ""
            worker.poke()
        self._go_on_to_end()

    def _go_on_to_end(self) -> None:
        """Start the farm if it is down, and release what is held; again and again, as a late stop may come."""
        client, supervisor = self.clients[0], self.supervisor
        if not supervisor.is_alive or supervisor.is_stopping:
            self._n_last_jobs += 1
            client.submit((Job(LAST_JOB + self._n_last_jobs, (OK,)),), {}, ())
        held = [taskid for taskid, facts in self.ledger.tasks.items() if facts.is_held and facts.end is None]
        if held:
            client.ask(said.Hold, taskids=tuple(held), held=False)
        self.timeline.after(3.0, self._go_on_to_end)
