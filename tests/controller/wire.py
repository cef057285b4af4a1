"""A farm around a real `Controller` and a real store, in one process: routers that only hold frames, clients and
workers that speak the protocol, a supervisor at the other end of a real socket pair, and a store that can crash.

Nothing waits: the controller turns only while something is there for it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from taskfc_ext.controller.loop import Controller
from taskfc_ext.controller.surroundings import MEASURING_NOTHING
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.drivers.paths import payloads_of
from taskfc_ext.drivers.payload_reading import read_payload
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, encode_failure
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.supervisor_messages import Farm, Noted, SetWorkers, Shutdown, StopAttempt, WorkerDown, WorkerUp
from taskfc_ext.protocol.worker_messages import (
    Code,
    Committed,
    Finished,
    ForgetCode,
    Prepare,
    Ready,
    Returned,
    Run,
    SetUp,
    Started,
)
from tests.core.conversation import check_farm

CODE = b"c" * 16
PYTHON = ".".join(platform.python_version_tuple()[:2])
ERROR = encode_failure(Failure(Reason.ERROR, "no luck"))


class Crash(Exception):
    """The controller was killed."""


class CrashingStore(Store):
    """A store whose process dies at a chosen commit: before it, or after it and before anything was sent."""

    def __init__(self, path: Path, crash_at: int = 0, when: str = "") -> None:
        super().__init__(path)
        self.n_commits = 0
        self.committed: list = []
        self.crashes = False
        self.crash_at = crash_at
        self.when = when

    def commit(self, records) -> None:
        self.n_commits += 1
        self.crashes = self.n_commits == self.crash_at  # `when` says whether before it, after it, or after the sends
        if self.crashes and self.when == "before the commit":
            raise Crash
        super().commit(records)
        self.committed += records
        if self.crashes and self.when == "before the send":
            raise Crash

    def after_send(self) -> None:
        if self.crashes:
            raise Crash


class HeldFrames:
    """Stands in for a `Router`; a pipe makes it readable."""

    path = Path("/nowhere")

    def __init__(self) -> None:
        self.socket, self._write = os.pipe()
        self.arrived: deque[tuple[bytes, bytes]] = deque()
        self.sent: dict[bytes, list[bytes]] = {}
        self.gone: set[bytes] = set()

    def arrive(self, identity: bytes, messages) -> None:
        self.arrive_frame(identity, codec.encode(messages))

    def arrive_frame(self, identity: bytes, frame: bytes) -> None:
        self.arrived.append((identity, frame))
        os.write(self._write, b"x")

    def receive(self, at_most: int, enough: int = 0, is_ignored: Any = None) -> list[tuple[bytes, bytes]]:
        taken = [self.arrived.popleft() for _ in range(min(at_most, len(self.arrived)))]
        if taken:
            os.read(self.socket, len(taken))
        return taken

    def send(self, identity: bytes, frame: bytes) -> bool:
        if identity in self.gone:
            raise ConnectionError
        self.sent.setdefault(identity, []).append(frame)
        return True

    def take(self, identity: bytes, decoder) -> list:
        return [message for frame in self.sent.pop(identity, []) for message in decoder.decode(frame)]

    def rebind_if_vanished(self) -> bool:
        return False

    def close(self) -> None:
        os.close(self.socket)
        os.close(self._write)


class WireWorker:
    """A worker: runs its leases one at a time; the task's body says what it does."""

    def __init__(self, farm: WireFarm, worker: int) -> None:
        self.farm = farm
        self.worker = worker
        self.queue: deque = deque()
        self.running: tuple | None = None
        self.started = 0
        self.unacked: list[Finished] = []
        self.n_finished = 0
        self.broadcasts: dict[int, str | None] = {}
        self.codes: dict[bytes, bytes] = {}
        self.connect()

    def connect(self) -> None:
        self.identity = self.farm.fresh_identity()
        held = [lease for lease, *_ in self.queue] + [lease for report in self.unacked for lease in report.leases]
        held += [self.running[0]] if self.running else []
        ready = Ready(
            protocol=PROTOCOL, worker=self.worker, pid=1, python="3.11", leases=tuple(sorted(held)),
            broadcasts=dict(self.broadcasts), codes=tuple(self.codes),
        )  # fmt: skip
        self.send(ready, *self.unacked)
        if self.running:
            self.send(Started(self.running[0], 1.0))

    def send(self, *messages) -> None:
        self.farm.workers_end.arrive(self.identity, messages)

    def work(self) -> bool:
        """Receive messages and run leases; return whether there was anything to do."""
        messages = self.farm.workers_end.take(self.identity, codec.to_worker)
        for message in messages:
            if isinstance(message, Code):
                assert message.digest not in self.codes, "it has this code"
                self.codes[message.digest] = message.body
            elif isinstance(message, ForgetCode):
                for digest in message.digests:
                    del self.codes[digest]
            elif isinstance(message, Run):
                leases = range(message.first_lease, message.first_lease + len(message.ids))
                codes = [message.spec.code] * len(leases)
                bodies = map(self.farm.content, message.bodies)
                self.queue.extend(zip(leases, message.ids, bodies, codes, strict=True))
                self.farm.inputs.update(dict.fromkeys(message.ids, message.inputs))
            elif isinstance(message, Prepare):
                assert message.number not in self.broadcasts, "a broadcast came twice"
                self.broadcasts[message.number] = None
                if message.code == b"die":
                    self.farm.kill(self)
                    return True
                self.broadcasts[message.number] = ""
                self.send(SetUp(message.number))
            elif isinstance(message, Committed):
                self.unacked = [report for report in self.unacked if report.seq > message.seq]
        if self.running or not self.queue:
            return bool(messages)
        self._run(*self.queue.popleft())
        return True

    def _run(self, lease: int, taskid: int, body: bytes, code: bytes) -> None:
        assert self.codes[code], f"the code of task {taskid} did not reach worker {self.worker}"
        self.started = lease
        self.running = (lease, taskid, body)
        n = self.farm.starts[taskid] = self.farm.starts.get(taskid, 0) + 1
        if body == b"long":
            self.send(Started(lease))
            if self.queue:
                returned = tuple(lease for lease, *_ in self.queue)
                self.queue.clear()
                self.send(Returned(returned))
        elif body == b"die" or (body == b"die once" and n == 1):
            self.farm.kill(self)
        elif body == b"fail" or (body == b"fail once" and n == 1) or self._is_to_fail(body, taskid):
            self.end(Outcome.ERROR, ERROR)
        else:
            self.end(Outcome.OK, b"value of " + body)

    def _is_to_fail(self, body: bytes, taskid: int) -> bool:
        """Return whether this task has to fail: the first one with this body does, its retry does not."""
        return body == b"fail, then work" and self.farm.failed.setdefault(body, taskid) == taskid

    def end(self, outcome: Outcome, value: bytes, printed: Printed = (), displays: tuple[bytes, ...] = ()) -> None:
        lease, *_ = self.running
        self.running = None
        self.n_finished += 1
        report = Finished(
            seq=self.n_finished, leases=(lease,), outcomes=(outcome,), values=(value,), seconds=(0.001,),
            outputs={lease: printed} if printed else {}, displays={lease: displays} if displays else {},
        )  # fmt: skip
        self.unacked.append(report)
        self.send(report)


