"""The controller's end of a client connection: checks each message and calls the method that answers it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from taskfc_ext.controller.failed_requests import FailedRequests
from taskfc_ext.controller.interface import TaskController
from taskfc_ext.controller.staging import refuse_missing_file
from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import FromClient, Now
from taskfc_ext.drivers.environment import EXECUTABLE, PREFIX
from taskfc_ext.drivers.payload_files import may_be_large
from taskfc_ext.drivers.uploads import UploadGone
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.code_in_messages import code_in
from taskfc_ext.protocol.ids import PROTOCOL, Session
from taskfc_ext.protocol.limits import MAX_BROADCAST, MAX_RECOVERY, MAX_SHARED_FRAME
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload, PayloadRef, Upload, size_of
from taskfc_ext.protocol.spec import Spec

MAX_STRIKES = 10
"""Illegal frames or messages of one connection, after which the controller ignores it."""

MAX_RECOVERIES = 10
"""Recovery tasks within recovery tasks. Only the outermost ever runs, so deep nesting is an attack."""

_OWN_FARM = "start a farm of this Python under another name: start(name=...); or use the farm's Python here"

MESSAGES: dict[type[Message], str] = {
    said.Hello: "remote_hello",
    said.Define: "remote_define",
    said.Released: "remote_released",
    said.Submit: "remote_run",
    said.Abort: "remote_abort",
    said.AbortTasks: "remote_abort_tasks",
    said.Hold: "remote_hold",
    said.Move: "remote_move",
    said.Retry: "remote_retry",
    said.GetResults: "remote_get_task_result",
    said.Barrier: "remote_barrier",
    said.GetBarrier: "remote_get_barrier",
    said.Unwait: "remote_unwait",
    said.Spin: "remote_spin",
    said.QueueStatus: "remote_queue_status",
    said.Clear: "remote_clear",
    said.ListTasks: "remote_list_tasks",
    said.GetLog: "remote_get_log",
    said.GetSubmission: "remote_get_submission",
    said.GetOutputs: "remote_get_outputs",
    said.GetDetails: "remote_get_details",
    said.GetClientName: "remote_get_client_name",
    said.GetWorkers: "remote_get_workers",
    said.GetEngine: "remote_get_engine",
    said.Watch: "remote_watch",
    said.Unwatch: "remote_unwatch",
    said.Broadcast: "remote_broadcast",
    said.AwaitBroadcast: "remote_await_broadcast",
    said.ClearBroadcasts: "remote_clear_broadcasts",
    said.Scale: "remote_scale",
    said.Stop: "remote_stop",
    said.Ping: "remote_ping",
}
"""The method that handles each message. A method that is not listed here cannot be called over the wire."""


class Connection:
    """One connection of a client.

    Attributes:
        identity: its routing id.
        session: `None` before its `Hello`.
        foreign: its interpreter, if that belongs to another environment: the client may do all but submit code.
        strikes: illegal frames and messages.
        received_at: monotonic time of its last frame.
        has_asked: it has sent more than a greeting.
    """

    __slots__ = ("foreign", "has_asked", "identity", "received_at", "session", "strikes")

    def __init__(self, identity: bytes) -> None:
        self.identity = identity
        self.session: Session | None = None
        self.foreign = ""
        self.strikes = 0
        self.received_at = 0.0
        self.has_asked = False

    @property
    def is_cut_off(self) -> bool:
        """Whether its frames are ignored."""
        return self.strikes >= MAX_STRIKES


class Handled(NamedTuple):
    """The outcome of one message.

    Attributes:
        effects: its effects; `None`: it has none.
        refusal: to be sent back at once.
        opened: the session that it opened, if it is a `Hello`.
    """

    effects: Effects | None = None
    refusal: Refused | None = None
    opened: Session | None = None


def _content_in_message(payload: bytes | Upload) -> bytes:
    """Return `payload` where no peer can write files."""
    if isinstance(payload, Upload):
        raise UploadGone("this controller reads no files")
    return payload


class FCTaskControllerFromTaskController:
    """Adapter of a task controller to the wire.

    (`FC` stood for Foolscap. The transport is ZMQ now; the name is the interface's.)

    Args:
        taskController: makes the decisions; the scheduler.
        failed: the requests that are refused, as controllers have failed at them; learns which one is handled.
        stage: puts large arguments into files and returns references in their place.
        read: returns the content of what may stand in a file.
        stage_code: the same for the body of code.
        refuse_growth: returns why the farm cannot have so many workers; `None`: it can.
    """

    def __init__(
        self,
        taskController: TaskController,
        failed: FailedRequests,
        *,
        stage: Callable[[tuple[Payload, ...]], tuple[Payload, ...]] = tuple,
        read: Callable[[bytes | Upload], bytes] = _content_in_message,
        stage_code: Callable[[said.Define], said.Define] = lambda define: define,
        refuse_growth: Callable[[said.Scale], Refused | None] = lambda scale: None,
    ) -> None:
        self._task_controller = taskController
        self._failed = failed
        self._stage = stage
        self._read = read
        self._stage_code = stage_code
        self._refuse_growth = refuse_growth
        self._methods: dict[type, Callable[[Session, Message, Now], Effects]] = {
            message: getattr(self, method) for message, method in MESSAGES.items()
        }

    # receiving

    def unpack(self, connection: Connection, frame: bytes) -> list[said.FromClient | bytes] | Refused:
        """Return the messages of a frame, none if the connection is cut off; a refusal if it is damaged or illegal.

        A large frame, which has one message, is returned as it is, for `decode` when its turn comes: so what that costs
        is its sender's.
        """
        if connection.is_cut_off:
            return []
        if len(frame) > MAX_SHARED_FRAME:
            return [frame]
        self._failed.begin(connection.session)
        try:
            return [*codec.from_client.decode(frame)]
        except ProtocolError as error:
            return self._strike(connection, ErrorKind.PROTOCOL, error.message)

    def decode(self, connection: Connection, frame: bytes) -> said.ClientMessage | Refused:
        """Return the message of a large frame; a refusal if it is damaged or illegal."""
        self._failed.begin(connection.session)
        try:
            message = codec.from_client.decode_one(frame)
        except ProtocolError as error:
            return self._strike(connection, ErrorKind.PROTOCOL, error.message)
        if isinstance(message, said.Confirmed):
            return self._strike(connection, ErrorKind.PROTOCOL, f"a Confirmed of {len(frame):,} bytes")
        return message

    def handle(self, connection: Connection, message: said.ClientMessage, n_bytes: int, now: Now) -> Handled:
        """Handle one message of a connection. `n_bytes`: the size of the frame that brought it."""
        session = Session(message.session) if isinstance(message, said.Hello) else connection.session
        self._failed.begin(session, message.seq if isinstance(message, said.Request) else 0)
        if isinstance(message, said.Hello):
            refusal = self._open(connection, message)
        else:
            refusal = self._refusal(connection, message)
        if refusal is not None or connection.session is None:
            return Handled(refusal=refusal)
        try:
            message = self._with_staged(message, n_bytes)
        except UploadGone as error:
            if isinstance(message, said.Request):
                return Handled(refusal=refuse_missing_file(message.seq, error))
            return Handled()  # the submission that names the code is refused
        effects = self._methods[type(message)](connection.session, message, now)
        return Handled(effects, opened=connection.session if isinstance(message, said.Hello) else None)

    def _with_staged(self, message: said.ClientMessage, n_bytes: int) -> said.ClientMessage:
        """Return `message` with its large payloads in files of the store; those of a broadcast itself are read.

        The code in a `Retry` stays as it is until the tasks are recalled.

        Raises:
            UploadGone: the file of an `Upload` is not there.
        """
        match message:
            case said.Submit(bodies=bodies) if may_be_large(n_bytes, bodies):
                return msgspec.structs.replace(message, bodies=self._stage(bodies))
            case said.Define():
                return self._code_in_store(message, n_bytes)
            case said.Broadcast():
                return msgspec.structs.replace(
                    message,
                    context=None if message.context is None else self._code_in_store(message.context, n_bytes),
                    modules=tuple([self._code_in_store(define, n_bytes) for define in message.modules]),
                    code=self._read(message.code),
                    body=self._read(message.body),
                )
            case _:
                return message

    def _code_in_store(self, define: said.Define, n_bytes: int) -> said.Define:
        return self._stage_code(define) if may_be_large(n_bytes, (define.body,)) else define

    def cut_off(self, connection: Connection, text: str) -> Refused:
        """Ignore this connection from now on; return the refusal that tells it."""
        connection.strikes = MAX_STRIKES
        return Refused(0, ErrorKind.TOO_MUCH, text, "this connection is cut off; read the answers, and ask for less")

    def _open(self, connection: Connection, hello: said.Hello) -> Refused | None:
        """Open a session on this connection, or return why not."""
        if connection.session not in (None, hello.session):
            return self._strike(connection, ErrorKind.NOT_ALLOWED, "a connection has one session")
        if hello.protocol != PROTOCOL:
            text = f"this client speaks protocol {hello.protocol} (taskfc_ext {hello.version}), "
            text += f"this controller {PROTOCOL}"
            return Refused(0, ErrorKind.VERSION, text, "run the same taskfc_ext on both sides: `taskfc restart`")
        ours = ".".join(platform.python_version_tuple()[:2])
        if hello.viewer:
            connection.foreign = os.fsdecode(hello.executable) or "no Python"
        elif hello.python != ours:
            theirs = f" ({os.fsdecode(hello.executable)})" if hello.executable else ""
            text = f"this client runs Python {hello.python}{theirs}, this farm {ours} ({os.fsdecode(EXECUTABLE)}): "
            return Refused(0, ErrorKind.VERSION, text + "code does not travel between them", _OWN_FARM)
        elif hello.prefix not in (b"", PREFIX):
            connection.foreign = os.fsdecode(hello.executable)
        connection.session = Session(hello.session)
        return self._failed.refusal(connection.session, 0)

    def _refusal(self, connection: Connection, message: said.ClientMessage) -> Refused | None:
        """Return why `message` may not be handled on this connection; `None` if it may."""
        seq = message.seq if isinstance(message, said.Request) else 0
        if connection.session is None:
            return Refused(seq, ErrorKind.SAY_HELLO, "a connection begins with Hello", "send Hello first")
        failed = self._failed.refusal(connection.session, seq)
        if failed is not None:
            return failed
        if connection.foreign and _carries_code(message):
            text = (
                f"this client runs {connection.foreign}, this farm {os.fsdecode(EXECUTABLE)}: what is installed there "
            )
            return Refused(seq, ErrorKind.VERSION, text + "may differ, so code does not travel between them", _OWN_FARM)
        if isinstance(message, said.Submit):
            return self._unfit(connection, (message.spec, *_recoveries(message.spec)), message.bodies, seq)
        if isinstance(message, said.Broadcast):
            size = size_of(message.code) + size_of(message.body)
            if size > MAX_BROADCAST:
                text = f"the broadcast {message.label} is {size:,} bytes, over the limit of {MAX_BROADCAST:,}"
                return Refused(seq, ErrorKind.TOO_MUCH, text)
        if isinstance(message, said.Scale):
            return self._refuse_growth(message)
        return self._unfit(connection, (), [define.body for define in code_in(message)], seq)

    def _unfit(
        self, connection: Connection, specs: Sequence[Spec], bodies: Iterable[Payload], seq: int
    ) -> Refused | None:
        """Return a refusal if these specs or bodies are illegal."""
        if len(specs) > MAX_RECOVERIES + 1:
            text = (
                f"a recovery task has recovery tasks of its own, {len(specs) - 1} deep; the limit is {MAX_RECOVERIES}"
            )
            return self._strike(connection, ErrorKind.TOO_MUCH, text, seq)
        if any(spec.recovery is not None and len(spec.recovery.body) > MAX_RECOVERY for spec in specs):
            text = f"the arguments of a recovery task are over the limit of {MAX_RECOVERY:,} bytes"
            return self._strike(connection, ErrorKind.TOO_MUCH, text, seq)
        if PayloadRef in map(type, bodies):
            return self._strike(connection, ErrorKind.NOT_ALLOWED, "a client may not send payload references", seq)
        return None

    def _strike(self, connection: Connection, kind: ErrorKind, text: str, seq: int = 0) -> Refused:
        connection.strikes += 1
        left = MAX_STRIKES - connection.strikes
        hint = f"after {left} more, this connection is cut off" if left else "this connection is cut off"
        return Refused(seq, kind, text, hint)

    # answering

    def packageSuccess(self, *messages: said.ControllerMessage) -> bytes:
        """Return one frame with messages for a client. Values are opaque bytes; nothing is pickled here."""
        return codec.encode(messages)

    def packageFailure(self, refusal: Refused) -> bytes:
        """Return one frame that refuses a request. Nothing is pickled here."""
        return codec.encode([refusal])

    # methods for the wire

    def _hand_over(self, session: Session, message: said.ClientMessage, now: Now) -> Effects:
        """Pass a checked message to the task controller."""
        return self._task_controller.handle(FromClient(session, message), now)

    # `IFCTaskController` documents each of them.
    remote_run = _hand_over
    remote_abort = _hand_over
    remote_get_task_result = _hand_over
    remote_barrier = _hand_over
    remote_spin = _hand_over
    remote_queue_status = _hand_over
    remote_clear = _hand_over
    remote_get_client_name = _hand_over
    remote_hello = _hand_over
    remote_define = _hand_over
    remote_released = _hand_over
    remote_abort_tasks = _hand_over
    remote_hold = _hand_over
    remote_move = _hand_over
    remote_retry = _hand_over
    remote_get_barrier = _hand_over
    remote_unwait = _hand_over
    remote_list_tasks = _hand_over
    remote_get_log = _hand_over
    remote_get_submission = _hand_over
    remote_get_outputs = _hand_over
    remote_get_details = _hand_over
    remote_get_workers = _hand_over
    remote_get_engine = _hand_over
    remote_watch = _hand_over
    remote_unwatch = _hand_over
    remote_broadcast = _hand_over
    remote_await_broadcast = _hand_over
    remote_clear_broadcasts = _hand_over
    remote_scale = _hand_over
    remote_stop = _hand_over
    remote_ping = _hand_over


def _recoveries(spec: Spec) -> Iterator[Spec]:
    """Yield the specs of all nested recoveries of `spec`."""
    while spec.recovery is not None:
        spec = spec.recovery.spec
        yield spec


def _carries_code(message: Message) -> bool:
    return isinstance(message, said.Submit | said.Broadcast) or (
        isinstance(message, said.Retry) and bool(message.context)
    )
