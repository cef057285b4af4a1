"""Fakes, for users' tests too: a controller that runs tasks in a thread of this process, and a farm of it."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from taskfc_ext import serialize
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.drivers.connection_file import ConnectionInfo, host_name
from taskfc_ext.drivers.transport import Router
from taskfc_ext.errors import FarmError, StartFailed
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import (
    Abort,
    Accepted,
    Barrier,
    ClientMessage,
    ControllerMessage,
    Define,
    Ended,
    ErrorKind,
    GetResults,
    Hello,
    Hold,
    Move,
    Refused,
    Released,
    Reply,
    Retry,
    Stop,
    Stopping,
    Submit,
    Welcome,
)
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.payloads import Failure, Payload, Reason, encode_failure

ANSWER_WITHIN = 60.0
"""Seconds: a bound on hangs, far above what anything takes on a loaded machine."""

Rule = Callable[[ClientMessage], Sequence[ControllerMessage] | None]
"""Looks at a message first: `None` leaves it to the fake, anything else is sent instead."""


class FakeStore:
    """What outlives a fake controller: accepted tasks, results, first answers."""

    def __init__(self) -> None:
        self.code: dict[bytes, bytes] = {}
        self.tasks: dict[int, tuple[Submit, Payload]] = {}
        self.ended: dict[int, Ended] = {}
        self.accepted: dict[tuple[str, int], Accepted] = {}
        self.incarnation = 0


class FakeController:
    """Speaks the controller's side of the protocol over a real socket, and runs functions in its own thread.

    Args:
        path: the socket to bind.
        store: of a controller before it, to carry on.
        rule: gets each message first.
        running: whether accepted tasks are run at once; else when `run_tasks` is called.
    """

    def __init__(
        self, path: Path, store: FakeStore | None = None, *, rule: Rule | None = None, running: bool = True
    ) -> None:
        self.store = store or FakeStore()
        self.store.incarnation += 1
        self.received: list[ClientMessage] = []
        self.rule = rule
        self.running = running
        self._changed = threading.Condition()
        self._ordered: list[Callable[[], None]] = []
        self._sessions: dict[bytes, str] = {}
        self._barriers: dict[tuple[bytes, int], set[int]] = {}
        self._closing = False
        self._router = Router(path)
        self._thread = threading.Thread(target=self._serve, name="fake-controller", daemon=True)
        self._thread.start()

    # what tests do with it

    def wait_for(self, kind: type[ClientMessage], n: int = 1, timeout: float = ANSWER_WITHIN) -> list[ClientMessage]:
        """Return the messages of `kind` when there are `n`."""

        def found() -> list[ClientMessage]:
            return [message for message in self.received if isinstance(message, kind)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= n, timeout):
                raise TimeoutError(f"{len(found())} of {n} {kind.__name__} after {timeout} s: {self.received}")
            return found()

    def run_tasks(self) -> None:
        """Run what has been held back, and whatever comes from now on."""

        def run() -> None:
            self.running = True
            self._run_waiting()

        self._in_thread(run)

    def say(self, *messages: ControllerMessage) -> None:
        """Send messages to all clients."""
        self._in_thread(lambda: self._to_all(*messages))

    def close(self) -> None:
        """Die, without a word."""
        if not self._thread.is_alive():
            return
        self._in_thread(lambda: setattr(self, "_closing", True))
        self._thread.join()

    # inside

    def _in_thread(self, action: Callable[[], None]) -> None:
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        with self._changed:
            self._ordered.append(act)
        if not done.wait(ANSWER_WITHIN):
            raise TimeoutError("the fake controller does not answer")

    def _serve(self) -> None:
        try:
            while not self._closing:
                select.select([int(self._router.socket.fd)], [], [], 0.005)
                for peer, frame in self._router.receive(100):
                    for message in codec.from_client.decode(frame):
                        self._on_message(peer, message)
                with self._changed:
                    ordered, self._ordered = self._ordered, []
                for action in ordered:
                    action()
        finally:
            self._router.close()

    def _on_message(self, peer: bytes, message: ClientMessage) -> None:
        with self._changed:
            self.received.append(message)  # before anybody can see what came of it
        if isinstance(message, Hello):
            self._sessions[peer] = message.session
        answers = self.rule(message) if self.rule is not None else None
        if answers is None:
            answers = self._answer(peer, message)
        self._send(peer, answers)
        if isinstance(message, Submit | Retry) and self.running:
            self._run_waiting()
        with self._changed:
            self._changed.notify_all()

    def _answer(self, peer: bytes, message: ClientMessage) -> Sequence[ControllerMessage]:
        match message:
            case Hello():
                return [self._welcome(message)]
            case Define(digest, body):
                assert isinstance(body, bytes)
                self.store.code[digest] = body
                return []
            case Released():
                return []
            case Submit():
                return [self._accept(self._sessions[peer], message)]
            case GetResults():
                return self._results(message)
            case Barrier():
                return self._open_barrier(peer, message)
            case Abort():
                return self._abort(message)
            case Hold() | Move():
                return [self._steer(message)]
            case Retry():
                return [self._retry(message)]
            case Stop():
                return [Reply(message.seq), Stopping()]
            case _:
                return [Reply(message.seq)]

    def _welcome(self, message: Hello) -> Welcome:
        return Welcome(
            protocol=PROTOCOL,
            version="fake",
            name="fake",
            incarnation=self.store.incarnation,
            pid=1,
            supervisor_pid=1,
            client_name=message.label,
            n_workers=0,
        )

    def _accept(self, session: str, message: Submit) -> Accepted:
        known = self.store.accepted.get((session, message.seq))
        if known is not None:
            return known
        first = len(self.store.tasks)
        for body in message.bodies:
            self.store.tasks[len(self.store.tasks)] = message, body
        answer = self.store.accepted[session, message.seq] = Accepted(message.seq, first)
        return answer

    def _results(self, message: GetResults) -> Sequence[ControllerMessage]:
        unknown = [taskid for taskid in message.taskids if taskid not in self.store.tasks]
        if unknown:
            text = f"there is no task {unknown[0]}"
            return [Refused(message.seq, ErrorKind.UNKNOWN_TASK, text, value={"taskids": unknown})]
        ended = [self.store.ended[taskid] for taskid in message.taskids if taskid in self.store.ended]
        unfinished = [taskid for taskid in message.taskids if taskid not in self.store.ended]
        return [*ended, Reply(message.seq, unfinished)]

    def _open_barrier(self, peer: bytes, message: Barrier) -> Sequence[ControllerMessage]:
        taskids = self.store.tasks if message.taskids is None else message.taskids
        remaining = set(taskids) - set(self.store.ended)
        if not remaining:
            return [Reply(message.seq)]
        self._barriers[peer, message.seq] = remaining
        return []

    def _abort(self, message: Abort) -> Sequence[ControllerMessage]:
        taskid = message.taskid
        if taskid not in self.store.tasks or taskid in self.store.ended:
            if message.queued_only and taskid in self.store.tasks:
                return [Reply(message.seq, False)]
            return [Refused(message.seq, ErrorKind.UNKNOWN_TASK, f"no task {taskid}", value={"taskids": [taskid]})]
        ended = self._end(taskid, Failure(reason=Reason.ABORTED, message="aborted"))
        return [Reply(message.seq, True), ended]

    def _steer(self, message: Hold | Move) -> Reply | Refused:
        wrong = [taskid for taskid in message.taskids if taskid not in self.store.tasks or taskid in self.store.ended]
        if wrong:
            text = f"not among the unfinished tasks: {wrong[0]}"
            return Refused(message.seq, ErrorKind.UNKNOWN_TASKS, text, value={"taskids": wrong})
        return Reply(message.seq, [] if isinstance(message, Hold) else None)

    def _retry(self, message: Retry) -> Reply | Refused:
        taskid = message.taskid
        if taskid not in self.store.tasks:
            text = f"there is no task {taskid}"
            return Refused(message.seq, ErrorKind.UNKNOWN_TASK, text, value={"taskids": [taskid]})
        if taskid not in self.store.ended:
            return Refused(message.seq, ErrorKind.NOT_ALLOWED, f"task {taskid} has not ended", "abort it first")
        new = len(self.store.tasks)
        self.store.tasks[new] = self.store.tasks[taskid]
        return Reply(message.seq, [[taskid, new]])

    def _run_waiting(self) -> None:
        for taskid in sorted(set(self.store.tasks) - set(self.store.ended)):
            self._to_all(self._run(taskid))
        for (peer, seq), remaining in list(self._barriers.items()):
            if remaining <= set(self.store.ended):
                del self._barriers[peer, seq]
                self._send(peer, [Reply(seq)])

    def _run(self, taskid: int) -> Ended:
        message, body = self.store.tasks[taskid]
        try:
            assert isinstance(body, bytes)
            function = serialize.load_function(self.store.code[message.spec.code])
            first = self.store.accepted
            inputs = [
                ref if isinstance(ref, int) else next(a.first for (_, s), a in first.items() if s == ref[0]) + ref[1]
                for ref in message.inputs
            ]
            values = [value for taskid in inputs for value in self.store.ended[taskid].values]
            args, kwargs = serialize.load_call(body, [value for value in values if isinstance(value, bytes)])
            return self._end(taskid, serialize.dump_value(function(*args, **kwargs), what="the result"))
        except Exception as error:  # noqa: BLE001 - it is the task's
            return self._end(taskid, serialize.dump_exception(error, traceback=f"Traceback: {error!r}"))

    def _end(self, taskid: int, value: bytes | Failure) -> Ended:
        now = time.time()
        failure = value if isinstance(value, Failure) else None
        ended = self.store.ended[taskid] = Ended(
            ids=(taskid,),
            reasons=(failure.reason.value if failure else "",),
            values=(encode_failure(value) if isinstance(value, Failure) else value,),
            workers=(7,),
            attempts=(1,),
            submitted=(now,),
            completed=now,
            seconds=(0.5,),
            outputs={taskid: ("printed\n",)},
        )
        return ended

    def _to_all(self, *messages: ControllerMessage) -> None:
        for peer in list(self._sessions):
            self._send(peer, messages)

    def _send(self, peer: bytes, messages: Sequence[ControllerMessage]) -> None:
        if not messages:
            return
        frame = codec.encode(messages)
        try:
            while not self._router.send(peer, frame):
                time.sleep(0.001)  # more than ZMQ's queue holds: the client is on its way through it
        except ConnectionError:
            self._sessions.pop(peer, None)


class FakeFarm:
    """A farm whose only process is a `FakeController` in a thread; see `taskfc_ext.client.farm.interface.Farm`.

    Args:
        folder: for the socket.
        running: see `FakeController`.

    Attributes:
        rule: that of the controller which `revive` starts.
    """

    def __init__(self, folder: Path, *, running: bool = True) -> None:
        self.path = folder / "c"
        self.store = FakeStore()
        self.state = Condition.ALIVE
        self.revivals = 0
        self.protocol = PROTOCOL
        self.broken = self.elsewhere = ""
        self.running = running
        self.rule: Rule | None = None
        self.controller = FakeController(self.path, self.store, running=running)

    @property
    def name(self) -> str:
        """Its name."""
        return "fake"

    def socket(self) -> Path:
        """Return the controller's socket."""
        return self.path

    def condition(self) -> Condition:
        """Return what the test has set."""
        return self.state

    def stops(self) -> int:
        """Return that nobody has stopped it: a test's is killed."""
        return 0

    def connection(self) -> ConnectionInfo | None:
        """Return where it is, if it is; every revival is another farm to whoever looks at processes.

        Raises:
            FarmError: the test has set `elsewhere` to a reason why it cannot be told.
        """
        if self.elsewhere:
            raise FarmError(self.elsewhere)
        if self.state is not Condition.ALIVE:
            return None
        return ConnectionInfo(
            name=self.name,
            protocol=self.protocol,
            version="fake",
            host=host_name(),
            boot_id="fake",
            pid=1,
            pid_started=self.revivals,
            supervisor_pid=1,
            supervisor_started=self.revivals,
            clients=str(self.path),
            python="3.11.0",
        )

    def revive(self) -> None:
        """Start a new controller on the same store, unless the test has set `broken` to a reason why not."""
        self.revivals += 1
        if self.broken:
            raise StartFailed(self.broken)
        self.state = Condition.ALIVE
        self.controller = FakeController(self.path, self.store, rule=self.rule, running=self.running)

    def kill(self, *, then: Condition) -> None:
        """Let the controller die; `then` is how the farm looks afterwards."""
        self.state = then
        self.controller.close()

    def close(self) -> None:
        """End it."""
        self.controller.close()
