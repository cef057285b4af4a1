"""A conversation with a bare scheduler: the messages of clients, workers and supervisor, without these processes.

`Conversation.handle` passes one event and returns its effects; the farm's invariants are checked after each, and the
records are kept, so that a test can restart the scheduler from them at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskfc_ext.core.effects import ClientSend, Effects, Recall, SendList, SendRun, SupervisorSend, WorkerSend
from taskfc_ext.core.effects import Step as AuditStep
from taskfc_ext.core.events import FromClient, FromParent, FromWorker, Now, PeerLost, Recalled, Tick
from taskfc_ext.core.handlers.audit import audit
from taskfc_ext.core.handlers.retry_request import find_failed_because_of
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.core.state.farm import Farm as FarmState
from taskfc_ext.core.state.validate import validate
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.ids import PROTOCOL, Session, WorkerId
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.payloads import Failure, Outcome, Reason, decode_failure, encode_failure
from taskfc_ext.protocol.records import Record, Submitted, decode_record, encode_record
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.supervisor_messages import EngineState, Farm, Revoked, WorkerDown, WorkerUp
from taskfc_ext.protocol.worker_messages import Finished, Ready, Returned, Run, Started

CODE = b"c" * 16
ALICE = "a" * 16
BOB = "b" * 16
ERROR = encode_failure(Failure(Reason.ERROR, "no luck", type_name="ValueError"))


def spec(**options: object) -> Spec:
    """Return a spec of the function `f`."""
    return Spec(**{"kind": Kind.FUNCTION, "code": CODE, "label": "f", **options})


def live_in(listed: SendList) -> list[TaskInfo]:
    """Return the unfinished tasks of a list, those with the lowest ids first: the search is gone through to its end."""
    older = [each for each in listed.more if isinstance(each, TaskInfo)]
    return [*reversed(older), *listed.live]


def check_farm(farm: FarmState, now: Now) -> None:
    """Check all invariants, and that an audit finds nothing and changes nothing."""
    validate(farm)
    step = AuditStep()
    audit(farm, step, now)
    assert (step.repairs, step.records, step.sends) == ([], [], [])


class Conversation:
    """One scheduler and the events passed to it; only a test moves the time."""

    def __init__(
        self,
        *,
        workers: int = 0,
        limit: int | None = None,
        engine: EngineState | None = None,
        records: Iterable[Record] = (),
        **options: object,
    ) -> None:
        self.options, self.engine = options, engine
        self.now = 1000.0
        self.records: list[Record] = list(records)
        self.scheduler = Scheduler(self.records, **options)
        self.checked = True
        self.seqs: dict[str, int] = {}
        self.finished_seq: dict[int, int] = {}
        self.keep(self.scheduler.begin(self.time))
        n_workers = workers if limit is None else limit
        self.handle(FromParent(Farm(supervisor_pid=1, n_workers=n_workers, alive=(), dead=(), engine=engine)))
        for session in (ALICE, BOB):
            self.hello(session)
        for worker in range(workers):
            self.join(worker)

    @property
    def time(self) -> Now:
        return Now(self.now, 1_700_000_000.0 + self.now)

    @property
    def farm(self):
        return self.scheduler.farm

    def keep(self, effects: Effects) -> Effects:
        self.records += [decode_record(encode_record(record)) for record in effects.records]
        return effects

    def handle(self, event) -> Effects:
        effects = self.keep(self.scheduler.handle(event, self.time))
        if self.checked:
            check_farm(self.scheduler.farm, self.time)
        return effects

    def restart(self, alive: Iterable[int] = (), dead: Iterable[WorkerDown] = (), n_workers: int = 0) -> Effects:
        """Start a new controller on the records; the clients say hello to it.

        Return the effects of the supervisor's first word.
        """
        self.scheduler = Scheduler(self.records, **self.options)
        self.keep(self.scheduler.begin(self.time))
        ups = tuple(WorkerUp(worker, 100 + worker) for worker in alive)
        n_workers = n_workers or len(ups)
        farm = Farm(supervisor_pid=1, n_workers=n_workers, alive=ups, dead=tuple(dead), engine=self.engine)
        effects = self.handle(FromParent(farm))
        for session in (ALICE, BOB):
            self.hello(session)
        return effects

    # clients

    def hello(self, session: str = ALICE, worker: int = -1) -> Effects:
        """Open a connection, and define the code that is named on it."""
        hello = messages.Hello(PROTOCOL, "0", "3.11", session, owner=session[0], worker=worker)
        effects = self.handle(FromClient(Session(session), hello))
        self.client(session, messages.Define(CODE, b"code of f"))
        return effects

    def client(self, session: str, message: messages.ClientMessage) -> Effects:
        return self.handle(FromClient(Session(session), message))

    def ask(self, kind: type[messages.Request], session: str = ALICE, **fields: object) -> Effects:
        seq = self.seqs[session] = self.seqs.get(session, 0) + 1
        return self.client(session, kind(seq=seq, **fields))

    def submit(self, n: int = 1, session: str = ALICE, *, name=None, after=(), after_any=False, inputs=(), **options):
        """Submit `n` tasks; return their ids."""
        first = self.farm.next_id
        bodies = tuple(b"body %d" % i for i in range(first, first + n))
        fields = {"name": name, "after": after, "after_any": after_any, "inputs": inputs}
        effects = self.ask(messages.Submit, session, spec=spec(**options), bodies=bodies, **fields)
        accepted = [m for m in messages_to(effects, session) if isinstance(m, messages.Accepted)]
        assert accepted, messages_to(effects, session)
        assert accepted[0].first == first
        return list(range(first, first + n))

    def retry(self, taskid: int, session: str = ALICE) -> Effects:
        """Run a finished task again; return the effects."""
        return self.recall(self.ask(messages.Retry, session, taskid=taskid))

    def recall(self, effects: Effects) -> Effects:
        """Answer the `Recall` of `effects` and return the new effects, or `effects` where there is none."""
        for send in effects.sends:
            if isinstance(send, Recall):
                return self.handle(answer_recall(send, self.records))
        return effects

    def reply(self, value: object = None, session: str = ALICE) -> messages.Reply:
        """Return the answer to the last request of `session`, if it is `value`."""
        return messages.Reply(self.seqs[session], value)

    def lose_client(self, session: str = ALICE) -> Effects:
        return self.handle(PeerLost(Session(session)))

    # workers

    def join(self, worker: int) -> Effects:
        self.up(worker)
        return self.ready(worker)

    def up(self, worker: int) -> Effects:
        """Start a worker process that has sent nothing yet."""
        return self.handle(FromParent(WorkerUp(worker, 100 + worker)))

    def ready(self, worker: int, leases: tuple[int, ...] = ()) -> Effects:
        return self.worker(worker, Ready(protocol=PROTOCOL, worker=worker, pid=100, python="3.11", leases=leases))

    def worker(self, worker: int, message) -> Effects:
        return self.handle(FromWorker(WorkerId(worker), message))

    def leases_of(self, worker: int) -> list[int]:
        """Return the leases that the scheduler thinks this worker holds."""
        return list(self.farm.workers[worker].leases)

    def lease_of(self, taskid: int) -> int:
        return self.farm.tasks[taskid].lease

    def start(self, worker: int, lease: int | None = None, elapsed: float = 0.0) -> Effects:
        return self.worker(worker, Started(self.leases_of(worker)[0] if lease is None else lease, elapsed))

    def finish(
        self,
        worker: int,
        leases: Iterable[int] | None = None,
        outcome: Outcome = Outcome.OK,
        value: bytes | None = None,
        seconds: float = 0.5,
    ) -> Effects:
        """Let the worker report the first lease that it holds, or `leases`."""
        leases = tuple(self.leases_of(worker)[:1] if leases is None else leases)
        seq = self.finished_seq[worker] = self.finished_seq.get(worker, 0) + 1
        if value is None:
            value = {Outcome.OK: b"value", Outcome.REFUSED: b"no gpu", Outcome.NOT_NOW: b"busy"}.get(outcome, ERROR)
        n = len(leases)
        report = Finished(seq=seq, leases=leases, outcomes=(outcome,) * n, values=(value,) * n, seconds=(seconds,) * n)
        return self.worker(worker, report)

    def give_back(self, worker: int, leases: Iterable[int]) -> Effects:
        return self.worker(worker, Returned(tuple(leases)))

    def revoked(self, worker: int, until: int, *, started: int, kept: Iterable[int] = ()) -> Effects:
        """Let the supervisor answer a `Revoke`, with the results of the leases `kept`."""
        leases = tuple(kept)
        values, seconds = (b"value",) * len(leases), (0.02,) * len(leases)
        return self.handle(FromParent(Revoked(worker, until, started, leases, values, seconds)))

    def die(self, worker: int, *, started: int | None = None, running: bool = True, planned: bool = False) -> Effects:
        """Let the worker die: by default in the first lease that it holds."""
        if started is None:
            started = next(iter(self.leases_of(worker)), 0) if worker in self.farm.workers else 0
        down = WorkerDown(worker=worker, pid=0, started=started, running=running, note="SIGKILL", planned=planned)
        return self.handle(FromParent(down))

    def lose_place(self, worker: int, *, planned: bool = False) -> Effects:
        """Let the place of a worker go, with its page."""
        down = WorkerDown(
            worker=worker, pid=0, started=0, running=False, note="node lost", planned=planned, place_lost=True
        )
        return self.handle(FromParent(down))

    # time

    def wait(self, seconds: float) -> Effects:
        """Let time pass."""
        self.now += seconds
        return self.handle(Tick())

    def wait_with_ticks(self, seconds: float) -> None:
        """Let time pass in which the controller runs: its loop ticks every few seconds."""
        end = self.now + seconds
        while self.now < end:
            self.wait(min(5.0, end - self.now))

    def state(self, taskid: int) -> str:
        """Return the state of a task as clients see it, with the reason of a failure."""
        ended = self.farm.end_of(taskid)
        if ended is None:
            return self.farm.tasks[taskid].state.value
        return ended or "succeeded"


def answer_recall(recall: Recall, records: Iterable[Record]) -> Recalled:
    """Return the answer of a store with these records."""
    batches, failed_with = [], {}
    for record in records:
        if isinstance(record, Submitted):
            batches.append(record)
        elif isinstance(record, messages.Ended):
            for taskid, value in zip(record.ids, record.values, strict=True):
                if taskid in recall.dependants:
                    failed_with[taskid] = decode_failure(value).parent
    again = (recall.request.taskid, *find_failed_because_of(recall.roots, failed_with))
    found = [(batch, range(batch.first, batch.first + len(batch.bodies))) for batch in batches]
    return Recalled(
        recall.session,
        recall.request,
        tuple((batch, here) for batch, ids in found if (here := tuple(taskid for taskid in again if taskid in ids))),
    )


def messages_to(effects: Effects, session: str = ALICE) -> list:
    return [send.message for send in effects.sends if isinstance(send, ClientSend) and send.session == session]


def orders_to(effects: Effects, worker: int) -> list:
    return [send.message for send in effects.sends if isinstance(send, WorkerSend) and send.worker == worker]


def runs_to(effects: Effects, worker: int) -> list[Run]:
    orders = orders_to(effects, worker)
    return [order.run if isinstance(order, SendRun) else order for order in orders if isinstance(order, Run | SendRun)]


def to_supervisor(effects: Effects) -> list:
    return [send.message for send in effects.sends if isinstance(send, SupervisorSend)]


def dispatched_in(effects: Effects) -> list[tuple[int, int]]:
    """Return (worker, task) of each dispatch."""
    return [
        (send.worker, taskid)
        for send in effects.sends
        if isinstance(send, WorkerSend) and isinstance(send.message, Run | SendRun)
        for taskid in (send.message.run if isinstance(send.message, SendRun) else send.message).ids
    ]


def held_order(talk: Conversation, workers: Iterable[int] = ()) -> list[int]:
    """Let one worker run all tasks, one by one, and return them in that order."""
    for worker in workers:
        talk.join(worker)
    worker = next(iter(talk.farm.workers))
    order = []
    while talk.leases_of(worker):
        order.append(next(iter(talk.farm.workers[worker].leases.values())))
        talk.finish(worker, seconds=1.0)
    return order
