"""A physical world around a bare scheduler: workers that hold the messages sent to them, clients that hold answers.

Every event goes through `World.handle`, which compares all records and messages of the scheduler with the model. A
message to a worker waits in its inbox until it is read, so a restart can lose it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from taskfc_ext.core.effects import (
    ClientSend,
    Effects,
    Recall,
    SendCode,
    SendEnded,
    SendRun,
    SupervisorSend,
    WorkerSend,
)
from taskfc_ext.core.events import FromClient, FromParent, FromWorker, Now, PeerLost, Tick
from taskfc_ext.core.handlers import workers as worker_handlers
from taskfc_ext.core.handlers.dispatch import LONGEST_AHEAD, LONGEST_AHEAD_AWAY
from taskfc_ext.core.handlers.returns import REVOKE_AFTER
from taskfc_ext.core.journal import baseline
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.core.state import codes
from taskfc_ext.core.state import validate as validation
from taskfc_ext.core.state.engine import AHEAD
from taskfc_ext.core.views.rows import CODES
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.ids import PROTOCOL, Session, WorkerId
from taskfc_ext.protocol.payloads import Outcome, decode_failure
from taskfc_ext.protocol.records import Baseline, Leased, decode_record, encode_record
from taskfc_ext.protocol.resources import CORES, Needs, Totals
from taskfc_ext.protocol.spec import OnLost, Spec
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import (
    Demand,
    EngineState,
    Farm,
    Revoke,
    Revoked,
    SetWorkers,
    StopAttempt,
    WorkerDown,
    WorkerUp,
)
from taskfc_ext.protocol.worker_messages import (
    Committed,
    Finished,
    ForgetCode,
    Prepare,
    Ready,
    Return,
    Returned,
    Run,
    SetUp,
    Started,
)
from tests.core.conversation import ERROR, answer_recall, check_farm
from tests.core.model import MAX_PLACE_LOSSES, UNREACHABLE_AFTER, Expected, Model
from tests.core.subscriber import Subscriber

RECOVERY_CODE, DEPEND, OTHER_CODE, CONTEXT = b"r" * 16, b"d" * 16, b"o" * 16, b"x" * 16
SMALL = (
    (codes, "WORKER_CODES", 3),
    (baseline, "AFTER_CLEAR", 2),
    (baseline, "AFTER_RECORDS", 10),
    (worker_handlers, "MAX_PLACE_LOSSES", MAX_PLACE_LOSSES),
    (validation, "MAX_PLACE_LOSSES", MAX_PLACE_LOSSES),
)
"""Bounds that are lowered, so that short runs reach them."""
TOTALS = Totals(cores=3, memory=10, gpus=("0", "1"), others={"licence": 1})
VALUES = {Outcome.OK: b"value", Outcome.REFUSED: b"no gpu", Outcome.NOT_NOW: b"busy"}


@dataclass
class PhysicalWorker:
    """A worker process. `started`, `ended`, `running`, `revoked` and `kept` are its page.

    `unacked` holds its reports that are not committed, `skipped` revoked leases that it has not returned yet.
    """

    worker: int
    connected: bool = False
    inbox: list = field(default_factory=list)
    queue: deque = field(default_factory=deque)
    started: int = 0
    started_at: float = 0.0
    running: int = 0
    ended: int = 0
    revoked: int = 0
    kept: dict = field(default_factory=dict)
    skipped: list = field(default_factory=list)
    results: list = field(default_factory=list)
    unacked: list = field(default_factory=list)
    n_finished: int = 0
    long: bool = False
    retired: bool = False
    unreported: list = field(default_factory=list)
    asked_back: int = 0
    revoke_asked: int = 0
    first: int = 0
    first_at: float = 0.0
    broadcasts: dict = field(default_factory=dict)
    codes: set = field(default_factory=set)
    contexts: dict = field(default_factory=dict)

    def read(self) -> None:
        for message in self.inbox:
            run = message.run if isinstance(message, SendRun) else message
            if isinstance(run, SendCode):
                assert run.digest not in self.codes, "a worker was sent code that it has"
                self.codes.add(run.digest)
            elif isinstance(run, ForgetCode):
                assert self.codes.issuperset(run.digests), "a worker is to forget what it does not have"
                self.codes.difference_update(run.digests)
            elif isinstance(run, Prepare):
                assert run.context is None or run.context in self.codes, "a broadcast came before its context"
                self.broadcasts[run.number] = None
                self.contexts[run.number] = run.context
            elif isinstance(run, Run):
                self.queue.extend(range(run.first_lease, run.first_lease + len(run.ids)))
            elif isinstance(run, Committed):
                self.unacked = [report for report in self.unacked if report.seq > run.seq]
        self.inbox.clear()

    def has_to_report(self) -> bool:
        return bool(self.leases()) or any(isinstance(message, Run | SendRun) for message in self.inbox)

    def leases(self) -> set[int]:
        reported = (lease for report in self.unacked for lease in report.leases)
        return {
            *self.queue,
            *self.skipped,
            *([self.running] if self.running else []),
            *(r[0] for r in self.results),
            *reported,
        }


@dataclass
class Client:
    """A client. `asked` holds its requests, `answers` the first answer to each, `ends` the ends that it received."""

    session: str
    connected: bool = False
    seq: int = 0
    acked: int = 0
    asked: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    answered_by: dict = field(default_factory=dict)
    mine: set = field(default_factory=set)
    ends: set = field(default_factory=set)
    defined: set = field(default_factory=set)
    to_release: list = field(default_factory=list)
    unnamed: set = field(default_factory=set)
    barriers: dict = field(default_factory=dict)
    worker: int = -1
    until: dict = field(default_factory=dict)  # of its barriers: the last lease that its worker held then


class World:
    """The processes around a scheduler, and the model."""

    def __init__(self) -> None:
        self.bounds = [(module, name, getattr(module, name)) for module, name, _ in SMALL]
        for module, name, value in SMALL:
            setattr(module, name, value)
        self.now, self.wall_ahead = 1000.0, 0.0
        self.model = Model()
        self.records: list = []
        self.journal: list = []  # the ones of these that a store replays
        self.workers: dict[int, PhysicalWorker] = {}
        self.dead: dict[int, PhysicalWorker] = {}
        self.downs: list[WorkerDown] = []
        self.n_workers = 2
        self.engine: EngineState | None = None
        self.demand = -1
        self.reported_starts: set[int] = set()
        self.next_worker = 0
        self.clients = {name: Client(name) for name in ("a" * 16, "b" * 16)}
        self.subscriber, self.newcomer = Subscriber(), Subscriber()
        self.subscribers = {"c" * 16: self.subscriber, "d" * 16: self.newcomer}
        self.task_of: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.stops: dict[int, int] = {}
        self.broadcasts: dict[int, int] = {}
        self.revokes: list[Revoke] = []  # on their way to the supervisor
        self.revoked: list[Revoked] = []  # on their way to the controller
        self.given_back: set[int] = set()
        self.begin(alive=(), dead=())

    # events

    def end(self) -> None:
        """Restore the bounds."""
        for module, name, value in self.bounds:
            setattr(module, name, value)

    def begin(self, alive, dead) -> None:
        """Start a controller on the records."""
        self.scheduler = Scheduler(self.journal, unreachable_after=UNREACHABLE_AFTER, totals=TOTALS)
        self.stops.clear()
        self.reported_starts.clear()
        self.demand = -1
        while self.revokes:
            self.revoke()
        self.revoked.clear()  # the word in the page stays
        for client in self.clients.values():
            client.connected = False
        for worker in self.workers.values():
            worker.connected = False
            worker.inbox.clear()
            worker.revoke_asked = 0
        self.model.redeliver()
        for task in self.model.live():
            task.timed_out, task.not_before = False, 0.0
        self.observe(self.scheduler.begin(self.time))
        farm = Farm(supervisor_pid=1, n_workers=self.n_workers, alive=alive, dead=dead, engine=self.engine)
        self.handle(FromParent(farm))
        for client in self.clients.values():
            if client.worker < 0 or client.worker in self.workers:
                self.hello(client)
        for session in self.subscribers:
            self.subscribe(session)

    def use_engine(self) -> None:
        """Have the workers run on an engine, which loses places."""
        self.engine = EngineState(kind="fake", url="fake://", state="connected", n_places=1)
        self.handle(FromParent(self.engine))

    @property
    def time(self) -> Now:
        return Now(self.now, self.now + self.wall_ahead)

    def handle(self, event) -> Effects:
        self.model.now = self.now
        effects = self.scheduler.handle(event, self.time)
        self.observe(effects)
        return effects

    def observe(self, effects: Effects) -> None:
        for record in map(decode_record, map(encode_record, effects.records)):
            if isinstance(record, Baseline):
                self.journal.clear()
            self.journal.append(record)
            self.records.append(record)
        for record in effects.records:
            if isinstance(record, messages.Ended):
                self._note_unreachable(record)
            elif isinstance(record, Leased):
                for lease, taskid in enumerate(record.ids, start=record.first_lease):
                    self._give(taskid, lease, record.worker)
        self._check_ahead(effects)
        for send in effects.sends:
            match send:
                case WorkerSend(worker, message):
                    self.workers[worker].inbox.append(message)
                    if isinstance(message, Return):
                        self._note_asked_back(self.workers[worker], message.until)
                    if isinstance(message, Prepare):
                        assert message.number not in self.workers[worker].broadcasts, "a broadcast was sent twice"
                        self.workers[worker].unreported.append(message.number)
                case SupervisorSend(SetWorkers(_, retire)):
                    for worker in retire:
                        self.workers[worker].retired = True
                case SupervisorSend(Demand(n)):
                    assert n != self.demand, "a demand was sent twice"
                    self.demand = n
                case SupervisorSend(StopAttempt() as stop):
                    self._stop(stop)
                case SupervisorSend(Revoke() as revoke):
                    self._note_revoke(self.workers[revoke.worker], revoke.until)
                    self.revokes.append(revoke)
                case ClientSend(session, message) if session in self.subscribers:
                    self.subscribers[session].receive(message, self.scheduler.farm, self.records)
                case ClientSend(session, message):
                    self._receive(self.clients[session], message)
                case Recall():
                    self.handle(answer_recall(send, self.records))

    def _give(self, taskid: int, lease: int, worker: int) -> None:
        task = self.model.tasks[taskid]
        assert task.end is None, f"task {taskid} was dispatched after its end ({task.end!r})"
        assert not task.aborting, f"task {taskid} was dispatched after an acknowledged abort"
        assert not task.held, f"task {taskid} was dispatched while it is held"
        assert not task.lease, f"task {taskid} was dispatched to {worker} while {task.worker} has it"
        assert not self.model.waits(task), f"task {taskid} was dispatched before its dependencies had ended"
        assert task.not_before <= self.now, f"task {taskid} was dispatched before its back-off was over"
        assert worker not in task.refuses(self.now), f"task {taskid} was dispatched to worker {worker} again"
        assert not self.workers[worker].unreported, f"task {taskid} overtakes a broadcast on worker {worker}"
        self._check_its_turn(task)
        self._check_capacity(taskid, worker)
        self._check_resources(task, worker)
        self.task_of[lease] = taskid
        self.model.dispatch(taskid, lease, worker)

    def _check_capacity(self, taskid: int, worker: int) -> None:
        """Check that at most `n_workers` run tasks that do not wait for others."""
        if self.scheduler.farm.waits is not None:
            assert worker not in self.lending(), f"task {taskid} was dispatched to worker {worker}, whose task waits"
            idle = not self.model.held_by(worker)
            assert not idle or self.n_active() < self.n_workers, f"task {taskid} runs as one too many"

    def free(self) -> dict[str, int]:
        """Return what is free in the farm: of the cores, what tasks that wait for others lend as well."""
        free = TOTALS.amounts(self.n_workers)
        lending = self.lending()
        for worker in self.workers:
            held = self.model.held_by(worker)
            for name, amount in amounts_of(held[0]).items() if held else ():
                free[name] -= 0 if name == CORES and worker in lending else amount
        return free

    def is_shared(self) -> bool:
        """Return whether a task that names resources has some, or is ready."""
        ready = {task.taskid for task in self.model.runnable(self.now)}
        return any(task.spec.needs and (task.lease or task.taskid in ready) for task in self.model.live())

    def fits_beside_all(self, task: Expected) -> bool:
        """Return whether `task` could start, even if all that other ready tasks need were kept for them."""
        free = self.free()
        for other in self.model.runnable(self.now):
            if other is not task and other.spec.needs is not None:
                for name, amount in amounts_of(other).items():
                    free[name] -= amount
        return all(amount <= free[name] for name, amount in amounts_of(task).items())

    def _check_resources(self, task: Expected, worker: int) -> None:
        """Check that what `task` takes is free."""
        beside = self.model.held_by(worker)
        if task.spec.needs is not None:
            assert not beside, f"task {task.taskid}, which needs resources, is sent ahead"
        if not beside and self.is_shared():
            lacks = {name for name, amount in amounts_of(task).items() if amount > self.free()[name]}
            assert not lacks, f"task {task.taskid} was dispatched without {lacks}"
            self._check_kept(task)

    def _check_kept(self, task: Expected) -> None:
        """Check that `task` leaves what the most urgent one needs, if some worker may run that one."""
        ready = [each for each in self.model.runnable(self.now) if each.taskid in self.scheduler.farm.tasks]
        ranked = sorted(ready, key=self._rank, reverse=True)
        first = ranked[0]
        is_alone = len(ranked) < 2 or self._rank(first) > self._rank(ranked[1])
        if first is task or not is_alone or not self.live_workers() - first.refuses(self.now):
            return
        left = {name: amount - amounts_of(first).get(name, 0) for name, amount in self.free().items()}
        takes = {name for name, amount in amounts_of(task).items() if name != CORES and amount > left[name]}
        assert not takes, f"task {task.taskid} took {takes}, which is kept for task {first.taskid}"

    def _rank(self, task: Expected) -> tuple[int, int]:
        return self._depth(task), task.priority

    def _check_ahead(self, effects: Effects) -> None:
        """Check that one task is sent ahead only while a task is left for each worker."""
        means = self.scheduler.farm.mean_seconds
        for record in effects.records:
            if not isinstance(record, Leased):
                continue
            held = [task.lease for task in self.model.held_by(record.worker)]
            mean = means.get(self.model.tasks[record.ids[-1]].spec.code, 0.0)
            ahead = self.scheduler.farm.workers[record.worker].ahead
            longest = LONGEST_AHEAD if ahead == AHEAD else LONGEST_AHEAD_AWAY
            if min(held) < record.first_lease + len(record.ids) - 1 and mean > ahead / 2:
                assert mean <= longest, f"task {record.ids[-1]} was sent ahead, although such tasks are long"
                assert len(held) == 2, f"worker {record.worker} holds more than one task ahead"
                left = len(self.model.runnable(self.now))
                assert left >= len(self.workers), f"task {record.ids[-1]} was sent ahead, although only {left} are left"

    def _note_asked_back(self, worker: PhysicalWorker, until: int) -> None:
        held = [task.lease for task in self.model.held_by(worker.worker)]
        assert worker.connected
        assert min(held) < max(held) == until > worker.asked_back, (
            "a worker is asked again, or has nothing to give back"
        )
        worker.asked_back = until

    def _note_revoke(self, worker: PhysicalWorker, until: int) -> None:
        held = [task.lease for task in self.model.held_by(worker.worker)]
        assert min(held) < max(held) == until > worker.revoke_asked, "there is nothing to revoke"
        assert worker.first == min(held), "a worker is not stuck: its last task has just ended"
        assert self.now - worker.first_at >= REVOKE_AFTER - 1e-6, "a worker had no time to answer"
        worker.revoke_asked = until

    def _depth(self, task: Expected) -> int:
        waits = self.scheduler.farm.waits
        return waits.depth_of(self.scheduler.farm.tasks[task.taskid]) if waits is not None else 0

    def _check_its_turn(self, task: Expected) -> None:
        """Check that no task of higher priority, which any worker would take, was passed over."""
        depth = self._depth(task)
        before = [
            other
            for other in self.model.runnable(self.now)
            if other.priority > task.priority and not other.refused and not other.fresh_starts
            if not other.deaths and not other.place_losses
            if other.taskid in self.scheduler.farm.tasks and self._depth(other) >= depth
            if not self.is_shared() or self.fits_beside_all(other)
        ]
        assert not before, f"task {task.taskid} went before task {before[0].taskid}, which is more urgent"

    def _note_unreachable(self, record: messages.Ended) -> None:
        for taskid, reason in zip(record.ids, record.reasons, strict=True):
            task = self.model.tasks[taskid]
            if reason == "unreachable" and task.end is None:
                assert self.askable(task), f"task {taskid} is unreachable although there is no worker"
                assert self.askable(task) <= task.refuses(self.now)
                assert task.clock is not None
                assert self.now - task.clock >= UNREACHABLE_AFTER
                self.model.unreachable(task)

    def _stop(self, stop: StopAttempt) -> None:
        task = self.model.tasks[self.task_of[stop.lease]]
        if not task.aborting and not task.timed_out:
            ran = self.now - self.workers[stop.worker].started_at
            assert task.spec.timeout is not None, f"task {task.taskid} is stopped without a request"
            assert ran >= task.spec.timeout - 1e-6, f"task {task.taskid} is stopped after {ran} s"
            task.timed_out = True
        self.stops[stop.lease] = stop.worker

    def _receive(self, client: Client, message) -> None:
        if not client.connected:
            return
        match message:
            case messages.Ended(ids=ids) | SendEnded(ids):
                for taskid in ids:
                    assert self.model.tasks[taskid].end is not None, f"task {taskid} was reported as ended and is not"
                client.ends.update(ids)
            case messages.Release(digests):
                assert client.defined.issuperset(digests), "a client is to release what it does not name"
                client.to_release.append(digests)
            case messages.Accepted() | messages.Reply() | messages.Refused():
                first = client.answers.setdefault(message.seq, message)
                client.answered_by.setdefault(message.seq, self.scheduler.farm.incarnation)
                if self.is_settled(client, message.seq):
                    assert message == first, "a repeat was answered differently"
                waited = client.barriers.pop(message.seq, ())
                assert all(self.model.tasks[taskid].end is not None for taskid in waited), (
                    "a barrier was answered early"
                )

    def live_workers(self) -> set[int]:
        farm = self.scheduler.farm
        return {worker for worker, state in farm.workers.items() if state.ready and not state.retiring}

    def waiting_with(self, worker: int) -> list[set[int]]:
        """Return the sets that the task on `worker` waits for, for as long as it runs, as far as is known."""
        leases = [task.lease for task in self.model.held_by(worker)]
        return [
            waited
            for client in self.clients.values()
            if client.worker == worker and client.connected
            for seq, waited in client.barriers.items()
            if leases and min(leases) <= client.until[seq]
        ]

    def lending(self) -> set[int]:
        return {worker for worker in self.workers if self.waiting_with(worker)}

    def n_active(self) -> int:
        """Return the number of live workers with a task that does not wait."""
        live = self.live_workers() - self.lending()
        return sum(bool(self.model.held_by(worker)) for worker in live)

    def askable(self, task: Expected) -> set[int]:
        """Return the workers that may be asked for a task, now or later."""
        blocked = {w for w in self.workers if any(task.taskid in waited for waited in self.waiting_with(w))}
        return self.live_workers() - blocked

    # clients

    def client_on(self, worker: PhysicalWorker) -> Client:
        """Return the client of the task that runs on `worker`."""
        session = f"e{worker.worker:015x}"
        client = self.clients.setdefault(session, Client(session, worker=worker.worker))
        if not client.connected:
            self.hello(client)
        return client

    def hello(self, client: Client) -> None:
        client.connected = True
        for seq in client.barriers:
            client.until[seq] = max((task.lease for task in self.model.held_by(client.worker)), default=0)
        hello = messages.Hello(PROTOCOL, "0", "3.11", client.session, worker=client.worker)
        self.handle(FromClient(Session(client.session), hello))
        client.defined.clear()
        client.to_release.clear()
        client.unnamed.clear()
        for seq in sorted(client.barriers):
            self.handle(FromClient(Session(client.session), client.asked[seq]))
        missing = tuple(sorted(client.mine - client.ends - self.model.cleared))
        self.ask(client, messages.GetResults, taskids=missing, watch=True)

    def ask(self, client: Client, kind, **fields):
        """Send a request and return its answer."""
        client.seq += 1
        message = client.asked[client.seq] = kind(seq=client.seq, acked=client.acked, **fields)
        self.handle(FromClient(Session(client.session), message))
        return client.answers.get(client.seq)

    def define(self, client: Client, spec: Spec, *, names_it: bool = True) -> None:
        """Define the code of `spec` that this client has not defined on its connection."""
        for digest in codes.all_bodies(spec):
            if names_it:
                client.unnamed.discard(digest)
            elif digest not in client.defined:
                client.unnamed.add(digest)
            if digest not in client.defined:
                client.defined.add(digest)
                self.handle(FromClient(Session(client.session), messages.Define(digest, b"code")))

    def release(self, client: Client) -> None:
        """Answer the pending requests to release code."""
        while client.to_release:
            digests = client.to_release.pop(0)
            client.defined.difference_update(digests)
            self.handle(FromClient(Session(client.session), messages.Released(digests)))

    def is_settled(self, client: Client, seq: int) -> bool:
        """Return whether a repeat of this request must get the same answer."""
        asked, answer = client.asked[seq], client.answers[seq]
        if isinstance(asked, messages.GetResults | messages.Ping):
            return False  # answered from the present state
        aborted = isinstance(asked, messages.Abort) and answer == messages.Reply(seq, True)
        retried = isinstance(asked, messages.Retry) and isinstance(answer, messages.Reply)
        in_store = aborted or retried or isinstance(asked, messages.Submit | messages.Clear)
        return in_store or client.answered_by[seq] == self.scheduler.farm.incarnation

    def lose(self, client: Client) -> None:
        client.connected = False
        self.handle(PeerLost(Session(client.session)))

    def subscribe(self, session: str) -> None:
        """Subscribe on a new connection."""
        self.handle(FromClient(Session(session), messages.Hello(PROTOCOL, "0", "3.11", session)))
        self.handle(FromClient(Session(session), messages.Watch(seq=1)))

    # workers

    def join(self) -> None:
        worker = self.next_worker
        self.next_worker += 1
        self.workers[worker] = PhysicalWorker(worker)
        self.handle(FromParent(WorkerUp(worker, 100 + worker)))

    def connect(self, worker: PhysicalWorker) -> None:
        """Send `Ready`, and again the reports that are not committed."""
        worker.inbox.clear()
        worker.connected = True
        worker.asked_back = 0
        held = worker.leases()
        fresh = not self.scheduler.farm.workers[worker.worker].ready
        for task in self.model.held_by(worker.worker):
            if task.lease not in held:
                self.model.give_back(task)
        if fresh:
            self.model.redeliver()
        worker.unreported = sorted(number for number, problem in worker.broadcasts.items() if problem is None)
        ready = Ready(
            protocol=PROTOCOL, worker=worker.worker, pid=1, python="3.11", leases=tuple(sorted(held)),
            broadcasts=dict(worker.broadcasts), codes=tuple(sorted(worker.codes)),
        )  # fmt: skip
        self.handle(FromWorker(WorkerId(worker.worker), ready))
        for report in list(worker.unacked):
            self.report(worker, report)
        if worker.skipped:
            self.return_skipped(worker)
        if worker.long and worker.running:
            self.report_started(worker)

    def start(self, worker: PhysicalWorker) -> bool:
        """Begin with the next lease, unless it is revoked: from now on the user's code may be running."""
        lease = worker.queue.popleft()
        if lease <= worker.revoked:
            worker.started = worker.ended
            worker.skipped.append(lease)
            if worker.connected:
                self.return_skipped(worker)
            return False
        assert lease not in self.given_back, f"lease {lease} starts, although it was given back"
        worker.started = worker.running = lease
        worker.started_at = self.now
        worker.long = False
        task = self.model.tasks[self.task_of[lease]]
        if task.lease == lease:
            assert worker.codes.issuperset(task.spec.bodies), f"the code of task {task.taskid} did not reach its worker"
        self.starts[task.taskid] = self.starts.get(task.taskid, 0) + 1
        if task.spec.on_lost is OnLost.FAIL:
            again = self.starts[task.taskid] - 1
            assert again <= task.fresh_starts, f"task {task.taskid}, which may run only once, runs again"
        return True

    def report_started(self, worker: PhysicalWorker) -> None:
        worker.long = True
        self.reported_starts.add(worker.running)
        elapsed = self.now - worker.started_at
        self.handle(FromWorker(WorkerId(worker.worker), Started(worker.running, elapsed)))

    def finish(self, worker: PhysicalWorker, outcome: Outcome, seconds: float) -> None:
        worker.results.append((worker.running, outcome, VALUES.get(outcome, ERROR), seconds))
        if outcome is Outcome.OK:
            worker.kept[worker.running] = seconds
        worker.ended, worker.running = worker.running, 0

    def send_results(self, worker: PhysicalWorker) -> None:
        leases, outcomes, values, seconds = zip(*worker.results, strict=True)
        worker.results.clear()
        worker.n_finished += 1
        report = Finished(
            seq=worker.n_finished, leases=leases, outcomes=outcomes, values=values, seconds=seconds, outputs={}
        )
        worker.unacked.append(report)
        self.report(worker, report)

    def report(self, worker: PhysicalWorker, report: Finished) -> Effects:
        self.model.now = self.now
        for lease, outcome in zip(report.leases, report.outcomes, strict=True):
            task = self.model.tasks[self.task_of[lease]]
            if task.lease == lease:
                self.model.finish(task, Outcome(outcome), self.now)
        effects = self.handle(FromWorker(WorkerId(worker.worker), report))
        worker.read()
        return effects

    def give_back(self, worker: PhysicalWorker) -> None:
        leases = tuple(reversed(worker.queue))
        worker.queue.clear()
        self.return_leases(worker, leases)

    def return_skipped(self, worker: PhysicalWorker) -> None:
        leases = tuple(worker.skipped)
        worker.skipped.clear()
        self.return_leases(worker, leases)

    def return_leases(self, worker: PhysicalWorker, leases: tuple[int, ...]) -> None:
        self._give_back(leases)
        self.handle(FromWorker(WorkerId(worker.worker), Returned(leases, is_busy=bool(worker.running))))

    def _give_back(self, leases) -> None:
        for lease in leases:
            task = self.model.tasks[self.task_of[lease]]
            if task.lease == lease:
                self.model.give_back(task)
                self.given_back.add(lease)

    def revoke(self) -> None:
        """Let the supervisor revoke: it writes the word, and reads what has started and the results before that."""
        order = self.revokes.pop(0)
        worker = self.workers.get(order.worker)
        if worker is not None:
            worker.revoked = max(worker.revoked, order.until)
            kept = {lease: seconds for lease, seconds in worker.kept.items() if lease < worker.started}
            values = (VALUES[Outcome.OK],) * len(kept)
            answer = Revoked(order.worker, order.until, worker.started, tuple(kept), values, tuple(kept.values()))
            self.revoked.append(answer)

    def report_revoked(self) -> None:
        answer = self.revoked.pop(0)
        for lease in answer.leases:
            task = self.model.tasks[self.task_of[lease]]
            if task.lease == lease:
                self.model.finish(task, Outcome.OK, self.now)
        held = sorted(task.lease for task in self.model.held_by(answer.worker))
        self._give_back(lease for lease in held if answer.started < lease <= answer.until)
        self.handle(FromParent(answer))

    def die(self, worker: PhysicalWorker, *, planned: bool, over_memory: bool = False) -> None:
        down = WorkerDown(
            worker=worker.worker,
            pid=1,
            started=worker.started,
            running=bool(worker.running),
            note="SIGKILL",
            planned=planned,
            over_memory=11 if over_memory else 0,
        )
        for task in self.model.held_by(worker.worker):
            blamed = task.lease == worker.started and not planned
            may_have_started = task.lease <= worker.started
            self.model.lose(task, self.now, may_have_started=may_have_started, blamed=blamed, over_memory=over_memory)
        blamed = worker.unreported[:1] if worker.connected and not worker.running and not planned else []
        for number in self.broadcasts.keys() & blamed:
            self.broadcasts[number] += 1
        self.bury(worker)
        self.downs.append(down)
        if not self.live_workers() - {worker.worker}:
            self.model.redeliver()
        self.handle(FromParent(down))

    def lose_place(self, worker: PhysicalWorker) -> None:
        """Let the place of a worker go, with its page."""
        self._lose_held(worker)
        self.bury(worker)
        down = WorkerDown(worker=worker.worker, pid=1, started=0, running=False, note="node lost", place_lost=True)
        self.downs.append(down)
        if not self.live_workers() - {worker.worker}:
            self.model.redeliver()
        self.handle(FromParent(down))

    def _lose_held(self, worker: PhysicalWorker) -> None:
        held = sorted(self.model.held_by(worker.worker), key=lambda task: task.lease)
        known = [task for task in held if task.lease in self.reported_starts]
        for task in held:
            self.model.lose_place(task, self.now, may_have_run=task is (known[-1] if known else held[0]))

    def set_up(self, worker: PhysicalWorker, problem: str) -> None:
        number = min(number for number, problem in worker.broadcasts.items() if problem is None)
        context = worker.contexts[number]
        assert context is None or context in worker.codes, "the context of a broadcast did not reach its worker"
        worker.broadcasts[number] = problem
        if worker.connected:
            worker.unreported.remove(number)
            self.handle(FromWorker(WorkerId(worker.worker), SetUp(number, problem)))

    def bury(self, worker: PhysicalWorker) -> None:
        del self.workers[worker.worker]
        self.dead[worker.worker] = worker
        for client in self.clients.values():
            if client.worker == worker.worker:  # the client died with it, without a message
                client.connected = False
                client.barriers.clear()

    # checks

    def blame(self) -> dict[int, int]:
        """Return the tasks that failed with a dependency, and with which."""
        return {
            taskid: decode_failure(value).parent
            for record in self.records
            if isinstance(record, messages.Ended)
            for taskid, reason, value in zip(record.ids, record.reasons, record.values, strict=True)
            if reason == "dependency"
        }

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.handle(Tick())

    def _check_waits(self) -> None:
        waits = self.scheduler.farm.waits
        assert (waits.lending if waits is not None else set()) == self.lending()

    def check(self) -> None:
        """Check every property that holds between two events."""
        farm = self.scheduler.farm
        check_farm(farm, self.time)
        self._check_model()
        self._check_restorable()
        self._check_no_worker_idles()
        self._check_tasks_are_asked_back()
        self._check_clients()
        self._check_clocks()
        self._check_broadcasts()
        self._check_waits()
        self._check_demand()
        self._check_code()
        self._check_subscribers()

    def _check_demand(self) -> None:
        """Check that the supervisor knows how many tasks can run; tasks that wait for a retry may count as well."""
        if self.engine is None:
            assert self.demand == -1
            return
        limit = self.n_workers + self.scheduler.farm.n_substitutes
        leased = [task for task in self.model.live() if task.lease]
        n_waiting = sum(self.model.waits(task) for task in self.model.live())
        least = min(limit, len(leased) + len(self.model.runnable(self.now)))
        assert least <= self.demand <= min(limit, len(self.model.live()) - n_waiting)

    def _check_model(self) -> None:
        farm = self.scheduler.farm
        ended = [taskid for record in self.records if isinstance(record, messages.Ended) for taskid in record.ids]
        assert len(ended) == len(set(ended)), "a task has ended twice"
        for taskid, task in self.model.tasks.items():
            if taskid in self.model.cleared:
                assert not farm.knows(taskid)
                continue
            assert farm.end_of(taskid) == task.end, f"task {taskid}: {farm.end_of(taskid)!r}, expected {task.end!r}"
            if task.end is None:
                self._check_live(task)

    def _check_live(self, task: Expected) -> None:
        live = self.scheduler.farm.tasks[task.taskid]
        past = live.past()
        assert (live.lease, past.retries, past.deaths) == (task.lease, task.retries, task.deaths)
        assert past.place_losses == task.place_losses
        assert (past.recovering, past.aborting) == (task.recovering, task.aborting)
        assert (task.taskid in self.scheduler.farm.held) == task.held
        assert self.scheduler.farm.priority_of(live) == task.priority
        assert (live.state is State.WAITING) == self.model.waits(task)
        assert live.attempts <= 2 * (task.main.retries + 1 + 3 + MAX_PLACE_LOSSES) + 4, "attempts have no bound"

    def _check_restorable(self) -> None:
        now = durable(self.scheduler)
        assert durable(Scheduler(self.records)) == now, "the records lead to another state"
        assert durable(Scheduler(self.journal)) == now, "the records since the baseline lead to another state"

    def _check_code(self) -> None:
        """Check that needed code is in the store, and that code without a need or a name is not."""
        needed = {
            digest
            for task in self.model.tasks.values()
            if task.taskid not in self.model.cleared
            for digest in codes.all_bodies(task.main)
        }
        needed |= {CONTEXT for kept in self.scheduler.farm.broadcasts.values() if kept.record.context}
        named = {digest for client in self.clients.values() if client.connected for digest in client.defined}
        there = self.scheduler.farm.codes.sizes.keys()
        assert needed <= there <= needed | named, f"there is {there}, needed {needed}, and named {named}"
        asked = {digest for client in self.clients.values() for digests in client.to_release for digest in digests}
        asked |= {digest for client in self.clients.values() if client.connected for digest in client.unnamed}
        assert there - needed <= asked, "no client was asked to release code that nothing needs"
        for worker in self.scheduler.farm.workers.values():
            if worker.ready and not worker.pending:
                assert worker.known.keys() <= there, f"worker {worker.worker} keeps code that was dropped"

    def _check_broadcasts(self) -> None:
        kept = self.scheduler.farm.broadcasts
        assert {number: each.deaths for number, each in kept.items()} == self.broadcasts
        for worker in self.workers.values():
            if worker.connected:
                spared = {number for number, deaths in self.broadcasts.items() if deaths >= 3}
                known = {*worker.unreported, *worker.broadcasts}
                assert self.broadcasts.keys() - spared <= known, f"worker {worker.worker} was not sent a broadcast"
                if not worker.unreported:
                    known = self.scheduler.farm.workers[worker.worker].set_up
                    assert known == worker.broadcasts, "the problem of a broadcast is not known"

    def _check_subscribers(self) -> None:
        """Check that a subscriber from the start knows the same as a new one."""
        farm = self.scheduler.farm
        self.handle(PeerLost(Session("d" * 16)))
        self.subscribe("d" * 16)  # the others receive their pending changes first
        old, fresh = self.subscriber, self.newcomer
        assert fresh.unfinished() == {taskid: CODES[task.state] for taskid, task in farm.tasks.items()}
        assert fresh.tasks.keys() - fresh.unfinished() == set(farm.finished_ids())
        assert {
            taskid: (old.tasks.get(taskid), fresh.tasks.get(taskid))
            for taskid in old.tasks.keys() | fresh.tasks.keys()
            if self._comparable(old.tasks.get(taskid)) != self._comparable(fresh.tasks.get(taskid))
        } == {}, "a change was not sent to the subscriber"
        assert (old.whole, old.workers) == (fresh.whole, fresh.workers)

    def _comparable(self, row: tuple | None) -> tuple | None:
        """Return a task's row without the time of its retry, if the wall clock has jumped since it was sent."""
        if row is None or row[-1] is None or not self.wall_ahead:
            return row
        return *row[:-1], msgspec.structs.replace(row[-1], not_before=None)

    def idle(self) -> list[int]:
        """Return the live workers that may get tasks and hold none, if there is capacity for one more."""
        if self.scheduler.farm.waits is not None and self.n_active() >= self.n_workers:
            return []
        states = self.scheduler.farm.workers
        return [
            worker
            for worker in self.live_workers()
            if not self.model.held_by(worker) and not self.workers[worker].unreported
            if not (states[worker].busy and self.workers[worker].has_to_report())  # a revoked one, until it reports
        ]

    def _check_no_worker_idles(self) -> None:
        is_tight = self.is_shared() and any(self.model.held_by(other) for other in self.workers)
        for worker in self.idle():
            idle_for = [task for task in self.model.runnable(self.now) if worker not in task.refuses(self.now)]
            if is_tight:
                idle_for = [task for task in idle_for if self.fits_beside_all(task)]
            assert not idle_for, f"worker {worker} idles while task {idle_for[0].taskid} waits"

    def _check_tasks_are_asked_back(self) -> None:
        """Check that a worker was asked for the tasks behind its first one if another is idle, or if that one waits."""
        has_idle = bool(self.idle())
        for worker in self.workers.values():
            held = [task.lease for task in self.model.held_by(worker.worker)]
            is_due = has_idle or worker.worker in self.lending()
            if worker.connected and len(held) > 1 and is_due:
                assert worker.asked_back == max(held), f"worker {worker.worker} was not asked for lease {max(held)}"
            at_home = self.scheduler.farm.engine is None
            if at_home and worker.connected and len(held) > 1 and sorted(held)[1] <= worker.asked_back:
                is_checked = self.scheduler.farm.workers[worker.worker].may_be_stuck
                assert is_checked or worker.revoke_asked >= sorted(held)[1], f"worker {worker.worker} may be stuck"
            if min(held, default=0) != worker.first:
                worker.first, worker.first_at = min(held, default=0), self.now

    def _check_clients(self) -> None:
        for client in self.clients.values():
            if client.connected:
                ended = {taskid for taskid in client.mine if self.model.tasks[taskid].end is not None}
                assert ended - self.model.cleared <= client.ends, f"{client.session} did not receive an end"
                for seq, waited in client.barriers.items():
                    over = all(self.model.tasks[taskid].end is not None for taskid in waited)
                    assert not over, f"the barrier {seq} of {client.session} is never answered"

    def _check_clocks(self) -> None:
        for task in self.model.runnable(self.now):
            live = self.askable(task)
            if live:
                idle_and_unwilling = live <= task.refuses(self.now) and not self.demand > len(self.live_workers())
                task.clock = (self.now if task.clock is None else task.clock) if idle_and_unwilling else None
            if task.clock is not None and self.engine is None:  # the demand may have changed within a step
                assert self.now - task.clock < UNREACHABLE_AFTER, f"task {task.taskid} is refused by all, for ever"


def amounts_of(task: Expected) -> dict[str, int]:
    """Return what an attempt of `task` takes."""
    return (task.spec.needs or Needs()).amounts()


def durable(scheduler: Scheduler) -> object:
    """Return the state that must survive a restart."""
    farm = scheduler.farm
    tasks = {
        taskid: (
            task.state is State.WAITING,
            task.lease,
            task.attempts,
            task.current_body,
            (
                past.retries,
                past.deaths,
                past.place_losses,
                past.recovering,
                past.aborting,
                past.avoid,
                frozenset(past.unmet),
            ),
            task.retry_of,
        )
        for taskid, task in farm.tasks.items()
        for past in [task.past()]
    }
    steered = farm.held, farm.moved, farm.retried, farm.broadcasts, farm.next_broadcast
    code = farm.codes.sizes, farm.codes.needs(), farm.codes.spans()
    leases = {lease: (task.taskid, task.worker) for lease, task in farm.leases.items()}
    held = farm.resources.held
    return tasks, steered, leases, held, bytes(farm.ended), farm.next_lease, code, farm.names, farm.incarnation
