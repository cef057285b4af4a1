"""The scheduler in a physical world: random events in any order, against a model."""

from __future__ import annotations

import os

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskfc_ext.core.events import FromClient, FromWorker
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.ids import Session, WorkerId
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.records import Leased
from taskfc_ext.protocol.resources import Needs
from taskfc_ext.protocol.spec import Kind, OnLost, Recovery, Spec
from taskfc_ext.protocol.supervisor_messages import WorkerDown, WorkerUp
from taskfc_ext.protocol.worker_messages import Finished, Progress, PropertiesChanged
from tests.core.conversation import CODE
from tests.core.world import CONTEXT, DEPEND, OTHER_CODE, RECOVERY_CODE, World

EXAMPLES = {"dev": 100, "ci": 600, "nightly": 20_000}
"""By profile; 600 take 25 s of one core. `TASKFC_HYPOTHESIS` sets another number."""


def n_examples() -> int:
    profile = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
    return int(os.environ.get("TASKFC_HYPOTHESIS") or EXAMPLES.get(profile, EXAMPLES["dev"]))


clients = st.sampled_from(["a" * 16, "b" * 16])
pick = st.integers(0, 1_000_000)
NEEDS = [
    Needs(cores=2),
    Needs(cores=3),
    Needs(gpus=1),
    Needs(gpus=2, memory=4),
    Needs(memory=7),
    Needs(others=(("licence", 1),)),
]
recoveries = st.none() | st.builds(
    lambda retries, on_lost, needs: Recovery(
        Spec(kind=Kind.FUNCTION, code=RECOVERY_CODE, label="r", retries=retries, on_lost=on_lost, needs=needs),
        b"recovery",
    ),
    st.integers(0, 1),
    st.sampled_from(OnLost),
    st.sampled_from([None, None, *NEEDS]),
)
specs = st.builds(
    Spec,
    kind=st.just(Kind.FUNCTION),
    code=st.sampled_from([CODE, CODE, OTHER_CODE]),
    label=st.just("f"),
    retries=st.integers(0, 2),
    timeout=st.sampled_from([None, None, 5.0]),
    retry_timeouts=st.booleans(),
    priority=st.sampled_from([0, 0, 1]),
    on_lost=st.sampled_from(OnLost),
    backoff=st.sampled_from([0.0, 0.0, 4.0]),
    depend=st.sampled_from([None, None, DEPEND]),
    recovery=recoveries,
    needs=st.sampled_from([None] * 5 + NEEDS),
    retry_memory=st.booleans(),
)
SHORT = Spec(kind=Kind.FUNCTION, code=CODE, label="f")
seconds = st.sampled_from([0.0001, 0.001, 0.02, 0.02, 1.0])
outcomes = st.sampled_from([Outcome.OK, Outcome.OK, *Outcome])