class WireClient:
    """A client: keeps its unanswered requests and sends them again on a new connection."""

    def __init__(self, farm: WireFarm, session: str) -> None:
        self.farm = farm
        self.session = session
        self.seq = 0
        self.unanswered: dict[int, said.Request] = {}
        self.answers: dict[int, object] = {}
        self.ends: dict[int, tuple[str, bytes]] = {}
        self.mine: set[int] = set()
        self.stopped = False
        self.news: list[said.Watching | said.Changed] = []
        self.connect()

    def connect(self) -> None:
        self.identity = self.farm.fresh_identity()
        hello = said.Hello(PROTOCOL, "0", PYTHON, self.session)
        named = {CODE, *(each.spec.code for each in self.unanswered.values() if isinstance(each, said.Submit))}
        self.defined = set(named)
        self.send(
            hello,
            *(said.Define(code, b"code") for code in sorted(named)),
            *(self.unanswered[seq] for seq in sorted(self.unanswered)),
        )
        if self.mine - self.ends.keys():
            self.ask(said.GetResults, taskids=tuple(sorted(self.mine - self.ends.keys())), watch=True)

    def send(self, *messages) -> None:
        for frame in codec.pack(messages):
            self.farm.clients_end.arrive_frame(self.identity, frame)

    def ask(self, kind, **fields) -> int:
        self.seq += 1
        message = self.unanswered[self.seq] = kind(seq=self.seq, acked=min(self.unanswered, default=self.seq), **fields)
        self.send(message)
        return self.seq

    def submit(self, *bodies: bytes, name=None, after=(), inputs=(), after_any=False, **options) -> int:
        spec = Spec(**{"kind": Kind.FUNCTION, "code": CODE, "label": "f", **options})
        if spec.code not in self.defined:
            self.defined.add(spec.code)
            self.send(said.Define(spec.code, b"code"))
        fields = {"name": name, "after": after, "inputs": inputs, "after_any": after_any}
        return self.ask(said.Submit, spec=spec, bodies=bodies, **fields)

    def receive(self) -> bool:
        messages = self.farm.clients_end.take(self.identity, codec.from_controller)
        for message in messages:
            match message:
                case said.Accepted(seq, first):
                    self.mine.update(range(first, first + len(self._request_of(seq, message).bodies)))
                case said.Reply(seq) | said.Refused(seq):
                    if isinstance(self._request_of(seq, message), said.Retry) and isinstance(message, said.Reply):
                        self.mine.update(new for _, new in message.value)
                case said.Ended():
                    for taskid, reason, value in zip(message.ids, message.reasons, message.values, strict=True):
                        end = reason, self.farm.content(value)
                        first = self.ends.setdefault(taskid, end)
                        assert end in (first, (reason, b"")), "two different ends"  # empty: cleared meanwhile
                case said.Watching():
                    del self.unanswered[message.seq]
                    self.news.append(message)
                case said.Changed():
                    self.news.append(message)
                case said.Release(digests):
                    self.defined -= set(digests)
                    self.send(said.Released(digests))
                case said.Stopping():
                    self.stopped = True
        self.farm.resubscribe(self, messages)
        return bool(messages)

    def _request_of(self, seq: int, answer):
        first = self.answers.setdefault(seq, answer)
        if seq not in self.unanswered:
            assert first == answer, "a repeat was answered differently"
        return self.unanswered.pop(seq, None) or self.farm.history[self.session, seq]


