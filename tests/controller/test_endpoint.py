"""Tests of the endpoint: which messages a client may send, and the handling of damaged frames."""

from __future__ import annotations

import inspect
import sys
import typing

import msgspec
import pytest

from taskfc_ext.controller import endpoint
from taskfc_ext.controller.endpoint import (
    MAX_RECOVERIES,
    MAX_STRIKES,
    MESSAGES,
    Connection,
    FCTaskControllerFromTaskController,
)
from taskfc_ext.controller.failed_requests import FailedRequests
from taskfc_ext.controller.interface import IFCTaskController
from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import FromClient, Now
from taskfc_ext.drivers.environment import PREFIX
from taskfc_ext.drivers.uploads import UploadGone
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.limits import MAX_IDS, MAX_SHARED_FRAME
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import PayloadRef, Upload
from taskfc_ext.protocol.spec import Kind, Recovery, Spec
from tests.controller.wire import CODE, PYTHON

SESSION = "a" * 16
NOW = Now(1.0, 2.0)
FILE = PayloadRef("abc", 5)

EXAMPLES: dict[type, Message] = {
    said.Hello: said.Hello(PROTOCOL, "0", PYTHON, SESSION),
    said.Define: said.Define(CODE, b"code"),
    said.Released: said.Released((CODE,)),
    said.Submit: said.Submit(seq=1, spec=Spec(kind=Kind.FUNCTION, code=CODE, label="f"), bodies=(b"x",)),
    said.Abort: said.Abort(seq=1, taskid=0),
    said.AbortTasks: said.AbortTasks(seq=1, taskids=(0, 1)),
    said.GetResults: said.GetResults(seq=1, taskids=(0,)),
    said.Barrier: said.Barrier(seq=1),
    said.GetBarrier: said.GetBarrier(seq=1, barrier=1),
    said.Unwait: said.Unwait(seq=1, barrier=1),
    said.Spin: said.Spin(seq=1),
    said.QueueStatus: said.QueueStatus(seq=1),
    said.Hold: said.Hold(seq=1, taskids=(0,)),
    said.Move: said.Move(seq=1, taskids=(0,), priority=1),
    said.Retry: said.Retry(seq=1, taskid=0),
    said.Clear: said.Clear(seq=1),
    said.ListTasks: said.ListTasks(seq=1),
    said.GetLog: said.GetLog(seq=1, taskid=0),
    said.GetSubmission: said.GetSubmission(seq=1, taskid=0),
    said.GetOutputs: said.GetOutputs(seq=1, taskid=0),
    said.GetDetails: said.GetDetails(seq=1, taskid=0),
    said.GetClientName: said.GetClientName(seq=1),
    said.GetWorkers: said.GetWorkers(seq=1),
    said.GetEngine: said.GetEngine(seq=1),
    said.Watch: said.Watch(seq=1),
    said.Unwatch: said.Unwatch(seq=1),
    said.Broadcast: said.Broadcast(seq=1, code_kind=Kind.STRING, label="x = 1", code=b"x = 1", body=b"x"),
    said.AwaitBroadcast: said.AwaitBroadcast(seq=1, number=1),
    said.ClearBroadcasts: said.ClearBroadcasts(seq=1),
    said.Scale: said.Scale(seq=1, n=1),
    said.Stop: said.Stop(seq=1),
    said.Ping: said.Ping(seq=1),
}


class Recorder:
    """A task controller that only records its events."""

    def __init__(self) -> None:
        self.events: list = []

    def handle(self, event, now: Now) -> Effects:
        self.events.append(event)
        return Effects()


class Desk:
    """An endpoint, one connection to it, and the messages that passed."""

    def __init__(self, *, hello: bool = True) -> None:
        self.recorder = Recorder()
        self.failed = FailedRequests()
        self.endpoint = FCTaskControllerFromTaskController(self.recorder, self.failed)
        self.connection = Connection(b"1")
        if hello:
            self.send(EXAMPLES[said.Hello])
            self.recorder.events.clear()

    def send(self, *messages: Message) -> list[Refused]:
        return self.send_frame(codec.encode(messages))

    def send_frame(self, frame: bytes) -> list[Refused]:
        messages = self.endpoint.unpack(self.connection, frame)
        if isinstance(messages, Refused):
            return [messages]
        refusals: list[Refused] = []
        self.opened = None
        for message in messages:
            if isinstance(message, bytes):
                message = self.endpoint.decode(self.connection, message)
                if isinstance(message, Refused):
                    refusals.append(message)
                    continue
            handled = self.endpoint.handle(self.connection, message, len(frame), NOW)
            assert handled.effects is None or isinstance(handled.effects, Effects)
            self.opened = handled.opened or self.opened
            if handled.refusal is not None:
                refusals.append(handled.refusal)
            if self.connection.is_cut_off or self.connection.session is None:
                break
        return refusals

    @property
    def received(self) -> list[Message]:
        return [event.message for event in self.recorder.events]


