"""A virtual client: the real connection and bookkeeping of a session, with real futures, on virtual links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.cancel import CancelRequest
from taskfc_ext.client.session.connection import Connection, Phase
from taskfc_ext.client.session.greeting import make_hello
from taskfc_ext.client.session.pending import Call, Flush
from taskfc_ext.drivers.connection_file import ConnectionInfo
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.snapshots import FarmState
from taskfc_ext.protocol.spec import Kind, OnLost, Recovery, Spec
from tests.core.subscriber import Subscriber
from tests.simulate.ledger import Violation
from tests.simulate.network import Wire
from tests.simulate.plan import NEEDS, Job
from tests.simulate.timeline import Timer

if TYPE_CHECKING:
    from tests.simulate.world import World

CODES = (b"c" * 16, b"d" * 16, b"e" * 16)
DEPEND, RECOVERY, CONTEXT = b"p" * 16, b"r" * 16, b"x" * 16
BODY = b"code"


@cache
def _hello() -> said.Hello:
    return make_hello("0" * 16, version="0")


class Owner:
    """The owner of all futures; none of them is waited for in a thread."""

    farm_name, lending = "t", None


OWNER: Any = Owner()


class VirtualFarm:
    """The files of a farm, as a client sees them."""

    name, journal = "t", Path("/virtual/store")

    is_in_memory = False

    def __init__(self, world: World) -> None:
        self._world = world

    def connection(self) -> ConnectionInfo | None:
        """Return the content of the connection file."""
        supervisor = self._world.supervisor
        if not supervisor.is_alive or not supervisor.has_served:
            return None
        return ConnectionInfo(
            name="t", protocol=PROTOCOL, version="0", host="h", boot_id="b", pid=1, pid_started=1, supervisor_pid=1,
            supervisor_started=1, clients="/virtual/c", python="3",
        )  # fmt: skip

    def socket(self) -> Path:
        """Return the socket's path."""
        return Path("/virtual/c")

    def condition(self) -> Condition:
        """Return how it is without a connection file."""
        return Condition.STOPPED if self._world.is_stopped else Condition.DEAD

    def stops(self) -> int:
        """Return how often it was stopped."""
        return self._world.n_stops