class SchedulerMachine(RuleBasedStateMachine):
    """Rules are the possible events; their worker or task is drawn by position."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        for _ in range(2):
            self.world.join()
            self.world.connect(self.world.workers[self.world.next_worker - 1])

    @initialize(has_engine=st.booleans())
    def begin(self, has_engine):
        """Run the workers at home, or on an engine with some places to come."""
        if has_engine:
            self.world.use_engine()
            self.world.n_workers = 4
            self.world.ask(self.world.clients["a" * 16], messages.Scale, n=4)

    def teardown(self) -> None:
        self.world.end()

    def one_of(self, things, n):
        things = list(things)
        return things[n % len(things)] if things else None

    def client(self, name):
        client = self.world.clients[name]
        if not client.connected:
            self.world.hello(client)
        return client

    # clients

    @rule(name=clients, spec=specs, n=st.integers(1, 4), picks=st.lists(pick, max_size=2), after_any=st.booleans(),
          inputs=st.booleans(), by_seq=st.booleans())  # fmt: skip
    def submit(self, name, spec, n, picks, after_any, inputs, by_seq):
        world = self.world
        client = self.client(name)
        known = [taskid for taskid in world.model.tasks if taskid not in world.model.cleared]
        parents = tuple(dict.fromkeys(self.one_of(known, p) for p in picks if known))
        after, needed = (parents[:1], parents[1:]) if inputs else (parents, ())
        refs = tuple(self.by_seq(client, taskid) for taskid in after) if by_seq else after
        first = world.scheduler.farm.next_id
        ids = range(first, first + n)
        world.model.submit(ids, name, spec, after, after_any, needed)
        client.mine.update(ids)
        bodies = (b"body",) * n
        world.define(client, spec)
        answer = world.ask(
            client, messages.Submit, spec=spec, bodies=bodies, after=refs, after_any=after_any, inputs=needed
        )
        assert answer == messages.Accepted(client.seq, first)

    def by_seq(self, client, taskid):
        """Name a task by its submission, if this client may."""
        for seq, answer in client.answers.items():
            if isinstance(answer, messages.Accepted) and seq >= client.acked:
                index = taskid - answer.first
                if 0 <= index < len(client.asked[seq].bodies):
                    return (seq, index)
        return taskid

    @rule(name=clients)
    def release(self, name):
        if self.world.clients[name].connected:
            self.world.release(self.world.clients[name])

    @rule(name=clients)
    def define_for_nothing(self, name):
        """Define code without a submission that names it."""
        self.world.define(self.client(name), Spec(kind=Kind.FUNCTION, code=OTHER_CODE, label="f"), names_it=False)

    @rule(name=clients, n=pick)
    def resend(self, name, n):
        client = self.client(name)
        seq = self.one_of([seq for seq in client.answers if self.world.is_settled(client, seq)], n)
        if seq is None:
            return
        before = len(self.world.records)
        answers = self.world.handle(FromClient(Session(name), client.asked[seq])).sends
        assert len(self.world.records) == before, "a repeat changed something"
        assert len(answers) == 1 or seq < client.acked, "a repeat is answered once, while the client may need it"

    @rule(name=clients)
    def acknowledge(self, name):
        client = self.client(name)
        client.acked = min(client.barriers, default=client.seq + 1)
        self.world.ask(client, messages.Ping)

    @rule(name=clients, n=pick, queued_only=st.booleans())
    def abort(self, name, n, queued_only):
        world = self.world
        client = self.client(name)
        task = self.one_of(world.model.live(), n)
        if task is None:
            return
        left_alone = queued_only and bool(task.lease)
        again = task.aborting
        if not left_alone and not again:
            world.model.abort(task.taskid)
        answer = world.ask(client, messages.Abort, taskid=task.taskid, queued_only=queued_only)
        if left_alone:
            assert answer == messages.Reply(client.seq, False)
        elif again:
            assert answer.error is messages.ErrorKind.UNKNOWN_TASK
        else:
            assert answer == messages.Reply(client.seq, True)

    @rule(name=clients, picks=st.lists(pick, min_size=1, max_size=5))
    def abort_many(self, name, picks):
        world = self.world
        client = self.client(name)
        asked, live, _ = self.some(picks)
        aborted = [taskid for taskid in live if not world.model.tasks[taskid].aborting]
        for taskid in aborted:
            world.model.abort(taskid)
        answer = world.ask(client, messages.AbortTasks, taskids=asked)
        assert answer == messages.Reply(
            client.seq, [taskid for taskid in dict.fromkeys(asked) if taskid not in aborted]
        )

    @rule(name=clients, n=pick)
    def abort_what_has_ended(self, name, n):
        ended = [taskid for taskid, task in self.world.model.tasks.items() if task.end is not None]
        taskid = self.one_of([*ended, 10**6, -1], n)
        answer = self.world.ask(self.client(name), messages.Abort, taskid=taskid)
        assert answer.error is messages.ErrorKind.UNKNOWN_TASK

    def some(self, picks):
        """Return ids of tasks, also finished and unknown ones, and the unfinished and the other ones of them."""
        model = self.world.model
        known = [*model.tasks, 10**6]
        asked = tuple(self.one_of(known, p) for p in picks)
        ids = list(dict.fromkeys(asked))
        live = [taskid for taskid in ids if taskid in model.tasks and model.tasks[taskid].end is None]
        return asked, live, [taskid for taskid in ids if taskid not in live]

    @rule(name=clients, picks=st.lists(pick, max_size=3), held=st.booleans())
    def hold(self, name, picks, held):
        client = self.client(name)
        asked, live, wrong = self.some(picks)
        given = self.world.model.hold(live, held)
        answer = self.world.ask(client, messages.Hold, taskids=asked, held=held)
        if wrong:
            assert (answer.error, answer.value) == (messages.ErrorKind.UNKNOWN_TASKS, {"taskids": wrong})
        else:
            assert answer == messages.Reply(client.seq, given)

    @rule(name=clients)
    def release_all(self, name):
        client = self.client(name)
        held = tuple(task.taskid for task in self.world.model.live() if task.held)
        self.world.model.hold(held, False)
        assert self.world.ask(client, messages.Hold, taskids=held, held=False) == messages.Reply(client.seq, [])

    @rule(name=clients, picks=st.lists(pick, max_size=3), priority=st.sampled_from([-1, 0, 1, 2]))
    def move(self, name, picks, priority):
        client = self.client(name)
        asked, live, wrong = self.some(picks)
        for taskid in live:
            self.world.model.tasks[taskid].priority = priority
        answer = self.world.ask(client, messages.Move, taskids=asked, priority=priority)
        if wrong:
            assert (answer.error, answer.value) == (messages.ErrorKind.UNKNOWN_TASKS, {"taskids": wrong})
        else:
            assert answer == messages.Reply(client.seq)

    @rule(name=clients, n=pick)
    def retry(self, name, n):
        world, client = self.world, self.client(name)
        model, next_id = world.model, world.scheduler.farm.next_id
        ended = [task.taskid for task in model.tasks.values() if task.end is not None]
        failed = [taskid for taskid in ended if model.tasks[taskid].end and taskid not in model.cleared]
        taskid = self.one_of([*ended, *failed * 3], n)
        if taskid is None:
            return
        if taskid in model.cleared:
            assert world.ask(client, messages.Retry, taskid=taskid).error is messages.ErrorKind.UNKNOWN_TASK
            return
        pairs = model.retry(taskid, name, next_id, world.blame())
        client.mine.update(new for _, new in pairs or ())
        answer = world.ask(client, messages.Retry, taskid=taskid)
        if pairs is None:
            assert answer.error is messages.ErrorKind.RESULT_EXPIRED
        else:
            assert answer == messages.Reply(client.seq, pairs)

    @rule(name=clients, n=pick)
    def retry_what_has_not_ended(self, name, n):
        task = self.one_of(self.world.model.live(), n)
        if task is not None:
            answer = self.world.ask(self.client(name), messages.Retry, taskid=task.taskid)
            assert answer.error is messages.ErrorKind.NOT_ALLOWED

    @rule(name=clients, picks=st.none() | st.lists(pick, max_size=3))
    def barrier(self, name, picks):
        world = self.world
        client = self.client(name)
        known = list(world.model.tasks)
        live = [task.taskid for task in world.model.live()]
        ids = None if picks is None else tuple(self.one_of(known, p) for p in picks if known)
        waited = {taskid for taskid in (live if ids is None else ids) if world.model.tasks[taskid].end is None}
        if waited:
            client.barriers[client.seq + 1] = waited
        answer = world.ask(client, messages.Barrier, taskids=tuple(live) if ids is None else ids)
        assert (answer is None) == bool(waited)

    def waiter(self, n):
        """Return a worker whose task may wait, since its start was reported, and the client on it."""
        long = [w for w in self.world.workers.values() if w.connected and w.running and w.long]
        worker = self.one_of(long, n)
        return (worker, self.world.client_on(worker)) if worker is not None else (None, None)

    @rule(n=pick, spec=specs, n_tasks=st.integers(1, 3))
    def submit_in_a_task(self, n, spec, n_tasks):
        worker, client = self.waiter(n)
        if worker is not None:
            self.world.define(client, spec)
            first = self.world.scheduler.farm.next_id
            ids = range(first, first + n_tasks)
            self.world.model.submit(ids, client.session, spec, (), False, ())
            client.mine.update(ids)
            self.world.ask(client, messages.Submit, spec=spec, bodies=(b"body",) * n_tasks)

    @rule(n=pick, picks=st.lists(pick, min_size=1, max_size=3), own=st.booleans())
    def wait_in_a_task(self, n, picks, own):
        world = self.world
        worker, client = self.waiter(n)
        if worker is None:
            return
        itself = world.task_of[worker.running]
        live = [task.taskid for task in world.model.live() if task.taskid != itself]
        mine = [taskid for taskid in live if taskid in client.mine]
        waited = {self.one_of(mine if own and mine else live, p) for p in picks} - {None}
        if not waited:
            return
        client.barriers[client.seq + 1] = waited
        held = [task.lease for task in world.model.held_by(worker.worker)]
        client.until[client.seq + 1] = max(held, default=0)
        world.ask(client, messages.Barrier, taskids=tuple(waited))

    @rule(n=pick, which=pick)
    def wait_no_more(self, n, which):
        clients = [client for client in self.world.clients.values() if client.connected and client.worker >= 0]
        client = self.one_of([client for client in clients if client.barriers], n)
        if client is not None:
            seq = self.one_of(client.barriers, which)
            del client.barriers[seq]
            self.world.ask(client, messages.Unwait, barrier=seq)

    @rule(name=clients, picks=st.none() | st.lists(pick, max_size=4), stranger=st.booleans())
    def clear(self, name, picks, stranger):
        world = self.world
        client = self.client(name)
        model = world.model
        needed = {parent for task in model.live() for parent in world.scheduler.farm.tasks[task.taskid].batch.inputs}
        asked = list(model.tasks) if picks is None else [self.one_of(model.tasks, p) for p in picks if model.tasks]
        unknown = [taskid for taskid in dict.fromkeys(asked) if taskid in model.cleared] if picks is not None else []
        if stranger and picks is not None:
            asked.append(10**6)
            unknown.append(10**6)
        ended = {t for t in asked if t in model.tasks and model.tasks[t].end is not None} - needed - model.cleared
        model.cleared |= ended
        answer = world.ask(client, messages.Clear, taskids=None if picks is None else tuple(asked))
        if unknown:
            assert answer.value == {"taskids": unknown, "n_cleared": len(ended)}
        else:
            assert answer == messages.Reply(client.seq, len(ended))

    @rule(name=clients)
    def spin(self, name):
        client = self.client(name)
        self.world.model.redeliver()
        self.world.ask(client, messages.Spin)

    @rule(name=clients, context=st.none() | st.just(messages.Define(CONTEXT, b"context")))
    def broadcast(self, name, context):
        client = self.client(name)
        number = self.world.scheduler.farm.next_broadcast
        self.world.broadcasts[number] = 0
        fields = {"code_kind": Kind.STRING, "label": "b", "code": b"x", "body": b"names", "context": context}
        answer = self.world.ask(client, messages.Broadcast, **fields)
        assert answer == messages.Reply(client.seq, number)

    @rule(name=clients)
    def clear_broadcasts(self, name):
        client = self.client(name)
        n = len(self.world.broadcasts)
        self.world.broadcasts.clear()
        assert self.world.ask(client, messages.ClearBroadcasts) == messages.Reply(client.seq, n)

    @rule(n=pick, problem=st.sampled_from(["", "", "ValueError: no data"]))
    def set_up(self, n, problem):
        for worker in self.world.workers.values():
            if worker.connected:
                worker.read()
        waiting = (w for w in self.world.workers.values() if not w.running and None in w.broadcasts.values())
        worker = self.one_of(waiting, n)
        if worker is not None:
            self.world.set_up(worker, problem)

    @rule(name=clients, n=st.integers(0, 3))
    def scale(self, name, n):
        self.world.n_workers = n
        self.world.ask(self.client(name), messages.Scale, n=n)

    @rule(name=clients)
    def client_lost(self, name):
        if self.world.clients[name].connected:
            self.world.lose(self.world.clients[name])

    # workers

    @precondition(lambda self: len(self.world.workers) < 4)
    @rule(ready=st.booleans())
    def join(self, ready):
        self.world.join()
        if ready:
            self.world.connect(self.world.workers[self.world.next_worker - 1])

    @rule(n=pick)
    def connect(self, n):
        worker = self.one_of((w for w in self.world.workers.values() if not w.connected), n)
        if worker is not None:
            self.world.connect(worker)

    @rule(n=pick)
    def connect_again(self, n):
        """Open another connection to the same controller, and send the uncommitted reports again."""
        worker = self.one_of((w for w in self.world.workers.values() if w.connected), n)
        if worker is not None:
            self.world.connect(worker)

    @rule(n=pick, long=st.booleans())
    def start(self, n, long):
        worker = self.startable(n)
        if worker is not None and self.world.start(worker):
            task = self.world.model.tasks[self.world.task_of[worker.running]]
            if worker.connected and (long or task.spec.timeout is not None):
                self.world.report_started(worker)

    def startable(self, n):
        for worker in self.world.workers.values():
            if worker.connected:
                worker.read()
        return self.one_of((w for w in self.world.workers.values() if not w.running and w.queue), n)

    @rule(n=pick, is_very_long=st.booleans())
    def turns_out_long(self, n, is_very_long):
        worker = self.one_of((w for w in self.world.workers.values() if w.connected and w.running), n)
        if worker is not None:
            if worker.results:
                self.world.send_results(worker)
            self.world.report_started(worker)
            worker.read()
            is_asked = worker.asked_back > worker.running
            if len(worker.queue) > 1 or (worker.queue and (is_very_long or is_asked)):
                self.world.give_back(worker)

    @precondition(lambda self: self.world.revokes)
    @rule(is_reported=st.booleans())
    def revoke(self, is_reported):
        self.world.revoke()
        if is_reported and self.world.revoked:
            self.report_revoked()

    @precondition(lambda self: self.world.revoked)
    @rule()
    def report_revoked(self):
        self.world.report_revoked()

    @rule(name=clients, n=pick, has_started=st.booleans(), is_revoked=st.booleans(), is_reported=st.booleans())
    def get_stuck(self, name, n, has_started, is_revoked, is_reported):
        """Submit short tasks, and let no thread of one worker run while the others run all that they get."""
        for n_tasks in (1, 4, 4):
            self.run_all_but(None)
            self.submit(name=name, spec=SHORT, n=n_tasks, picks=[], after_any=False, inputs=False, by_seq=False)
        stuck = self.startable(n)
        if stuck is not None and has_started:
            self.world.start(stuck)
        self.run_all_but(stuck)
        for _ in range(2):
            self.world.check()
            self.world.wait(0.11)
        if self.world.revokes and is_revoked:
            self.revoke(is_reported)

    def run_all_but(self, stuck):
        for _ in range(8):
            for worker in [w for w in self.world.workers.values() if w is not stuck and w.connected]:
                worker.read()
                if not worker.running and worker.queue and self.world.start(worker):
                    self.world.finish(worker, Outcome.OK, 0.0001)
                    self.world.send_results(worker)

    @rule(n=pick, done=st.sampled_from([1.0, 2.0]))
    def get_on(self, n, done):
        worker = self.one_of((w for w in self.world.workers.values() if w.connected and w.running), n)
        if worker is not None:
            self.world.handle(FromWorker(WorkerId(worker.worker), Progress(worker.running, done, 3.0)))

    @rule(n=pick, outcome=outcomes, seconds=seconds, report=st.booleans())
    def finish(self, n, outcome, seconds, report):
        world = self.world
        worker = self.one_of((w for w in world.workers.values() if w.running), n)
        if worker is None:
            return
        task = world.model.tasks[world.task_of[worker.running]]
        if outcome is Outcome.REFUSED and task.spec.depend is None:
            outcome = Outcome.OK
        if outcome is Outcome.INTERRUPTED and worker.running not in world.stops and task.spec.timeout is None:
            outcome = Outcome.ERROR
        world.finish(worker, outcome, seconds)
        if report and worker.connected:
            world.send_results(worker)

    @rule(n=pick, outcome=outcomes, seconds=seconds)
    def start_and_finish(self, n, outcome, seconds):
        worker = self.startable(n)
        if worker is not None and self.world.start(worker):
            running = [w for w in self.world.workers.values() if w.running]
            self.finish(n=running.index(worker), outcome=outcome, seconds=seconds, report=worker.connected)

    @rule(name=clients, needs=st.sampled_from(NEEDS))
    def be_refused(self, name, needs):
        """Submit an urgent task that needs resources, and have it refused by the worker that gets it."""
        spec = Spec(kind=Kind.FUNCTION, code=CODE, label="f", depend=DEPEND, priority=2, needs=needs)
        self.submit(name=name, spec=spec, n=1, picks=[], after_any=False, inputs=False, by_seq=False)
        task = self.world.scheduler.farm.tasks[self.world.scheduler.farm.next_id - 1]
        worker = self.world.workers.get(task.worker)
        if worker is not None and worker.connected:
            worker.read()
            if not worker.running and worker.queue and self.world.start(worker):
                running = [w for w in self.world.workers.values() if w.running]
                self.finish(n=running.index(worker), outcome=Outcome.REFUSED, seconds=0.02, report=True)

    @rule(n=pick)
    def report(self, n):
        worker = self.one_of((w for w in self.world.workers.values() if w.connected and w.results), n)
        if worker is not None:
            self.world.send_results(worker)

    @rule(n=pick, lease=pick)
    def report_too_late(self, n, lease):
        """Report a void lease, from a live worker or a dead one."""
        world = self.world
        worker = self.one_of([*world.workers, *world.dead], n)
        void = [lease for lease, taskid in world.task_of.items() if world.model.tasks[taskid].lease != lease]
        if worker is None or not void:
            return
        physical = world.workers.get(worker) or world.dead[worker]
        if world.workers.get(worker) and not physical.connected:
            return
        late = Finished(
            seq=physical.n_finished,
            leases=(self.one_of(void, lease),),
            outcomes=(0,),
            values=(b"late",),
            seconds=(1.0,),
        )
        effects = world.handle(FromWorker(WorkerId(worker), late))
        assert all(isinstance(record, Leased) for record in effects.records)  # it is free for other tasks

    @rule(n=pick)
    def properties_change(self, n):
        worker = self.one_of((w for w in self.world.workers.values() if w.connected), n)
        if worker is not None:
            self.world.model.redeliver(worker.worker)
            self.world.handle(FromWorker(WorkerId(worker.worker), PropertiesChanged()))

    @rule(n=pick, planned=st.sampled_from([False, False, True]))
    def die(self, n, planned):
        worker = self.one_of(self.world.workers.values(), n)
        if worker is not None:
            self.world.die(worker, planned=planned)

    @precondition(lambda self: self.world.engine is not None)
    @rule(n=pick)
    def lose_place(self, n):
        worker = self.one_of(self.world.workers.values(), n)
        if worker is not None:
            self.world.lose_place(worker)

    @rule(n=pick)
    def use_too_much_memory(self, n):
        def is_over(worker):
            task = self.world.model.tasks[self.world.task_of[worker.running]] if worker.running else None
            return task is not None and task.spec.needs is not None and bool(task.spec.needs.memory)

        worker = self.one_of(filter(is_over, self.world.workers.values()), n)
        if worker is not None:
            self.world.die(worker, planned=True, over_memory=True)

    @rule()
    def retired_ones_go(self):
        for worker in [w for w in self.world.workers.values() if w.retired]:
            self.world.die(worker, planned=True)

    # time and crashes

    @rule(seconds=st.sampled_from([0.01, 0.11, 1.1, 5.0, 31.0]))
    def time_passes(self, seconds):
        self.world.wait(seconds)

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 3600.0]))
    def clock_jumps(self, seconds):
        """Let the wall clock jump: no deadline may notice."""
        self.world.wall_ahead += seconds

    @rule()
    def restart(self):
        """Restart the controller; messages on their way to workers and clients are lost."""
        alive = tuple(WorkerUp(worker, 100) for worker in self.world.workers)
        self.world.begin(alive, tuple(self.world.downs))

    @rule()
    def everything_dies(self):
        """Restart with new workers and a new supervisor: no process knows which attempts had started."""
        world = self.world
        world.model.now = world.now
        for worker in list(world.workers.values()):
            world.bury(worker)
        for task in [task for task in world.model.live() if task.lease]:
            task.timed_out = False
            world.model.lose(task, world.now, may_have_started=True, blamed=False)
        world.begin((), ())

    @rule(n=pick)
    def a_worker_dies_with_the_controller(self, n):
        world = self.world
        worker = self.one_of(world.workers.values(), n)
        if worker is None:
            return
        world.model.now = world.now
        for task in world.model.live():
            task.timed_out = False
        alive = tuple(WorkerUp(other, 100) for other in world.workers if other != worker.worker)
        down = WorkerDown(worker=worker.worker, pid=1, started=worker.started, running=bool(worker.running), note="x")
        for task in world.model.held_by(worker.worker):
            world.model.lose(
                task, world.now, may_have_started=task.lease <= worker.started, blamed=task.lease == worker.started
            )
        world.bury(worker)
        world.downs.append(down)
        world.begin(alive, tuple(world.downs))

    @invariant()
    def everything_holds(self):
        self.world.check()


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=n_examples(),
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[
        phase for phase in Phase if phase is not Phase.shrink or os.environ.get("TASKFC_HYPOTHESIS_SHRINK") != "no"
    ],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