def submit(**options) -> said.Submit:
    spec = Spec(**{"kind": Kind.FUNCTION, "code": CODE, "label": "f", **options.pop("spec", {})})
    return said.Submit(**{"seq": 7, "spec": spec, "bodies": (b"x",), **options})


def test_the_table_is_the_interface_and_every_message_has_its_place():
    offered = {
        name for name, _ in inspect.getmembers(IFCTaskController, inspect.isfunction) if name.startswith("remote_")
    }
    assert set(MESSAGES.values()) == offered
    assert set(MESSAGES) == set(typing.get_args(said.ClientMessage)) == set(EXAMPLES)
    for method in MESSAGES.values():
        assert callable(getattr(FCTaskControllerFromTaskController, method))


def test_the_names_of_the_seed_are_there():
    seed = {"run", "abort", "get_task_result", "barrier", "spin", "queue_status", "clear", "get_client_name"}
    assert {f"remote_{name}" for name in seed} <= set(MESSAGES.values())


@pytest.mark.parametrize("message", EXAMPLES.values(), ids=lambda message: type(message).__name__)
def test_every_message_reaches_the_task_controller_as_it_is(message):
    desk = Desk()
    assert desk.send(message) == []
    assert desk.recorder.events == [FromClient(SESSION, message)]


@pytest.mark.parametrize("message", [m for m in EXAMPLES.values() if not isinstance(m, said.Hello)], ids=repr)
def test_hello_comes_first(message):
    desk = Desk(hello=False)
    (refusal,) = desk.send(message, message)
    assert (refusal.error, refusal.seq) == (ErrorKind.SAY_HELLO, getattr(message, "seq", 0))
    assert desk.received == []
    assert desk.connection.strikes == 0, "it may have come from before a restart"


def test_messages_after_hello_in_its_frame_are_received():
    desk = Desk(hello=False)
    assert desk.send(EXAMPLES[said.Hello], said.Ping(seq=1)) == []
    assert desk.opened == SESSION
    assert [type(message) for message in desk.received] == [said.Hello, said.Ping]


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (
            said.Hello(PROTOCOL + 1, "9.9", PYTHON, SESSION),
            (f"protocol {PROTOCOL + 1}", "9.9", f"controller {PROTOCOL}"),
        ),
        (
            said.Hello(PROTOCOL, "0", "2.7", SESSION, executable=b"/old/python"),
            ("Python 2.7", "/old/python", PYTHON, sys.executable),
        ),
    ],
)
def test_versions_that_differ_are_refused_with_both(hello, words):
    desk = Desk(hello=False)
    (refusal,) = desk.send(hello, said.Ping(seq=1))
    assert refusal.error is ErrorKind.VERSION
    assert all(word in refusal.message for word in words)
    assert refusal.hint
    assert desk.connection.session is desk.opened is None
    assert desk.received == []


def test_a_client_of_another_environment_may_do_all_but_submit():
    desk = Desk(hello=False)
    hello = said.Hello(PROTOCOL, "0", PYTHON, SESSION, executable=b"/other/bin/python", prefix=b"/other")
    assert desk.send(hello, said.Abort(seq=1, taskid=0)) == []
    (refusal,) = desk.send(EXAMPLES[said.Submit])
    assert (refusal.error, refusal.seq) == (ErrorKind.VERSION, 1)
    assert "/other/bin/python" in refusal.message
    assert sys.executable in refusal.message
    assert "another name" in refusal.hint
    assert [type(message) for message in desk.received] == [said.Hello, said.Abort]


def test_a_viewer_may_do_all_but_submit_with_any_python():
    desk = Desk(hello=False)
    hello = said.Hello(PROTOCOL, "0", "2.7", SESSION, executable=b"/old/python", prefix=PREFIX, viewer=True)
    assert desk.send(hello, said.QueueStatus(seq=1), said.Abort(seq=2, taskid=0)) == []
    (refusal,) = desk.send(EXAMPLES[said.Submit])
    assert refusal.error is ErrorKind.VERSION
    assert "/old/python" in refusal.message
    assert [type(message) for message in desk.received] == [said.Hello, said.QueueStatus, said.Abort]


def test_the_same_environment_under_another_name_is_the_same():
    desk = Desk(hello=False)
    hello = said.Hello(PROTOCOL, "0", PYTHON, SESSION, executable=b"/link/to/python", prefix=PREFIX)
    assert desk.send(hello, EXAMPLES[said.Submit]) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"junk",
        b"\xc1",
        b"\x91\x80",
        b"\x90" * 3,
        codec.encode([said.Welcome(1, "", "", 1, 1, 1, "", 1)]),
        b"\x91" * 9000,
    ],
)
def test_junk_gets_a_refusal_and_a_strike(frame):
    desk = Desk()
    (refusal,) = desk.send_frame(frame)
    assert (refusal.seq, refusal.error) == (0, ErrorKind.PROTOCOL)
    assert refusal.hint == f"after {MAX_STRIKES - 1} more, this connection is cut off"
    assert desk.connection.strikes == 1
    assert desk.send(said.Ping(seq=1)) == [], "one mistake is forgiven"


