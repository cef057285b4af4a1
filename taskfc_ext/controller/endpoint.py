"""The controller's end of the wire: who may say what, and which method answers it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum

import msgspec

from taskfc_ext.controller.interface import TaskController
from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import FromClient, Now
from taskfc_ext.drivers.environment import EXECUTABLE, PREFIX
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.ids import PROTOCOL, Session
from taskfc_ext.protocol.payloads import Payload, PayloadRef
from taskfc_ext.protocol.spec import Spec


class Role(IntEnum):
    """What a connection may do; each role may do what the ones below it may."""

    VIEWER = 1
    CLIENT = 2


MAX_STRIKES = 10
"""Frames that break the rules, after which a connection is not listened to any more."""

MAX_RECOVERIES = 10
"""Recovery tasks within recovery tasks. Only the outermost ever runs; what nests without end is meant to break us."""

_OWN_FARM = "start a farm of this Python under another name: start(name=...); or use the farm's Python here"

MESSAGES: dict[type[said.Message], tuple[Role, str]] = {
    said.Hello: (Role.VIEWER, "remote_hello"),
    said.Define: (Role.CLIENT, "remote_define"),
    said.Released: (Role.CLIENT, "remote_released"),
    said.Submit: (Role.CLIENT, "remote_run"),
    said.Abort: (Role.CLIENT, "remote_abort"),
    said.AbortTasks: (Role.CLIENT, "remote_abort_tasks"),
    said.Hold: (Role.CLIENT, "remote_hold"),
    said.Move: (Role.CLIENT, "remote_move"),
    said.Retry: (Role.CLIENT, "remote_retry"),
    said.GetResults: (Role.VIEWER, "remote_get_task_result"),
    said.Barrier: (Role.VIEWER, "remote_barrier"),
    said.Unwait: (Role.VIEWER, "remote_unwait"),
    said.Spin: (Role.CLIENT, "remote_spin"),
    said.QueueStatus: (Role.VIEWER, "remote_queue_status"),
    said.Clear: (Role.CLIENT, "remote_clear"),
    said.ListTasks: (Role.VIEWER, "remote_list_tasks"),
    said.GetLog: (Role.VIEWER, "remote_get_log"),
    said.GetFailure: (Role.VIEWER, "remote_get_failure"),
    said.GetSubmission: (Role.CLIENT, "remote_get_submission"),
    said.GetOutputs: (Role.VIEWER, "remote_get_outputs"),
    said.GetDetails: (Role.VIEWER, "remote_get_details"),
    said.GetClientName: (Role.VIEWER, "remote_get_client_name"),
    said.GetWorkers: (Role.VIEWER, "remote_get_workers"),
    said.Watch: (Role.VIEWER, "remote_watch"),
    said.Unwatch: (Role.VIEWER, "remote_unwatch"),
    said.Broadcast: (Role.CLIENT, "remote_broadcast"),
    said.AwaitBroadcast: (Role.VIEWER, "remote_await_broadcast"),
    said.ClearBroadcasts: (Role.CLIENT, "remote_clear_broadcasts"),
    said.Scale: (Role.CLIENT, "remote_scale"),
    said.Stop: (Role.CLIENT, "remote_stop"),
    said.Ping: (Role.VIEWER, "remote_ping"),
}
"""All that can be asked over the wire, with the least role for it. What does not stand here cannot be called."""


class Connection:
    """One connection of a client.

    Attributes:
        identity: its routing id.
        role: what it may do.
        session: `None` before its `Hello`.
        foreign: its interpreter, if that is of another environment: it may look and steer, and not submit.
        greetings: how often it said a good one.
        strikes: frames that broke the rules.
        heard_at: monotonic time of its last sign of life.
    """

    __slots__ = ("foreign", "greetings", "heard_at", "identity", "role", "session", "strikes")

    def __init__(self, identity: bytes, role: Role = Role.CLIENT) -> None:
        self.identity = identity
        self.role = role
        self.session: Session | None = None
        self.foreign = ""
        self.greetings = 0
        self.strikes = 0
        self.heard_at = 0.0


class FCTaskControllerFromTaskController:
    """Offers a task controller to clients, over the wire.

    (`FC` stood for Foolscap. The transport is ZMQ now; the name is the interface's.)

    Args:
        taskController: decides what happens; the scheduler.
        stage: puts large arguments into files; returns what stands for them.
    """

    def __init__(
        self, taskController: TaskController, *, stage: Callable[[tuple[Payload, ...]], tuple[Payload, ...]] = tuple
    ) -> None:
        self._task_controller = taskController
        self._stage = stage
        self._methods: dict[type, tuple[Role, Callable[[Session, said.Message, Now], Effects]]] = {
            message: (role, getattr(self, method)) for message, (role, method) in MESSAGES.items()
        }

    # receiving

    def receive(self, connection: Connection, frame: bytes, now: Now) -> tuple[list[Effects], list[Refused]]:
        """Take one frame of a connection in; return the effects of its messages, and refusals to send back at once."""
        if connection.strikes >= MAX_STRIKES:
            return [], []
        try:
            messages = codec.from_client.decode(frame)
        except ProtocolError as error:
            return [], [self._strike(connection, ErrorKind.PROTOCOL, error.message)]
        effects: list[Effects] = []
        refusals: list[Refused] = []
        for message in messages:
            refusal = self._refusal(connection, message)
            if refusal is not None:
                refusals.append(refusal)
            if connection.strikes >= MAX_STRIKES or connection.session is None:
                break  # one refusal says it for all that follows
            if refusal is None:
                if len(frame) >= LARGE and isinstance(message, said.Submit):
                    message = msgspec.structs.replace(message, bodies=self._stage(message.bodies))
                effects.append(self._methods[type(message)][1](connection.session, message, now))
        return effects, refusals

    def _refusal(self, connection: Connection, message: said.ClientMessage) -> Refused | None:
        """Say why `message` may not be handled on this connection, or open it if it is a good `Hello`."""
        seq = message.seq if isinstance(message, said.Request) else 0
        if connection.role < self._methods[type(message)][0]:
            return self._strike(
                connection,
                ErrorKind.NOT_ALLOWED,
                f"a {connection.role.name.lower()} may not send {type(message).__name__}",
                seq,
            )
        if isinstance(message, said.Hello):
            if message.protocol != PROTOCOL:
                text = f"this client speaks protocol {message.protocol} (taskfc_ext {message.version}), "
                text += f"this controller {PROTOCOL}"
                return Refused(0, ErrorKind.VERSION, text, "run the same taskfc_ext on both sides: `taskfc restart`")
            ours = ".".join(platform.python_version_tuple()[:2])
            if message.viewer:
                connection.foreign = os.fsdecode(message.executable) or "no Python"
            elif message.python != ours:
                theirs = f" ({os.fsdecode(message.executable)})" if message.executable else ""
                text = (
                    f"this client runs Python {message.python}{theirs}, this farm {ours} ({os.fsdecode(EXECUTABLE)}): "
                )
                return Refused(0, ErrorKind.VERSION, text + "code does not travel between them", _OWN_FARM)
            elif message.prefix not in (b"", PREFIX):
                connection.foreign = os.fsdecode(message.executable)
            connection.session = Session(message.session)
            connection.greetings += 1
        elif connection.session is None:
            return Refused(seq, ErrorKind.SAY_HELLO, "a connection begins with Hello", "say hello first")
        elif connection.foreign and _carries_code(message):
            text = (
                f"this client runs {connection.foreign}, this farm {os.fsdecode(EXECUTABLE)}: what is installed there "
            )
            return Refused(seq, ErrorKind.VERSION, text + "may differ, so code does not travel between them", _OWN_FARM)
        elif isinstance(message, said.Submit):
            return self._unfit(connection, (message.spec, *_recoveries(message.spec)), message.bodies, seq)
        elif isinstance(message, said.Define):
            return self._unfit(connection, (), (message.body,), seq)
        elif isinstance(message, said.Broadcast):
            return self._unfit(connection, (), (message.code, message.body), seq)
        return None

    def _unfit(
        self, connection: Connection, specs: Sequence[Spec], bodies: Iterable[Payload], seq: int
    ) -> Refused | None:
        """Say what about these specs and bodies cannot be taken."""
        if len(specs) > MAX_RECOVERIES + 1:
            text = (
                f"a recovery task has recovery tasks of its own, {len(specs) - 1} deep; the limit is {MAX_RECOVERIES}"
            )
            return self._strike(connection, ErrorKind.TOO_MUCH, text, seq)
        nested = (spec.recovery.body for spec in specs if spec.recovery is not None)
        if any(isinstance(body, PayloadRef) for body in (*bodies, *nested)):
            return self._strike(connection, ErrorKind.NOT_ALLOWED, "this controller takes no payload references", seq)
        return None

    def _strike(self, connection: Connection, kind: ErrorKind, text: str, seq: int = 0) -> Refused:
        connection.strikes += 1
        left = MAX_STRIKES - connection.strikes
        hint = f"after {left} more, this connection is cut off" if left else "this connection is cut off"
        return Refused(seq, kind, text, hint)

    # answering

    def packageSuccess(self, *messages: said.ControllerMessage) -> bytes:
        """Return one frame with answers and news for a client. Values are opaque bytes; nothing is pickled."""
        return codec.encode(messages)

    def packageFailure(self, refusal: Refused) -> bytes:
        """Return one frame that refuses a request. Nothing is pickled."""
        return codec.encode([refusal])

    # what can be asked

    def _hand_over(self, session: Session, message: said.ClientMessage, now: Now) -> Effects:
        """Let the task controller decide: by here `message` is one that this client may say."""
        return self._task_controller.handle(FromClient(session, message), now)

    # `IFCTaskController` says what each is for, and what each takes.
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
    remote_unwait = _hand_over
    remote_list_tasks = _hand_over
    remote_get_log = _hand_over
    remote_get_failure = _hand_over
    remote_get_submission = _hand_over
    remote_get_outputs = _hand_over
    remote_get_details = _hand_over
    remote_get_workers = _hand_over
    remote_watch = _hand_over
    remote_unwatch = _hand_over
    remote_broadcast = _hand_over
    remote_await_broadcast = _hand_over
    remote_clear_broadcasts = _hand_over
    remote_scale = _hand_over
    remote_stop = _hand_over
    remote_ping = _hand_over


def _recoveries(spec: Spec) -> Iterator[Spec]:
    """Yield the recovery of `spec`, and the recovery of that, and so on."""
    while spec.recovery is not None:
        spec = spec.recovery.spec
        yield spec


def _carries_code(message: said.Message) -> bool:
    return isinstance(message, said.Submit | said.Broadcast) or (
        isinstance(message, said.Retry) and bool(message.context)
    )
