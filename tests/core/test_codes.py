"""Code is in the store for as long as something needs it or may name it, and in a worker for as long as it has room."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SendCode, WorkerSend
from taskfc_ext.core.journal import baseline
from taskfc_ext.core.state import codes
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.client_messages import Define, Release, Released, Reply
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.records import Baseline, Broadcasted, Cleared, Dropped, Submitted
from taskfc_ext.protocol.spec import Kind, Recovery
from taskfc_ext.protocol.worker_messages import ForgetCode, Ready, SetUp
from tests.core.conversation import ALICE, BOB, CODE, Conversation, messages_to, orders_to, spec

A, B, C = (letter * 16 for letter in (b"a", b"b", b"k"))


def talk_with(*digests: bytes, workers: int = 1, size: int = 4) -> Conversation:
    """Return a conversation in which Alice has defined these."""
    talk = Conversation(workers=workers)
    for digest in digests:
        talk.client(ALICE, Define(digest, b"x" * size))
    return talk


def run(talk: Conversation, code: bytes, session: str = ALICE, **options) -> int:
    (taskid,) = talk.submit(1, session, code=code, **options)
    talk.finish(0)
    return taskid


def digests_dropped(effects: Effects) -> list[bytes]:
    return [digest for record in effects.records if isinstance(record, Dropped) for digest in record.digests]


def digests_to_release(effects: Effects, session: str = ALICE) -> list[bytes]:
    found = [message for message in messages_to(effects, session) if isinstance(message, Release)]
    return [digest for message in found for digest in message.digests]


def test_code_is_dropped_once_it_is_cleared_and_released():
    talk = talk_with(A)
    taskid = run(talk, A)
    effects = talk.ask(messages.Clear, taskids=(taskid,))
    assert effects.records == (Cleared((taskid,), ALICE, 2),)
    assert effects.sends == (ClientSend(ALICE, Reply(2, 1)), ClientSend(ALICE, Release((A,))))
    effects = talk.client(ALICE, Released((A,)))
    assert effects == Effects(records=(Dropped((A,)),), sends=(WorkerSend(0, ForgetCode((A,))),))
    assert A not in talk.farm.codes


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("another task", lambda talk: talk.submit(1, BOB, code=A)),
        ("a finished task that is not cleared", lambda talk: run(talk, A, BOB)),
        ("a recovery", lambda talk: talk.submit(1, BOB, recovery=Recovery(spec(code=A), b""))),
        ("a depend", lambda talk: talk.submit(1, BOB, depend=A)),
        ("a retry_on", lambda talk: talk.submit(1, BOB, retry_on=A)),
        ("a context", lambda talk: talk.submit(1, BOB, context=A)),
        ("a pack of modules", lambda talk: talk.submit(1, BOB, modules=(A,))),
        ("modules of a recovery", lambda talk: talk.submit(1, BOB, recovery=Recovery(spec(modules=(A, CODE)), b""))),
        (
            "a broadcast",
            lambda talk: talk.ask(
                messages.Broadcast, code_kind=Kind.STRING, label="b", code=b"", body=b"", context=Define(A, b"")
            ),
        ),
        ("a task that is submitted before the release arrives", lambda talk: talk.submit(1, code=A)),
    ],
)
def test_code_that_something_else_needs_is_kept(name, use):
    talk = talk_with(A)
    taskid = run(talk, A)
    use(talk)
    talk.ask(messages.Clear, taskids=(taskid,))
    assert digests_dropped(talk.client(ALICE, Released((A,)))) == []
    assert A in talk.farm.codes


def test_each_client_that_may_name_code_is_asked_and_the_last_answer_counts():
    talk = talk_with(A)
    talk.client(BOB, Define(A, b"xxxx"))
    taskid = run(talk, A)
    effects = talk.ask(messages.Clear, taskids=(taskid,))
    assert (digests_to_release(effects, ALICE), digests_to_release(effects, BOB)) == ([A], [A])
    assert digests_dropped(talk.client(ALICE, Released((A,)))) == []
    assert digests_dropped(talk.client(BOB, Released((A,)))) == [A]


def test_a_lost_client_need_not_be_asked():
    talk = talk_with(A)
    taskid = run(talk, A)
    talk.ask(messages.Clear, BOB, taskids=(taskid,))
    assert digests_dropped(talk.lose_client(ALICE)) == [A]


def test_a_client_that_comes_back_defines_again():
    talk = talk_with(A)
    taskid = run(talk, A)
    talk.ask(messages.Clear, BOB, taskids=(taskid,))
    hello = messages.Hello(PROTOCOL, "0", "3.11", ALICE, owner="a")
    assert digests_dropped(talk.client(ALICE, hello)) == [A]


def test_code_that_was_defined_and_not_used_yet_is_kept():
    talk = talk_with(A)
    taskid = run(talk, CODE)
    effects = talk.ask(messages.Clear, taskids=(taskid,))
    assert A not in digests_to_release(effects)
    assert A in talk.farm.codes


def test_a_release_of_what_was_never_defined_does_no_harm():
    talk = talk_with(A)
    taskid = run(talk, A)
    assert talk.client(BOB, Released((A, B, B))) == Effects()
    assert talk.client(ALICE, Released((A, B))) == Effects()
    assert talk.state(taskid) == "succeeded"


def test_a_stop_and_a_start_leave_only_what_is_needed():
    talk = talk_with(A, B)
    run(talk, A)
    assert digests_dropped(talk.ask(messages.Stop)) == [B, CODE]
    talk.restart()
    assert talk.farm.codes.sizes.keys() == {A, CODE}


def test_a_crash_before_the_release_leaves_nothing():
    talk = talk_with(A)
    taskid = run(talk, A)
    talk.ask(messages.Clear, taskids=(taskid,))
    talk.restart()
    assert talk.farm.codes.sizes.keys() == {CODE}


# code of workers


def digests_at_worker(talk: Conversation) -> list[bytes]:
    return list(talk.farm.workers[0].known)


def test_a_worker_forgets_what_it_used_longest_ago(monkeypatch):
    monkeypatch.setattr(codes, "WORKER_BYTES", 100)
    talk = talk_with(A, B, C, size=40)
    run(talk, A), run(talk, B), run(talk, A)
    assert digests_at_worker(talk) == [B, A]
    (taskid,) = talk.submit(1, code=C)
    assert digests_at_worker(talk) == [C]
    talk.finish(0)
    (taskid,) = talk.submit(1, code=B)
    assert talk.lease_of(taskid)
    assert digests_at_worker(talk) == [C, B]


def test_a_worker_is_asked_to_forget_before_more_is_sent(monkeypatch):
    monkeypatch.setattr(codes, "WORKER_BYTES", 100)
    talk = talk_with(A, B, size=80)
    run(talk, A)
    effects = talk.ask(messages.Submit, spec=spec(code=B), bodies=(b"x",))
    assert orders_to(effects, 0)[:2] == [ForgetCode((A,)), SendCode(B)]
    talk.finish(0)
    effects = talk.ask(messages.Submit, spec=spec(code=A), bodies=(b"x",))
    assert orders_to(effects, 0)[:2] == [ForgetCode((B,)), SendCode(A)]


def test_code_larger_than_its_room_is_sent_all_the_same(monkeypatch):
    monkeypatch.setattr(codes, "WORKER_BYTES", 100)
    talk = talk_with(A, B, size=5000)
    effects = talk.ask(messages.Submit, spec=spec(code=A, depend=B), bodies=(b"x",))
    assert orders_to(effects, 0)[:2] == [SendCode(A), SendCode(B)]


def test_a_worker_keeps_the_code_that_it_has_still_to_run(monkeypatch):
    monkeypatch.setattr(codes, "WORKER_BYTES", 100)
    talk = talk_with(A, B, size=80)
    run(talk, A, timeout=None)
    for _ in range(2):
        run(talk, A)
    talk.farm.mean_seconds[A] = talk.farm.mean_seconds[B] = 1e-5
    talk.submit(1, code=A), talk.submit(1, code=B)
    assert len(talk.leases_of(0)) == 2
    assert set(digests_at_worker(talk)) == {A, B}


def test_a_worker_that_reconnects_reports_its_code():
    talk = talk_with(A)
    run(talk, A)
    ready = Ready(protocol=PROTOCOL, worker=0, pid=1, python="3.11", codes=(A, B))
    assert orders_to(talk.worker(0, ready), 0) == [ForgetCode((B,))], "that is in the store no more"
    effects = talk.ask(messages.Submit, spec=spec(code=A), bodies=(b"x",))
    assert SendCode(A) not in orders_to(effects, 0)


def test_the_code_of_a_broadcast_stays_until_it_has_run():
    talk = Conversation(workers=1)
    fields = {"code_kind": Kind.STRING, "label": "b", "code": b"x", "body": b""}
    talk.ask(messages.Broadcast, context=Define(A, b"context"), **fields)
    effects = talk.ask(messages.ClearBroadcasts)
    assert digests_dropped(effects) == [A]
    assert orders_to(effects, 0) == []
    assert orders_to(talk.worker(0, SetUp(1)), 0) == [ForgetCode((A,))]


def test_the_code_of_a_pending_broadcast_makes_no_room_for_the_next_one(monkeypatch):
    monkeypatch.setattr(codes, "WORKER_CODES", 1)
    talk = Conversation(workers=1)
    fields = {"code_kind": Kind.STRING, "label": "b", "code": b"x", "body": b""}
    for digest in (A, B):
        effects = talk.ask(messages.Broadcast, context=Define(digest, b"context"), **fields)
        assert not [order for order in orders_to(effects, 0) if isinstance(order, ForgetCode)]


# baselines


def test_a_baseline_stands_for_all_before_it(monkeypatch):
    monkeypatch.setattr(baseline, "AFTER_CLEAR", 5)
    talk = talk_with(A)
    first = run(talk, A, name="one")
    run(talk, CODE, name="two")
    talk.ask(messages.Broadcast, code_kind=Kind.STRING, label="b", code=b"x", body=b"", context=Define(B, b"bb"))
    talk.worker(0, SetUp(1))
    effects = talk.ask(messages.Clear, taskids=(first,))
    record = effects.records[-1]
    assert isinstance(record, Baseline)
    assert [span.digests for span in record.spans] == [(CODE,)]
    assert record.codes == {A: 4, CODE: len(b"code of f"), B: 2}
    assert record.names == {"one": 0, "two": 1}
    assert [kept.number for kept in record.broadcasts] == [1]
    assert isinstance(record.broadcasts[0], Broadcasted)
    before = talk.records
    talk.records = [record]
    talk.restart(alive=[0])
    assert talk.farm.next_id == 2
    assert [talk.farm.knows(taskid) for taskid in (0, 1)] == [False, True]
    assert talk.farm.began == record.began > 0
    assert talk.farm.codes.sizes == {CODE: 9, B: 2}
    for submitted in (record for record in before if isinstance(record, Submitted)):
        repeat = messages.Submit(seq=submitted.seq, spec=submitted.spec, bodies=submitted.bodies)
        effects = talk.client(ALICE, repeat)
        assert effects.records == (), "what was accepted once is not accepted again"
        assert messages_to(effects) == [messages.Accepted(submitted.seq, submitted.first)]


def test_while_a_task_is_unfinished_there_is_no_baseline(monkeypatch):
    monkeypatch.setattr(baseline, "AFTER_CLEAR", 1)
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.finish(0)
    assert [type(record) for record in talk.ask(messages.Clear).records] == [Cleared]
    talk.finish(0)
    assert [type(record) for record in talk.ask(messages.Clear).records] == [Cleared, Baseline]