def test_a_connection_with_too_many_strikes_is_ignored():
    desk = Desk()
    refusals = [desk.send_frame(b"junk")[0] for _ in range(MAX_STRIKES)]
    assert refusals[-1].hint == "this connection is cut off"
    assert desk.send_frame(b"junk") == []
    assert desk.send(said.Ping(seq=1)) == []
    assert desk.received == []


def test_one_frame_full_of_mistakes_is_cut_off_as_well():
    desk = Desk()
    refusals = desk.send(*[submit(seq=seq, bodies=(FILE,)) for seq in range(1, 100)])
    assert [refusal.seq for refusal in refusals] == list(range(1, MAX_STRIKES + 1))
    assert refusals[-1].hint == "this connection is cut off"


@pytest.mark.parametrize("field", ["code", "body"])
def test_a_broadcast_of_more_than_a_worker_can_be_sent_is_refused_before_it_is_read(monkeypatch, field):
    monkeypatch.setattr(endpoint, "MAX_BROADCAST", 1000)
    desk = Desk()
    payloads = {"code": b"x", "body": b"x", field: Upload("c1", "1", 1000)}
    (refusal,) = desk.send(said.Broadcast(seq=3, code_kind=Kind.STRING, label="x", **payloads))
    assert (refusal.seq, refusal.error, desk.received) == (3, ErrorKind.TOO_MUCH, [])
    assert "is 1,001 bytes, over the limit of 1,000" in refusal.message


def test_the_arguments_of_a_recovery_task_have_a_limit(monkeypatch):
    monkeypatch.setattr(endpoint, "MAX_RECOVERY", 10)
    recovery = Recovery(Spec(kind=Kind.FUNCTION, code=CODE, label="r"), bytes(11))
    desk = Desk()
    (refusal,) = desk.send(submit(spec={"recovery": recovery}))
    assert (refusal.error, desk.received) == (ErrorKind.TOO_MUCH, [])


def test_a_refused_message_does_not_take_its_neighbours_along():
    desk = Desk()
    (refusal,) = desk.send(said.Ping(seq=1), submit(bodies=(FILE,)), said.Ping(seq=8))
    assert refusal.seq == 7
    assert desk.received == [said.Ping(seq=1), said.Ping(seq=8)]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (submit(bodies=(b"x", FILE)), ErrorKind.NOT_ALLOWED),
        (said.Define(CODE, FILE), ErrorKind.NOT_ALLOWED),
        (submit(spec={"recovery": Recovery(Spec(kind=Kind.FUNCTION, code=CODE, label="r"), FILE)}), ErrorKind.PROTOCOL),
        (said.Broadcast(seq=1, code_kind=Kind.STRING, label="x", code=FILE, body=b""), ErrorKind.PROTOCOL),
    ],
    ids=["body", "code", "recovery", "broadcast"],
)
def test_references_to_files_are_refused(message, error):
    desk = Desk()
    (refusal,) = desk.send(message)
    assert (refusal.error, desk.received, desk.connection.strikes) == (error, [], 1)


def nest_recoveries(depth: int) -> Spec:
    spec = Spec(kind=Kind.FUNCTION, code=CODE, label="f")
    for _ in range(depth):
        spec = Spec(kind=Kind.FUNCTION, code=CODE, label="f", recovery=Recovery(spec, b""))
    return spec


@pytest.mark.parametrize(
    ("depth", "refused"), [(0, False), (MAX_RECOVERIES, False), (MAX_RECOVERIES + 1, True), (200, True)]
)
def test_recoveries_do_not_nest_without_end(depth, refused):
    desk = Desk()
    refusals = desk.send(said.Submit(seq=1, spec=nest_recoveries(depth), bodies=(b"x",)))
    assert [refusal.error for refusal in refusals] == [ErrorKind.TOO_MUCH] * refused


def test_packages_are_frames_and_hold_values_as_they_are():
    endpoint = FCTaskControllerFromTaskController(Recorder(), FailedRequests())
    answer, refusal = said.Reply(1, {"n": 3}), Refused(2, ErrorKind.TYPE, "no", "hint")
    assert codec.from_controller.decode(endpoint.packageSuccess(answer, said.Resync())) == [answer, said.Resync()]
    assert codec.from_controller.decode(endpoint.packageFailure(refusal)) == [refusal]


