"""Odd conversations with a bare core: odd values in a wrong order, unknown and repeated ids, workers that lie.

A client's messages pass through the endpoint, as they do in a controller: what that refuses never reaches the core. The
supervisor is trusted by the core, and says nothing odd here; clients and workers do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import msgspec

from taskfc_ext.controller.endpoint import Connection, FCTaskControllerFromTaskController
from taskfc_ext.controller.failed_requests import FailedRequests
from taskfc_ext.core.effects import ClientSend, Effects, Recall, SendRun, SupervisorSend, WorkerSend
from taskfc_ext.core.events import Audit, Event, Now
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Outcome as End
from taskfc_ext.protocol.resources import Totals
from taskfc_ext.protocol.worker_messages import WorkerMessage
from tests.core.conversation import ALICE, BOB, CODE, Conversation, answer_recall, check_farm, spec
from tests.fuzz.outcome import Outcome, Progress, Report
from tests.fuzz.values import SMALL, Maker, is_sendable, types_in
from tests.hostile.peer import hello

STEPS = 150
"""Steps of one conversation."""

CHECK_EVERY = 10
"""Steps between two checks of all invariants."""

TOTALS = Totals(cores=4, memory=10**9, gpus=("0", "1"), others={"licence": 2})

CLIENT_KINDS = [kind for kind in types_in(said.ClientMessage) if kind is not said.Stop]
WORKER_KINDS = types_in(WorkerMessage)

MAKER = Maker()


class Talk:
    """One conversation.

    Args:
        draw: the chance.
        outcome: receives the end of each step.
    """

    def __init__(self, draw: random.Random, outcome: Outcome) -> None:
        self.draw, self.outcome = draw, outcome
        self.conversation = Conversation(workers=draw.choice((0, 1, 2, 3)), totals=TOTALS)
        self.conversation.checked = False
        self.endpoint = FCTaskControllerFromTaskController(self, FailedRequests())  # type: ignore[arg-type]  # it calls `handle` alone
        self.connections: dict[str, Connection] = {}
        self.next_worker = 3
        self.last: object = None
        for session in (ALICE, BOB):
            self.reconnect(session)

    def handle(self, event: Event, now: Now) -> Effects:
        """Let the core handle an event, and check that all it sends can be received."""
        effects = self.conversation.handle(event)
        for send in effects.sends:
            _check_send(send)
            if isinstance(send, Recall):
                self.handle(answer_recall(send, self.conversation.records), now)
        return effects

    def play(self) -> None:
        """Take all steps."""
        actions = list(ACTIONS)
        for number, action in enumerate(self.draw.choices(actions, list(ACTIONS.values()), k=STEPS)):
            before = time.thread_time()
            try:
                end = action(self)
            except ProtocolError:
                end = "refused"
            self.outcome.took(time.thread_time() - before, f"{action.__name__}: {self.last!r:.200}")
            self.outcome.counts[action.__name__, end] += 1
            if number % CHECK_EVERY == 0:
                check_farm(self.conversation.farm, self.conversation.time)
        check_farm(self.conversation.farm, self.conversation.time)
        self.conversation.restart(self.conversation.farm.workers)
        check_farm(self.conversation.farm, self.conversation.time)

    def reconnect(self, session: str) -> None:
        """Open a connection, with good manners."""
        self.connections[session] = Connection(session.encode())
        self._pass(session, self._hello(session), said.Define(CODE, b"code of f"))

    def _hello(self, session: str) -> said.Hello:
        return msgspec.structs.replace(hello(session), worker=self.draw.choice((-1, -1, 0, 1)))

    def _pass(self, session: str, *messages: Message) -> str:
        """Pass a frame to the endpoint; return the end of its last message."""
        if not all(map(is_sendable, messages)):
            return "not sendable"
        self.last = messages
        connection, frame = self.connections[session], codec.encode(messages)
        received = self.endpoint.unpack(connection, frame)
        if isinstance(received, said.Refused):
            return "refused"
        end = "nothing"
        for message in received:
            if not isinstance(message, said.Confirmed | bytes):
                handled = self.endpoint.handle(connection, message, len(frame), self.conversation.time)
                end = "handled" if handled.effects is not None else "refused"
        return end

    # steps

    def client_says(self) -> str:
        """A client sends something odd, alone or with more in its frame."""
        session = self.draw.choice((ALICE, ALICE, BOB))
        if self.connections[session].is_cut_off:
            self.reconnect(session)
        kinds = self.draw.choices(CLIENT_KINDS, k=self.draw.choice((1, 1, 1, 3)))
        return self._pass(session, *(self._number(session, MAKER.make(kind, self.draw)) for kind in kinds))

    def client_submits(self) -> str:
        """A client submits something that can run."""
        session, draw = self.draw.choice((ALICE, BOB)), self.draw
        options: dict[str, Any] = {"retries": draw.choice((0, 0, 3)), "priority": draw.choice((0, 5))}
        after = tuple(draw.sample(range(SMALL), draw.choice((0, 0, 1, 2))))
        bodies = (b"body",) * draw.choice((1, 1, 2, 5))
        submit = said.Submit(seq=self._next(session), spec=spec(**options), bodies=bodies, after=after)
        return self._pass(session, submit)

    def client_leaves(self) -> str:
        """A connection is lost, or another one opens its session."""
        session = self.draw.choice((ALICE, BOB))
        if self.draw.random() < 0.5:
            self.conversation.lose_client(session)
        self.reconnect(session)
        return "handled"

    def worker_lies(self) -> str:
        """A worker sends something odd."""
        message = MAKER.make(self.draw.choice(WORKER_KINDS), self.draw)
        if not is_sendable(message):
            return "not sendable"
        self.last = message
        for received in codec.from_worker.decode(codec.encode([message])):
            self.conversation.worker(self._worker(), received)
        return "handled"

    def worker_works(self) -> str:
        """A worker does what it should."""
        talk, worker = self.conversation, self._worker()
        if worker not in talk.farm.workers:
            return "nothing"
        self.last = worker
        held = talk.leases_of(worker)
        match self.draw.randrange(4):
            case 0:
                talk.ready(worker, tuple(held))
            case 1 if held:
                talk.start(worker)
            case 2 if held:
                talk.give_back(worker, held[-1:])
            case _ if held:
                talk.finished_seq[worker] = talk.farm.workers[worker].finished_seq
                talk.finish(worker, outcome=self.draw.choice((End.OK, End.OK, End.ERROR, End.REFUSED, End.NOT_NOW)))
        return "handled"

    def supervisor_reports(self) -> str:
        """A worker starts or ends, or its leases are revoked."""
        talk, worker = self.conversation, self._worker()
        held = talk.leases_of(worker) if worker in talk.farm.workers else []
        match self.draw.randrange(5):
            case 0 if len(talk.farm.workers) < 4:
                self.next_worker += 1
                talk.join(self.next_worker)
            case 1:
                talk.die(worker, planned=self.draw.random() < 0.3)
            case 2:
                talk.lose_place(worker)
            case _ if held:
                talk.revoked(worker, held[-1], started=held[0])
        return "handled"

    def time_passes(self) -> str:
        """Time passes: little, or much."""
        self.conversation.wait(self.draw.choice((0.001, 0.3, 3.0, 40.0, 700.0)))
        if self.draw.random() < 0.3:
            self.conversation.handle(Audit())
        return "handled"

    def controller_starts_again(self) -> str:
        """A new controller reads the records, and knows the workers that are alive."""
        if self.draw.random() < 0.8:
            return "nothing"
        self.conversation.restart(self.conversation.farm.workers)
        for session in (ALICE, BOB):
            self.reconnect(session)
        return "handled"

    def _worker(self) -> int:
        """Return the id of a worker, which need not exist."""
        return self.draw.choice((*self.conversation.farm.workers, *self.conversation.farm.workers, 77))

    def _next(self, session: str) -> int:
        self.conversation.seqs[session] = self.conversation.seqs.get(session, 0) + 1
        return self.conversation.seqs[session]

    def _number(self, session: str, message: Message) -> Message:
        """Give a request the next number, mostly; else it keeps an odd one, or repeats one."""
        if not isinstance(message, said.Request) or self.draw.random() < 0.2:
            return message
        acked = self.draw.choice((0, self.conversation.seqs.get(session, 0)))
        return msgspec.structs.replace(message, seq=self._next(session), acked=acked)


ACTIONS: dict[Callable[[Talk], str], int] = {
    Talk.client_says: 50,
    Talk.client_submits: 12,
    Talk.client_leaves: 2,
    Talk.worker_lies: 12,
    Talk.worker_works: 14,
    Talk.supervisor_reports: 4,
    Talk.time_passes: 5,
    Talk.controller_starts_again: 1,
}
"""Each step with its weight."""


def run(*, n: int, seed: int, case: int | None = None, report: Report) -> Outcome:
    """Hold `n` conversations; conversation `i` depends on `seed` and `i` only. For the rest see `decoders.run`."""
    outcome, progress = Outcome(), Progress(report)
    for number in range(n) if case is None else [case]:
        play(seed, number, outcome)
        progress.at(number + 1, n, outcome, "conversations")
    outcome.figures["steps a second"] = f"{outcome.n_inputs / progress.seconds:,.0f}"
    return outcome


def play(seed: int, number: int, outcome: Outcome) -> None:
    """Hold one conversation; what goes wrong in it is a failure, and its end."""
    talk = None
    try:
        talk = Talk(random.Random(f"{seed}/{number}"), outcome)
        talk.play()
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
        text = f"{type(error).__name__}: {error}, at {place.rpartition('taskfc_ext/')[2]}"
        outcome.failures.append(f"case {number}: {text}: {talk and talk.last!r:.300}")
        outcome.counts["conversation", "failure"] += 1


def _check_send(send: object) -> None:
    """Check that the receiver understands a message."""
    match send:
        case ClientSend(_, message) if isinstance(message, Message):
            codec.from_controller.decode(codec.encode([message]))
        case WorkerSend(_, message) if isinstance(message, Message):
            codec.to_worker.decode(codec.encode([message]))
        case WorkerSend(_, SendRun(order, _)):
            codec.to_worker.decode(codec.encode([order]))
        case SupervisorSend(message):
            codec.to_supervisor.decode(codec.encode([message]))
