"""The store without room: nothing new, questions answered, all else as far as it can be committed."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects
from taskfc_ext.core.events import RoomChanged
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.client_messages import Changed, ErrorKind, Refused, Release, Reply
from taskfc_ext.protocol.infos import NoRoom
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.supervisor_messages import Shutdown
from tests.core.conversation import ALICE, BOB, CODE, Conversation, dispatched_in, messages_to, spec, to_supervisor

NO_ROOM = NoRoom(message="the disk is full (/d, 0.1 MB free)", hint="make room", path="/d", free=100_000)
STUCK = NoRoom(message="the disk is full (/d, 0.0 MB free)", hint="make room", path="/d", free=0, is_stuck=True)
TEXT = "The disk is full (/d, 0.1 MB free). Make room."

NEW_WORK = {
    said.Submit: {"spec": spec(), "bodies": (b"x",)},
    said.Retry: {"taskid": 0},
    said.Broadcast: {"code_kind": Kind.STRING, "label": "b", "code": b"c", "body": b"n"},
}
CHANGES = {
    said.Clear: {},
    said.Abort: {"taskid": 1},
    said.AbortTasks: {"taskids": (1,)},
    said.Hold: {"taskids": (2,)},
    said.Move: {"taskids": (2,), "priority": 1},
    said.Scale: {"n": 1},
    said.ClearBroadcasts: {},
}
QUESTIONS = {
    said.QueueStatus: {},
    said.ListTasks: {},
    said.GetWorkers: {},
    said.GetEngine: {},
    said.GetClientName: {},
    said.Ping: {},
    said.Watch: {},
    said.Unwatch: {},
}
WAITS = {said.GetResults: {"taskids": (0, 1)}, said.Barrier: {}, said.Unwait: {"barrier": 1}}


def a_farm(no_room: NoRoom | None = None) -> Conversation:
    """Return a farm with a finished task, a running and a waiting one."""
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.finish(0)
    if no_room is not None:
        talk.handle(RoomChanged(no_room))
    return talk


def refused(seq: int, why: NoRoom) -> Refused:
    value = {"path": why.path, "free": why.free}
    return Refused(seq, ErrorKind.STORAGE_FULL, why.message, why.hint, value)


@pytest.mark.parametrize("kind", NEW_WORK)
@pytest.mark.parametrize("why", [NO_ROOM, STUCK])
def test_new_work_is_refused_with_the_reason_and_accepted_when_there_is_room(kind, why):
    talk = a_farm(why)
    effects = talk.ask(kind, **NEW_WORK[kind])
    assert effects.records == ()
    assert messages_to(effects) == [refused(talk.seqs[ALICE], why)]
    talk.handle(RoomChanged(None))
    effects = talk.recall(talk.ask(kind, **NEW_WORK[kind]))
    assert effects.records


def test_a_repeat_of_what_was_refused_is_refused_again():
    talk = a_farm(NO_ROOM)
    talk.ask(said.Submit, **NEW_WORK[said.Submit])
    talk.handle(RoomChanged(None))
    repeat = said.Submit(seq=talk.seqs[ALICE], **NEW_WORK[said.Submit])
    assert messages_to(talk.client(ALICE, repeat)) == [refused(talk.seqs[ALICE], NO_ROOM)]


@pytest.mark.parametrize("kind", CHANGES)
def test_other_changes_are_made_while_small_records_can_be_committed(kind):
    talk = a_farm(NO_ROOM)
    effects = talk.ask(kind, **CHANGES[kind])
    assert not any(isinstance(message, Refused) for message in messages_to(effects))
    assert not effects.is_free
    talk = a_farm(STUCK)
    effects = talk.ask(kind, **CHANGES[kind])
    assert effects == Effects(
        sends=(ClientSend(ALICE, refused(talk.seqs[ALICE], STUCK)),), wake_at=effects.wake_at, is_free=True
    )


@pytest.mark.parametrize("kind", QUESTIONS)
def test_questions_are_answered_at_once_while_a_commit_waits(kind):
    talk = a_farm(STUCK)
    effects = talk.ask(kind, **QUESTIONS[kind])
    assert effects.is_free
    assert effects.records == ()
    assert len(effects.sends) == 1


@pytest.mark.parametrize("kind", WAITS)
def test_answers_that_promise_something_wait_with_the_commit(kind):
    assert not a_farm(STUCK).ask(kind, **WAITS[kind]).is_free


def test_nothing_is_dispatched_until_there_is_room():
    talk = a_farm(NO_ROOM)
    assert dispatched_in(talk.finish(0)) == []
    assert talk.state(2) == "scheduled"
    assert dispatched_in(talk.handle(RoomChanged(None))) == [(0, 2)]


def test_nothing_follows_from_time_while_a_commit_waits():
    talk = Conversation(workers=1)
    talk.submit(timeout=1.0)
    talk.start(0)
    talk.handle(RoomChanged(STUCK))
    assert talk.wait(5.0).sends == ()
    talk.handle(RoomChanged(NO_ROOM))
    assert talk.wait(0.1).sends


def test_code_that_is_not_kept_is_to_be_defined_again():
    talk = a_farm(NO_ROOM)
    digest = b"n" * 16
    effects = talk.client(ALICE, said.Define(digest, b"new code"))
    assert effects == Effects(sends=(ClientSend(ALICE, Release((digest,))),), wake_at=effects.wake_at)
    assert talk.client(ALICE, said.Define(CODE, b"code of f")).sends == ()
    talk.handle(RoomChanged(None))
    talk.client(ALICE, said.Define(digest, b"new code"))
    talk.submit(code=digest)


@pytest.mark.parametrize("why", [NO_ROOM, STUCK])
def test_a_stop_is_never_refused(why):
    talk = a_farm(why)
    effects = talk.ask(said.Stop)
    assert to_supervisor(effects) == [Shutdown()]
    assert messages_to(effects)[0] == Reply(talk.seqs[ALICE])


def test_the_reason_is_in_the_counts_and_before_subscribers_and_goes_by_itself():
    talk = a_farm()
    (snapshot,) = messages_to(talk.ask(said.Watch, BOB), BOB)
    assert snapshot.snapshot.no_room == ""
    talk.now += 1.0
    (news,) = messages_to(talk.handle(RoomChanged(NO_ROOM)), BOB)
    assert isinstance(news, Changed)
    assert news.delta.no_room == TEXT
    (status,) = messages_to(talk.ask(said.QueueStatus))
    assert status.value["no_room"] == TEXT
    (again,) = (m for m in messages_to(talk.ask(said.Watch, BOB), BOB) if not isinstance(m, Changed))
    assert again.snapshot.no_room == TEXT
    talk.now += 1.0
    (news,) = messages_to(talk.handle(RoomChanged(None)), BOB)
    assert news.delta.no_room == ""
    (status,) = messages_to(talk.ask(said.QueueStatus))
    assert "no_room" not in status.value


def test_subscribers_are_told_at_once_though_a_commit_waits():
    talk = a_farm()
    talk.ask(said.Watch, BOB)
    talk.now += 1.0
    effects = talk.handle(RoomChanged(STUCK))
    assert effects.is_free
    assert [news.delta.no_room for news in messages_to(effects, BOB)] == [STUCK.text]