CARRIERS = {
    "context": said.Retry(seq=7, taskid=0, context=said.Define(CODE, b"x")),
    "modules": said.Broadcast(
        seq=7, code_kind=Kind.STRING, label="x", code=b"x", body=b"x", modules=(said.Define(CODE, b"x"),)
    ),
}


def with_body(field: str, body: object) -> Message:
    define = said.Define(CODE, body)  # type: ignore[arg-type]
    return msgspec.structs.replace(CARRIERS[field], **{field: define if field == "context" else (define,)})


@pytest.mark.parametrize("field", CARRIERS)
def test_a_reference_within_another_message_is_refused(field):
    desk = Desk()
    (refusal,) = desk.send(with_body(field, PayloadRef("1", 5)))
    assert (refusal.seq, refusal.error) == (7, ErrorKind.NOT_ALLOWED)
    assert desk.received == []


def test_a_file_within_a_broadcast_is_made_one_of_the_store():
    desk = Desk()
    desk.endpoint._stage_code = lambda define: said.Define(define.digest, PayloadRef("2", 5))
    assert desk.send(with_body("modules", Upload("a", "1", 5))) == []
    assert desk.received == [with_body("modules", PayloadRef("2", 5))]


def test_a_file_within_a_retry_stays_as_it_is_until_its_tasks_are_recalled():
    desk = Desk()
    desk.endpoint._stage_code = lambda define: pytest.fail("a commit in between removes what is staged")
    assert desk.send(with_body("context", Upload("a", "1", 5))) == []
    assert desk.received == [with_body("context", Upload("a", "1", 5))]


def test_a_file_within_a_broadcast_that_is_gone_is_refused():
    def lose(define):
        raise UploadGone("it is gone")

    desk = Desk()
    desk.endpoint._stage_code = lose
    (refusal,) = desk.send(with_body("modules", Upload("a", "1", 5)))
    assert (refusal.seq, refusal.error) == (7, ErrorKind.NOT_ALLOWED)
    assert desk.received == []


MANY = said.Barrier(seq=1, taskids=tuple(range(MAX_SHARED_FRAME)))


def test_a_large_message_waits_for_its_turn_as_it_is():
    desk = Desk()
    frame = codec.encode([MANY])
    assert len(frame) > MAX_SHARED_FRAME
    assert desk.endpoint.unpack(desk.connection, frame) == [frame]
    assert desk.endpoint.decode(desk.connection, frame) == MANY


def test_messages_in_several_frames_are_handled_in_their_order():
    desk = Desk()
    messages = [said.Ping(seq=1), said.Ping(seq=2), MANY, said.Ping(seq=3)]
    frames = [*codec.pack(messages)]
    assert len(frames) == 3
    assert [desk.send_frame(frame) for frame in frames] == [[], [], []]
    assert desk.received == messages


@pytest.mark.parametrize(
    "messages",
    [
        [msgspec.structs.replace(MANY, taskids=("x",) * MAX_SHARED_FRAME)],
        [MANY, said.Ping(seq=2)],
        [said.GetResults(seq=1, taskids=(5,) * 10_000)] * 7,
    ],
    ids=["against the schema", "not alone", "many"],
)
def test_a_large_frame_that_is_illegal_is_a_strike(messages):
    desk = Desk()
    (refusal,) = desk.send(*messages)
    assert refusal.error is ErrorKind.PROTOCOL
    assert desk.connection.strikes == 1
    assert desk.received == []


def test_a_large_frame_without_a_message_is_a_strike():
    """A list of no items, followed by bytes that are none of its."""
    desk = Desk()
    (refusal,) = desk.send_frame(b"\x90" * (MAX_SHARED_FRAME + 1))
    assert refusal.error is ErrorKind.PROTOCOL
    assert desk.connection.strikes == 1


def test_a_frame_with_more_ids_than_a_message_may_have_is_refused_before_they_are_read():
    desk = Desk()
    (refusal,) = desk.send(said.GetResults(seq=1, taskids=("no id",) * (MAX_IDS + 1)))
    assert "length <= 100000" in refusal.message


def test_a_confirmation_that_is_large_is_a_strike():
    desk = Desk()
    head, field = codec.encode([said.Confirmed(7)]), b"\xa6number\x07"
    assert head.count(field) == 1
    frame = head.replace(b"\x82", b"\xde" + (9002).to_bytes(2, "big"), 1).replace(field, field * 9001)
    (refusal,) = desk.send_frame(frame)
    assert refusal.error is ErrorKind.PROTOCOL
    assert desk.connection.strikes == 1


def test_a_large_frame_that_is_cut_is_a_strike():
    desk = Desk()
    (refusal,) = desk.send_frame(codec.encode([MANY])[:-1])
    assert refusal.error is ErrorKind.PROTOCOL
    assert desk.received == []
