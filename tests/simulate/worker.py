"""A virtual worker: the real `Link` to the controller, and a model of the loop around it, of the page and the process.

The model keeps the order of `worker.loop`: a start is in the page before the code runs, an end before its report;
results of short tasks wait for one another for 2 ms; a helper thread reports a long attempt and gives back what is
behind it, unless the attempt lets no other thread run. A word in the page revokes leases that have not started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskfc_ext.protocol import codec
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Failure, Outcome, Reason, encode_failure
from taskfc_ext.protocol.worker_messages import (
    Code,
    ForgetCode,
    Prepare,
    PropertiesChanged,
    Ready,
    Return,
    Run,
    Started,
    ToWorker,
)
from taskfc_ext.worker.helper_thread import CHECK_EVERY
from taskfc_ext.worker.link import Link, Result
from taskfc_ext.worker.loop import HOLD_BACK, KEEP_ONE
from tests.simulate.network import Wire
from tests.simulate.plan import Act

if TYPE_CHECKING:
    from tests.simulate.world import World

TURN = 0.0002
"""Seconds from the arrival of a message to the turn of an idle worker."""

OUTCOMES = {
    "ok": Outcome.OK, "hold": Outcome.OK, "nest": Outcome.OK, "error": Outcome.ERROR, "final": Outcome.FINAL_ERROR,
    "refuse": Outcome.REFUSED, "not_now": Outcome.NOT_NOW, "interrupted": Outcome.INTERRUPTED,
}  # fmt: skip


@dataclass
class Page:
    """The words of a worker's page, and its kept results: lease -> (seconds, value)."""

    started: int = 0
    ended: int = 0
    interrupt: int = 0
    revoked: int = 0
    kept: dict[int, tuple[float, bytes]] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether the last started attempt has not ended."""
        return self.started != self.ended


@dataclass
class Attempt:
    """The running attempt, or a broadcast (lease 0)."""

    lease: int
    taskid: int
    act: Act
    began: float
    value: bytes = b""


class VirtualDealer:
    """Stands in for a `Dealer`."""

    is_astray = False

    def __init__(self, worker: VirtualWorker) -> None:
        self._worker = worker
        self._arrived: deque[bytes] = deque()
        self.wire = Wire(worker.world.net, "workers", worker.name, self._arrive, lambda: None)

    def _arrive(self, frame: bytes) -> None:
        self._arrived.append(frame)
        self._worker.poke()

    @property
    def has_received(self) -> bool:
        """Whether there is something to receive."""
        return bool(self._arrived)

    def send(self, messages: Sequence[Message]) -> bool:
        """Send one frame."""
        self._worker.note("sends", messages)
        self.wire.send(codec.encode(messages))
        return True

    def receive(self) -> list[ToWorker]:
        """Return the messages that have arrived."""
        messages: list[ToWorker] = []
        while self._arrived:
            messages += codec.to_worker.decode(self._arrived.popleft())
        self._worker.note("receives", messages)
        return messages

    def wait(self, timeout_ms: int) -> None:
        """Never called: nothing blocks."""
        raise AssertionError

    def close(self) -> None:
        """Close the connection."""
        self.wire.close()


class VirtualWorker:
    """One worker process.

    Attributes:
        page: survives it.
        is_alive: whether the process runs.
        hung_until: until when nothing in it runs.
        wants_reconnect: an order of the supervisor that it has not read.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.name = world, number, f"worker {number}"
        self.page = Page()
        self.is_alive, self.is_ending = True, False
        self.hung_until = 0.0
        self.wants_reconnect = False
        self.link: Link | None = None
        self.running: Attempt | None = None
        self.kill_when = ""  # the point at which a fault kills it
        self.stopped: tuple[int, float] | None = None  # the lease that a terminate or a kill was meant for, and when
        self._attempts: deque[tuple[int, int, bytes, Run | Prepare]] = deque()
        self._results: deque[Result] = deque()
        self._revoked: deque[int] = deque()
        self._oldest_start = 0.0
        self._asked_back = self._announced = 0
        self._codes: set[bytes] = set()
        self._is_turn_due = self._is_help_due = False
        self._properties_changed = False
        world.timeline.after(0.05 + world.rng.random() * 0.2, self._boot)

    def _boot(self) -> None:
        if self._postpone(self._boot):
            return
        self.wants_reconnect = False
        self.link = Link(lambda: VirtualDealer(self), self._ready)
        self.link.report_codes(lambda: tuple(sorted(self._codes)))

    def _ready(self, leases: tuple[int, ...]) -> Ready:
        return Ready(protocol=PROTOCOL, worker=self.number, pid=self.number, python="3.11", leases=leases)

    def _postpone(self, action, *args) -> bool:
        """Return whether nothing can run now; what hangs goes on later."""
        if not self.is_alive:
            return True
        if self.hung_until > self.world.timeline.now:
            self.world.timeline.at(self.hung_until, action, *args)
            return True
        return False

    def note(self, verb: str, messages: Sequence[Message]) -> None:
        """Add messages to the trace."""
        if self.world.trace is not None:
            for message in messages:
                self.world.note(self.name, f"{verb} {message}")

    # orders from outside

    def poke(self) -> None:
        """Note that there may be something to do: a message, an order, the end of a hang."""
        if self.link is None or not self.is_alive:
            return
        if self.running is None:
            if not self._is_turn_due:
                self._is_turn_due = True
                self.world.timeline.after(TURN * (0.5 + self.world.rng.random()), self._turn)
        else:
            self._help_in(CHECK_EVERY * (0.5 + self.world.rng.random()))

    def change_properties(self) -> None:
        """Let a task have changed the properties."""
        self._properties_changed = True
        self.poke()

    def interrupt(self, lease: int) -> None:
        """Write the lease into the page and send a signal."""
        self.page.interrupt = lease
        running = self.running
        if running is not None and running.lease == lease and running.act.kind not in ("deaf", "hold"):
            self.world.timeline.after(0.001, self._end, running, "interrupted")

    def is_in(self, lease: int) -> bool:
        """Return whether this lease is running, as the page says."""
        return self.page.started == lease and self.page.is_running

    def revoke(self, until: int) -> int:
        """Revoke in the page; return the last lease that seems to have started."""
        self.page.revoked = max(self.page.revoked, until)
        if self.running is None and self._attempts and self.world.rng.random() < 0.2:
            lease = self._attempts[0][0]
            if lease and self.page.started < lease <= until:
                return lease  # its start was just written, and it is about to read that it is revoked
        return self.page.started

    def die(self) -> None:
        """End the process, without any notice."""
        if not self.is_alive:
            return
        self.is_alive = False
        running, self.running = self.running, None
        if self.link is not None:
            self.link.connection.close()
        self.world.ledger.on_death(self.number)
        if running is not None and running.act.kind == "nest":
            self.world.end_nested(self.number)
        self.world.on_worker_death(self)

    # the main thread

    def _turn(self) -> None:
        if self._postpone(self._turn):
            return
        self._is_turn_due = False
        if self.running is None:
            self._exchange()
            self._go_on()

    def _go_on(self) -> None:
        """Run the next attempt, if there is one."""
        now = self.world.timeline.now
        while self._attempts and self.is_alive:
            if self._results and now - self._oldest_start > HOLD_BACK:
                self._exchange()
            lease, taskid, body, message = self._attempts.popleft()
            if isinstance(message, Prepare):
                self._begin_broadcast(message)
                return
            self.page.started = lease
            if self.page.revoked >= lease:
                self.page.started = self.page.ended
                self._revoked.append(lease)
                continue
            self._begin(lease, taskid, body, message)
            return
        if self.is_alive and (self._results or self._revoked or self.wants_reconnect or self._has_received()):
            self._exchange()
            if self._attempts:
                self._go_on()

    def _has_received(self) -> bool:
        return self.link is not None and self.link.connection.has_received  # type: ignore[attr-defined]

    def _begin(self, lease: int, taskid: int, body: bytes, run: Run) -> None:
        assert set(run.spec.bodies) <= self._codes, f"the code of task {taskid} did not reach worker {self.number}"
        world = self.world
        act = world.ledger.on_start(taskid, lease, self.number, body, run)
        self.running = attempt = Attempt(lease, taskid, act, world.timeline.now, b"%s.%d" % (body, lease))
        if world.trace is not None:
            world.note(self.name, f"starts task {taskid} ({act.kind}, {act.seconds:g} s) under lease {lease}")
        if self._dies_at("start"):
            return
        assert self.link is not None
        if run.spec.timeout is not None:
            self._announced = lease
            self.link.send_results(self._drain(), [Started(lease)])
            if self._dies_at("started"):
                return
        if self.page.interrupt == lease and act.kind not in ("deaf", "hold"):
            world.timeline.after(0.0, self._end, attempt, "interrupted")
        elif act.kind == "nest":
            world.begin_nested(self, attempt)
        elif act.kind not in ("hang", "deaf"):
            world.timeline.after(act.seconds, self._end, attempt, act.kind)
        if act.seconds > CHECK_EVERY or act.kind in ("hang", "deaf", "nest"):
            self._help_in(CHECK_EVERY * (1.0 + world.rng.random()))

    def end_nested(self, attempt: Attempt) -> None:
        """End an attempt that has waited for others."""
        self._end(attempt, "nest")

    def _end(self, attempt: Attempt, kind: str) -> None:
        if self.running is not attempt or self._postpone(self._end, attempt, kind):
            return
        if kind == "die":
            self.die()
            return
        if kind == "interrupted" and attempt.act.kind == "nest":
            self.world.end_nested(self.number)
        outcome, now = OUTCOMES[kind], self.world.timeline.now
        self.page.ended = attempt.lease
        self.running = None
        if not self._results:
            self._oldest_start = attempt.began
        value, seconds = attempt.value, now - attempt.began
        if outcome in (Outcome.ERROR, Outcome.FINAL_ERROR, Outcome.INTERRUPTED):
            value = encode_failure(Failure(Reason.ERROR, value.decode()))
        self._results.append(Result(attempt.lease, outcome, value, seconds, ()))
        self.world.ledger.on_end(attempt.lease, outcome, value)
        if outcome is Outcome.OK:
            self.page.kept[attempt.lease] = seconds, value
        if not self._dies_at("end"):
            self._go_on()

    def _begin_broadcast(self, message: Prepare) -> None:
        assert message.context is None or message.context in self._codes, "a broadcast came before its context"
        assert self.link is not None
        self.link.send_results(self._drain())
        self.running = attempt = Attempt(0, message.number, Act(message.code.decode(), 0.01), self.world.timeline.now)
        self.world.ledger.on_broadcast_run(self.number, message.number)
        self.world.timeline.after(0.01, self._end_broadcast, attempt)

    def _end_broadcast(self, attempt: Attempt) -> None:
        if self.running is not attempt or self._postpone(self._end_broadcast, attempt):
            return
        if attempt.act.kind == "die":
            self.die()
            return
        self.running = None
        assert self.link is not None
        self.link.send_set_up(attempt.taskid, "ValueError: no" if attempt.act.kind == "bad" else "")
        self._go_on()

    def _dies_at(self, point: str) -> bool:
        if self.kill_when == point:
            self.die()
        return not self.is_alive

    # the helper thread

    def _help_in(self, seconds: float) -> None:
        if not self._is_help_due:
            self._is_help_due = True
            self.world.timeline.after(seconds, self._help)

    def _help(self) -> None:
        if self._postpone(self._help):
            return
        self._is_help_due = False
        attempt, now = self.running, self.world.timeline.now
        if attempt is None or attempt.act.kind == "hold" or not attempt.lease or self.link is None:
            return
        if now - attempt.began < CHECK_EVERY:
            self._help_in(CHECK_EVERY)
            return
        then = []
        if self._announced != attempt.lease:
            self._announced = attempt.lease
            then.append(Started(attempt.lease, now - attempt.began))
        self.link.send_results(self._drain(), then)
        self._exchange()
        if self.wants_reconnect or self._announced != attempt.lease:
            self._help_in(CHECK_EVERY)
        if self._dies_at("reported"):
            return
        if len(self._attempts) == 1 and self._asked_back <= attempt.lease and now - attempt.began < KEEP_ONE:
            self._help_in(KEEP_ONE)
            return
        self._return_leases()

    # both threads

    def _exchange(self) -> None:
        link = self.link
        assert link is not None
        if self.wants_reconnect:
            self.wants_reconnect = False
            link.reconnect()
            self._announced = 0
        link.send_results(self._drain())
        if self._revoked:
            revoked = list(self._revoked)
            self._revoked.clear()
            link.send_returned(revoked, is_busy=self.running is not None)
        if self._properties_changed:
            self._properties_changed = False
            link.send([PropertiesChanged()])
        for message in link.receive():
            self._accept(message)

    def _accept(self, message: ToWorker) -> None:
        match message:
            case Run(first_lease=first, ids=ids, bodies=bodies):
                for at, (taskid, body) in enumerate(zip(ids, bodies, strict=True)):
                    self._attempts.append((first + at, taskid, body, message))
            case Prepare():
                self._attempts.append((0, message.number, b"", message))
            case Code():
                assert message.digest not in self._codes, "a worker was sent code that it has"
                self._codes.add(message.digest)
            case ForgetCode():
                assert self._codes.issuperset(message.digests), "a worker is to forget what it does not have"
                self._codes.difference_update(message.digests)
            case Return():
                self._asked_back = message.until

    def _drain(self) -> list[Result]:
        results = list(self._results)
        self._results.clear()
        return results

    def _return_leases(self) -> None:
        leases = [attempt[0] for attempt in self._attempts if attempt[0]]
        if leases:
            self._attempts = deque(attempt for attempt in self._attempts if not attempt[0])
            assert self.link is not None
            self.link.send_returned(leases)