class WireFarm:
    """A farm whose controller can be killed at any commit and started again."""

    def __init__(
        self,
        path: Path,
        *,
        n_workers: int = 2,
        crashes: Iterable[tuple[int, str]] = (),
        make_store: Callable[[Path, int, str], CrashingStore] = CrashingStore,
    ) -> None:
        self.path = path
        self.make_store = make_store
        self.crashes = iter(crashes)
        self.starts: dict[int, int] = {}
        self.inputs: dict[int, tuple] = {}
        self.failed: dict[bytes, int] = {}
        self.history: dict[tuple[str, int], said.Request] = {}
        self.downs: dict[int, WorkerDown] = {}
        self.workers: dict[int, WireWorker] = {}
        self.n_identities = 0
        self.n_crashes = 0
        self.n_commits = 0
        self.committed: list = []
        self.next_worker = n_workers
        self.n_wanted = n_workers
        self.plan: tuple[int, str] | None = None
        self.alive = set(range(n_workers))
        self.clients: dict[str, WireClient] = {}
        self.ended = False
        self._start()
        for worker in range(n_workers):
            self.workers[worker] = WireWorker(self, worker)
        for session in ("a" * 16, "b" * 16):
            self.clients[session] = WireClient(self, session)
        self.alice, self.bob = self.clients.values()
        self.pump()

    def fresh_identity(self) -> bytes:
        self.n_identities += 1
        return b"%d" % self.n_identities

    def remove_cleared(self) -> None:
        """Do the upkeep of ten seconds."""
        self.store.remove_cleared()
        self.store.remove_cleared()

    def content(self, payload: Payload) -> bytes:
        """Return a payload that the controller has sent, perhaps in a file."""
        if isinstance(payload, bytes):
            return payload
        try:
            return bytes(read_payload(payloads_of(self.path), payload))
        except FileNotFoundError:
            return b""  # it was cleared meanwhile

    # the controller's life

    def _start(self) -> None:
        crash_at, when = self.plan = self.plan or next(self.crashes, (0, ""))
        self.clients_end, self.workers_end = HeldFrames(), HeldFrames()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor, self._controllers_end = ours, theirs
        self.store = self.make_store(self.path, crash_at, when)
        self.store.committed = self.committed
        self.scheduler = Scheduler(self.store.records(), name="t")
        self.controller = Controller(
            "t", self.scheduler, self.store, self.clients_end, self.workers_end, theirs, MEASURING_NOTHING
        )
        alive = tuple(WorkerUp(worker, 100) for worker in sorted(self.alive))
        self._report(Farm(supervisor_pid=1, n_workers=self.n_wanted, alive=alive, dead=tuple(self.downs.values())))
        try:
            self.controller.begin()
            self.store.after_send()
            self.controller.await_supervisor()
            self.store.after_send()
        except Crash:
            self._die()
            self._start()

    def _report(self, message) -> None:
        self.supervisor.send(codec.encode([message]))

    def _die(self) -> None:
        """Close all files and sockets, as a killed process does."""
        crash_at, when = self.plan
        self.plan = None if self.store.crashes else (crash_at - self.store.n_commits, when)
        self.n_crashes += self.store.crashes
        self.n_commits += self.store.n_commits
        self.store._upkeep.close()
        self.store._db.close()
        for end in (self.clients_end, self.workers_end, self.supervisor, self._controllers_end):
            end.close()

    def _recover(self) -> None:
        if self.store.when != "after the send, and all of it is lost":
            self._deliver_sent()
        self._die()
        self._start()
        self._check_promises()
        for worker in self.workers.values():
            worker.connect()
        for client in self.clients.values():
            for message in client.unanswered.values():
                self.history[client.session, message.seq] = message
            client.unanswered = {s: m for s, m in client.unanswered.items() if not isinstance(m, said.GetResults)}
            client.connect()

    def _deliver_sent(self) -> None:
        """Deliver the messages that were sent before the controller died."""
        self._supervise()
        for client in self.clients.values():
            client.receive()
        for worker in list(self.workers.values()):
            worker.work()

    def _check_promises(self) -> None:
        """Check that all received facts are in the store."""
        farm = self.scheduler.farm
        for client in self.clients.values():
            for taskid, (reason, _) in client.ends.items():
                assert not farm.knows(taskid) or farm.end_of(taskid) == reason, f"task {taskid} was told ended"
            assert all(0 <= taskid < farm.next_id for taskid in (*client.mine, *client.ends)), (
                "an id was told too early"
            )
        for worker in self.workers.values():
            assert all(lease < farm.next_lease for lease, *_ in worker.queue), "a lease was sent too early"
            assert worker.started < farm.next_lease, "a task was started too early"

    def close(self) -> None:
        self._die()

    # turning

    def pump(self) -> None:
        """Run all processes until none has anything to do."""
        while True:
            try:
                while self._has_input() and not self.ended:
                    self.controller.turn()
                    self.ended = self.controller._ended
                    self.store.after_send()
            except Crash:
                self._recover()
                continue
            busy = self._supervise()
            for client in self.clients.values():
                busy |= client.receive()
            for worker in list(self.workers.values()):
                busy |= worker.work()
            if not busy and not (self._has_input() and not self.ended):
                break
        check_farm(self.scheduler.farm, self.controller._now())

    def _has_input(self) -> bool:
        if self.clients_end.arrived or self.workers_end.arrived or self.controller._effects:
            return True
        if not self.controller._reception.turns.is_empty:
            return True
        with contextlib.suppress(BlockingIOError):
            return bool(self._controllers_end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def _supervise(self) -> bool:
        n = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                for message in codec.to_supervisor.decode(self.supervisor.recv(2**20, socket.MSG_DONTWAIT)):
                    n += 1
                    self._handle(message)
        return bool(n)

    def _handle(self, message) -> None:
        match message:
            case Noted(workers):
                for worker in workers:
                    self.downs.pop(worker, None)
            case StopAttempt(worker, lease):
                known = self.workers.get(worker)
                if known and known.running and known.running[0] == lease:
                    known.end(Outcome.INTERRUPTED, ERROR)
            case SetWorkers(n, retire):
                self.n_wanted = n
                for worker in retire:
                    if worker in self.workers:
                        self.kill(self.workers[worker], planned=True, replace=False)
            case Shutdown():
                for worker in list(self.workers.values()):
                    self.kill(worker, planned=True, replace=False)

    def kill(self, worker: WireWorker, *, planned: bool = False, replace: bool = True) -> None:
        down = WorkerDown(
            worker=worker.worker, pid=1, started=worker.started, running=worker.running is not None, note="killed",
            planned=planned,
        )  # fmt: skip
        del self.workers[worker.worker]
        self.alive.discard(worker.worker)
        self.downs[worker.worker] = down
        self._report(down)
        if replace:
            self.join()

    def join(self) -> None:
        worker, self.next_worker = self.next_worker, self.next_worker + 1
        self.alive.add(worker)
        self._report(WorkerUp(worker, 100))
        self.workers[worker] = WireWorker(self, worker)

    def start_again(self) -> None:
        """Start the farm again after a stop."""
        self.ended = False
        self._recover()
        while len(self.workers) < 2:
            self.join()
        self.pump()

    def resubscribe(self, client: WireClient, messages) -> None:
        """Ask for the ends of tasks that an earlier connection submitted, as a client does after a resend."""
        answered = [m for m in messages if isinstance(m, said.Accepted | said.Reply)]
        resent = [self.history.get((client.session, m.seq)) for m in answered]
        accepted = [request for request in resent if isinstance(request, said.Submit | said.Retry)]
        missing = client.mine - client.ends.keys()
        if accepted and missing:
            client.ask(said.GetResults, taskids=tuple(sorted(missing)), watch=True)
