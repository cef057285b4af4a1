"""Who may say what to the controller, and what becomes of frames that nobody understands."""

from __future__ import annotations

import inspect
import sys
import typing

import pytest

from taskfc_ext.controller.endpoint import (
    MAX_RECOVERIES,
    MAX_STRIKES,
    MESSAGES,
    Connection,
    FCTaskControllerFromTaskController,
    Role,
)
from taskfc_ext.controller.interface import IFCTaskController
from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import FromClient, Now
from taskfc_ext.drivers.environment import PREFIX
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.payloads import PayloadRef
from taskfc_ext.protocol.spec import Kind, Recovery, Spec
from tests.controller.wire import CODE, PYTHON

SESSION = "a" * 16
NOW = Now(1.0, 2.0)
FILE = PayloadRef("abc", 5)

EXAMPLES: dict[type, said.Message] = {
    said.Hello: said.Hello(PROTOCOL, "0", PYTHON, SESSION),
    said.Define: said.Define(CODE, b"code"),
    said.Released: said.Released((CODE,)),
    said.Submit: said.Submit(seq=1, spec=Spec(kind=Kind.FUNCTION, code=CODE, label="f"), bodies=(b"x",)),
    said.Abort: said.Abort(seq=1, taskid=0),
    said.AbortTasks: said.AbortTasks(seq=1, taskids=(0, 1)),
    said.GetResults: said.GetResults(seq=1, taskids=(0,)),
    said.Barrier: said.Barrier(seq=1),
    said.Unwait: said.Unwait(seq=1, barrier=1),
    said.Spin: said.Spin(seq=1),
    said.QueueStatus: said.QueueStatus(seq=1),
    said.Hold: said.Hold(seq=1, taskids=(0,)),
    said.Move: said.Move(seq=1, taskids=(0,), priority=1),
    said.Retry: said.Retry(seq=1, taskid=0),
    said.Clear: said.Clear(seq=1),
    said.ListTasks: said.ListTasks(seq=1),
    said.GetLog: said.GetLog(seq=1, taskid=0),
    said.GetFailure: said.GetFailure(seq=1, taskid=0),
    said.GetSubmission: said.GetSubmission(seq=1, taskid=0),
    said.GetOutputs: said.GetOutputs(seq=1, taskid=0),
    said.GetDetails: said.GetDetails(seq=1, taskid=0),
    said.GetClientName: said.GetClientName(seq=1),
    said.GetWorkers: said.GetWorkers(seq=1),
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
    """A task controller that only remembers what it was asked."""

    def __init__(self) -> None:
        self.events: list = []

    def handle(self, event, now: Now) -> Effects:
        self.events.append(event)
        return Effects()


class Desk:
    """An endpoint, one connection to it, and what got through."""

    def __init__(self, role: Role = Role.CLIENT, *, hello: bool = True) -> None:
        self.recorder = Recorder()
        self.endpoint = FCTaskControllerFromTaskController(self.recorder)
        self.connection = Connection(b"1", role)
        if hello:
            self.say(EXAMPLES[said.Hello])
            self.recorder.events.clear()

    def say(self, *messages: said.Message) -> list[Refused]:
        return self.send(codec.encode(messages))

    def send(self, frame: bytes) -> list[Refused]:
        effects, refusals = self.endpoint.receive(self.connection, frame, NOW)
        assert all(isinstance(effect, Effects) for effect in effects)
        return refusals

    @property
    def heard(self) -> list[said.Message]:
        return [event.message for event in self.recorder.events]


def submit(**options) -> said.Submit:
    spec = Spec(**{"kind": Kind.FUNCTION, "code": CODE, "label": "f", **options.pop("spec", {})})
    return said.Submit(**{"seq": 7, "spec": spec, "bodies": (b"x",), **options})


def test_the_table_is_the_interface_and_every_message_has_its_place():
    offered = {
        name for name, _ in inspect.getmembers(IFCTaskController, inspect.isfunction) if name.startswith("remote_")
    }
    assert {method for _, method in MESSAGES.values()} == offered
    assert set(MESSAGES) == set(typing.get_args(said.ClientMessage)) == set(EXAMPLES)
    for _, method in MESSAGES.values():
        assert callable(getattr(FCTaskControllerFromTaskController, method))


def test_the_names_of_the_seed_are_there():
    seed = {"run", "abort", "get_task_result", "barrier", "spin", "queue_status", "clear", "get_client_name"}
    assert {f"remote_{name}" for name in seed} <= {method for _, method in MESSAGES.values()}


@pytest.mark.parametrize("message", EXAMPLES.values(), ids=lambda message: type(message).__name__)
def test_every_message_reaches_the_task_controller_as_it_is(message):
    desk = Desk()
    assert desk.say(message) == []
    assert desk.recorder.events == [FromClient(SESSION, message)]


@pytest.mark.parametrize("message", EXAMPLES.values(), ids=lambda message: type(message).__name__)
def test_a_viewer_may_look_and_not_touch(message):
    looks = (said.Hello, said.GetResults, said.Barrier, said.Unwait, said.QueueStatus, said.ListTasks, said.GetLog,
             said.GetFailure, said.GetOutputs, said.GetClientName, said.GetWorkers, said.AwaitBroadcast,
             said.Ping, said.Watch, said.Unwatch, said.GetDetails)  # fmt: skip
    desk = Desk(Role.VIEWER)
    refusals = desk.say(message)
    if isinstance(message, looks):
        assert (refusals, desk.heard) == ([], [message])
    else:
        (refusal,) = refusals
        assert (refusal.error, refusal.seq) == (ErrorKind.NOT_ALLOWED, getattr(message, "seq", 0))
        assert f"a viewer may not send {type(message).__name__}" in refusal.message
        assert desk.heard == []


@pytest.mark.parametrize("message", [m for m in EXAMPLES.values() if not isinstance(m, said.Hello)], ids=repr)
def test_hello_comes_first(message):
    desk = Desk(hello=False)
    (refusal,) = desk.say(message, message)
    assert (refusal.error, refusal.seq) == (ErrorKind.SAY_HELLO, getattr(message, "seq", 0))
    assert desk.heard == []
    assert desk.connection.strikes == 0, "it may have come from before a restart"


def test_what_follows_hello_in_its_frame_is_heard():
    desk = Desk(hello=False)
    assert desk.say(EXAMPLES[said.Hello], said.Ping(seq=1)) == []
    assert [type(message) for message in desk.heard] == [said.Hello, said.Ping]


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
    (refusal,) = desk.say(hello, said.Ping(seq=1))
    assert refusal.error is ErrorKind.VERSION
    assert all(word in refusal.message for word in words)
    assert refusal.hint
    assert desk.connection.session is None
    assert desk.heard == []


def test_an_interpreter_of_another_environment_may_look_and_steer_and_not_submit():
    desk = Desk(hello=False)
    hello = said.Hello(PROTOCOL, "0", PYTHON, SESSION, executable=b"/other/bin/python", prefix=b"/other")
    assert desk.say(hello, said.Abort(seq=1, taskid=0)) == []
    (refusal,) = desk.say(EXAMPLES[said.Submit])
    assert (refusal.error, refusal.seq) == (ErrorKind.VERSION, 1)
    assert "/other/bin/python" in refusal.message
    assert sys.executable in refusal.message
    assert "another name" in refusal.hint
    assert [type(message) for message in desk.heard] == [said.Hello, said.Abort]


def test_a_viewer_looks_and_steers_whatever_its_python_and_never_submits():
    desk = Desk(hello=False)
    hello = said.Hello(PROTOCOL, "0", "2.7", SESSION, executable=b"/old/python", prefix=PREFIX, viewer=True)
    assert desk.say(hello, said.QueueStatus(seq=1), said.Abort(seq=2, taskid=0)) == []
    (refusal,) = desk.say(EXAMPLES[said.Submit])
    assert refusal.error is ErrorKind.VERSION
    assert "/old/python" in refusal.message
    assert [type(message) for message in desk.heard] == [said.Hello, said.QueueStatus, said.Abort]


def test_the_same_environment_under_another_name_is_the_same():
    desk = Desk(hello=False)
    hello = said.Hello(PROTOCOL, "0", PYTHON, SESSION, executable=b"/link/to/python", prefix=PREFIX)
    assert desk.say(hello, EXAMPLES[said.Submit]) == []


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
    (refusal,) = desk.send(frame)
    assert (refusal.seq, refusal.error) == (0, ErrorKind.PROTOCOL)
    assert refusal.hint == f"after {MAX_STRIKES - 1} more, this connection is cut off"
    assert desk.connection.strikes == 1
    assert desk.say(said.Ping(seq=1)) == [], "one mistake is forgiven"


def test_after_too_many_strikes_nobody_listens():
    desk = Desk()
    refusals = [desk.send(b"junk")[0] for _ in range(MAX_STRIKES)]
    assert refusals[-1].hint == "this connection is cut off"
    assert desk.send(b"junk") == []
    assert desk.say(said.Ping(seq=1)) == []
    assert desk.heard == []


def test_one_frame_full_of_mistakes_is_cut_off_as_well():
    desk = Desk(Role.VIEWER)
    refusals = desk.say(*[said.Spin(seq=seq) for seq in range(1, 100)])
    assert [refusal.seq for refusal in refusals] == list(range(1, MAX_STRIKES + 1))
    assert refusals[-1].hint == "this connection is cut off"


def test_a_refused_message_does_not_take_its_neighbours_along():
    desk = Desk()
    (refusal,) = desk.say(said.Ping(seq=1), submit(bodies=(FILE,)), said.Ping(seq=8))
    assert refusal.seq == 7
    assert desk.heard == [said.Ping(seq=1), said.Ping(seq=8)]


@pytest.mark.parametrize(
    "message",
    [
        submit(bodies=(b"x", FILE)),
        submit(spec={"recovery": Recovery(Spec(kind=Kind.FUNCTION, code=CODE, label="r"), FILE)}),
        said.Define(CODE, FILE),
    ],
    ids=["body", "recovery", "code"],
)
def test_references_to_files_are_not_taken(message):
    desk = Desk()
    (refusal,) = desk.say(message)
    assert (refusal.error, desk.heard, desk.connection.strikes) == (ErrorKind.NOT_ALLOWED, [], 1)


def nested(depth: int) -> Spec:
    spec = Spec(kind=Kind.FUNCTION, code=CODE, label="f")
    for _ in range(depth):
        spec = Spec(kind=Kind.FUNCTION, code=CODE, label="f", recovery=Recovery(spec, b""))
    return spec


@pytest.mark.parametrize(
    ("depth", "refused"), [(0, False), (MAX_RECOVERIES, False), (MAX_RECOVERIES + 1, True), (200, True)]
)
def test_recoveries_do_not_nest_without_end(depth, refused):
    desk = Desk()
    refusals = desk.say(said.Submit(seq=1, spec=nested(depth), bodies=(b"x",)))
    assert [refusal.error for refusal in refusals] == [ErrorKind.TOO_MUCH] * refused


def test_packages_are_frames_and_hold_values_as_they_are():
    endpoint = FCTaskControllerFromTaskController(Recorder())
    answer, refusal = said.Reply(1, {"n": 3}), Refused(2, ErrorKind.TYPE, "no", "hint")
    assert codec.from_controller.decode(endpoint.packageSuccess(answer, said.Resync())) == [answer, said.Resync()]
    assert codec.from_controller.decode(endpoint.packageFailure(refusal)) == [refusal]