class ClientLoop:
    """The event loop of one client, which may die."""

    def __init__(self, client: VirtualClient) -> None:
        self.client, self.timeline = client, client.world.timeline

    def call_later(self, delay: float, action: Callable[..., Any], *args: Any) -> Timer:
        """Call `action` later, unless the client is dead by then."""
        return self.timeline.call_later(delay, self._do, action, args)

    def _do(self, action: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self.client.is_alive:
            action(*args)


class VirtualLink:
    """Stands in for a `Link`."""

    is_astray = False

    def __init__(self, client: VirtualClient, on_messages: Any, on_lost: Any) -> None:
        self._client, self._on_messages, self._on_lost = client, on_messages, on_lost
        self._is_closed = False
        self._wire = Wire(client.world.net, "clients", client.name, self._receive, self._end)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages in order."""
        client = self._client
        for message in messages:
            client.world.ledger.on_request(client.session, message)
            if client.world.trace is not None:
                client.world.note(client.name, f"sends {message}")
        for frame in codec.pack(messages):
            self._wire.send(frame)

    def _receive(self, frame: bytes) -> None:
        client = self._client
        messages = codec.from_controller.decode(frame)
        for message in messages:
            if client.world.trace is not None:
                client.world.note(client.name, f"receives {message}")
            client.world.ledger.on_answer(client.session, message)
        if messages and not self._is_closed:
            self._on_messages(messages)

    def close(self) -> None:
        """Close at once."""
        self._is_closed = True
        self._wire.close()

    def _end(self) -> None:
        if not self._is_closed:
            self.close()
            self._on_lost(None)


class VirtualConnection(Connection):
    """The real connection, on virtual links; a revival takes virtual time."""

    _loop: Any

    def _open_link(self, path: Path) -> Any:
        return VirtualLink(self._loop.client, self._on_messages, self._on_lost)

    def _revive(self) -> None:
        self._leave()
        self._phase = Phase.REVIVING
        self._loop.client.world.revive(self._loop.client, self._on_revived)


class VirtualClient:
    """One client process.

    Args:
        worker: the worker that it runs on; -1: none.

    Attributes:
        futures: of the tasks that it submitted or follows.
        calls: its requests, whose answers it waits for.
    """

    def __init__(self, world: World, number: int, worker: int = -1, observer: Any = None) -> None:
        self.world, self.worker = world, worker
        self.name = f"client {number}"
        self.session = f"{number:016x}"
        self.is_alive = True
        self.futures: list[TaskFuture] = []
        self.calls: list[Call] = []
        self.state = SessionState()
        self.state.session = self.session
        hello = msgspec.structs.replace(_hello(), session=self.session, owner=f"n{number % 2}", worker=worker)
        farm: Any = VirtualFarm(world)
        loop: Any = ClientLoop(self)
        self.connection = VirtualConnection(loop, farm, self.state, hello, observer)
        self.connection.start()

    def die(self) -> None:
        """End the process, without any notice."""
        self.is_alive = False
        self.connection._leave()

    # requests

    def ask(self, kind: type[said.Request], **fields: Any) -> Call:
        """Send a request behind all earlier ones."""
        call = Call(kind, fields)
        self.calls.append(call)
        self.state.outbox.append(call)
        self.connection.drain()
        return call

    def submit(self, jobs: Sequence[Job], options: dict[str, Any], parents: Sequence[TaskFuture | int]) -> None:
        """Submit a batch."""
        code = CODES[options.get("code") or 0]
        facts = {"kind": Kind.FUNCTION, "code": code, "label": "f"}
        for name in ("retries", "timeout", "backoff", "priority", "retry_timeouts"):
            if name in options:
                facts[name] = options[name]
        if options.get("needs") is not None:
            facts["needs"] = NEEDS[options["needs"]]
        if "on_lost" in options:
            facts["on_lost"] = OnLost(options["on_lost"])
        if options.get("depend"):
            facts["depend"] = DEPEND
        for job in jobs:
            recovery = None
            if job.recovery:
                of = Spec(kind=Kind.FUNCTION, code=RECOVERY, label="r", timeout=facts.get("timeout"))
                recovery = Recovery(of, b"r%d" % job.number)
            spec = Spec(**facts, recovery=recovery)  # type: ignore[arg-type]
            self._submit(job, spec, options, parents)
        self.connection.drain()

    def _submit(self, job: Job, spec: Spec, options: dict[str, Any], parents: Sequence[TaskFuture | int]) -> None:
        last = self.futures[-1]._template if self.futures else None
        named = [*spec.bodies, *([RECOVERY] if spec.recovery is not None else [])]
        inputs = tuple(parents) if options.get("as_inputs") else ()
        after = () if inputs else tuple(parents)
        if last is None or (last.spec, last.after, last.inputs) != (spec, after, inputs):
            last = Template(
                OWNER, spec, label="f", defines=[(digest, BODY) for digest in named], after=after, inputs=inputs,
                after_any=bool(options.get("after_any")),
            )  # fmt: skip
        body = b"j%d" % job.number
        self.world.ledger.jobs[body] = job
        future: TaskFuture = TaskFuture(last, body)
        self.futures.append(future)
        self.state.outbox.append(future)

    def follow(self, taskid: int) -> None:
        """Follow a task of another client, or one whose wait ended when the farm was stopped."""
        if taskid in self.state.unfinished:
            return
        future: TaskFuture = TaskFuture(Template(OWNER, None, label="?"), taskid=taskid)
        self.futures.append(future)
        if self.connection.can_ask:
            self.connection.ask(self.state.follow(future, taskid))
        else:
            self.futures.pop()

    def cancel(self, future: TaskFuture) -> None:
        """Cancel a task."""
        CancelRequest(self.state, self.connection, future, cancelling=True).begin()

    def run_inside(self, jobs: Sequence[Job], on_end: Callable[[], None]) -> None:
        """Submit jobs and wait for them, as a task does; call `on_end` when the wait is over."""
        self.submit(jobs, {}, ())
        futures, flush = self.futures[:], Flush()

        def wait(_: object) -> None:
            ids = tuple(future.taskid for future in futures if future.taskid is not None)
            call = self.ask(said.Barrier, taskids=ids)
            call.answer.add_done_callback(lambda _: on_end())

        flush.done.add_done_callback(wait)
        self.state.outbox.append(flush)
        self.connection.drain()

    # the end

    def left_over(self) -> list[str]:
        """Return what it still waits for."""
        left = [f"{self.name} waits for {future!r}" for future in self.futures if not future.done()]
        left += [f"{self.name} waits for the answer to {call.kind.__name__} {call.seq}" for call in self.calls
                 if not call.answer.done()]  # fmt: skip
        if not left and self.state.is_awaited:
            left.append(f"{self.name}: something is unanswered")
        return left


class Watcher:
    """A subscriber, and what it knows of the queue."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.known = Subscriber()
        self._is_whole = False
        self._seq = 0
        self.client = VirtualClient(world, number, observer=self)

    def on_connecting(self) -> None:
        """See `Observer`."""

    on_live = on_silent = on_lost = on_connecting

    def on_down(self, state: FarmState, error: Exception) -> Exception:
        """See `Observer`."""
        self._is_whole = False
        return error

    def resume(self) -> list[Message]:
        """Subscribe over a new link."""
        self._is_whole = False
        self._seq = self.client.state.take_seq()
        return [said.Watch(self._seq)]

    def receive(self, message: said.Watching | said.Changed) -> list[Message]:
        """Take a snapshot, or the next delta."""
        if isinstance(message, said.Watching):
            if message.seq == self._seq:
                self._is_whole = True
                self.known.tasks, self.known.batches = {}, {}
                self.known.apply(message.snapshot)
        elif self._is_whole:
            if message.delta.seq != self.known.seq + 1:
                raise Violation("I12", f"delta {message.delta.seq} follows {self.known.seq}")
            self.known.apply(message.delta)
        return []

    def left_over(self, unfinished: set[int], finished: set[int]) -> list[str]:
        """Return how its knowledge of the queue differs from the ledger's."""
        known = set(self.known.unfinished())
        if not self._is_whole:
            return ["the subscriber has no snapshot"]
        left = [f"the subscriber thinks that task {taskid} is unfinished" for taskid in known - unfinished]
        return left + [f"the subscriber does not know task {taskid}" for taskid in finished - set(self.known.tasks)]
