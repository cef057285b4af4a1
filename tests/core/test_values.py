"""Values that are put: tasks that have ended once they are accepted."""

from __future__ import annotations

from taskfc_ext.core.effects import ClientSend, SendRun, WorkerSend
from taskfc_ext.protocol.client_messages import Accepted, Clear, Ended, ErrorKind, Refused, Reply, Submit
from taskfc_ext.protocol.records import Ended as EndedRecord
from taskfc_ext.protocol.records import Leased, Retried, Submitted
from taskfc_ext.protocol.spec import Kind
from tests.core.conversation import ALICE, Conversation, messages_to, spec

VALUE = spec(kind=Kind.VALUE)


def put(talk: Conversation, value: bytes = b"value", **fields: object) -> list:
    return messages_to(talk.ask(Submit, spec=VALUE, bodies=(value,), **fields))


def test_a_value_is_accepted_and_has_ended_in_one_step():
    talk = Conversation(workers=1)
    effects = talk.ask(Submit, spec=VALUE, bodies=(b"one", b"two"), name="x")
    submitted, ended = effects.records
    assert isinstance(submitted, Submitted)
    assert isinstance(ended, EndedRecord)
    assert (ended.ids, ended.values, ended.reasons) == ((0, 1), (b"one", b"two"), ("", ""))
    assert (ended.workers, ended.attempts, ended.seconds) == ((-1, -1), (0, 0), (0.0, 0.0))
    assert effects.sends == (ClientSend(ALICE, Accepted(1, 0)), ClientSend(ALICE, ended)), "and no worker has it"
    assert talk.farm.names["x"] == 1


def test_it_is_the_input_of_tasks_also_after_a_restart():
    talk = Conversation(workers=1)
    put(talk)
    effects = talk.ask(Submit, spec=spec(), bodies=(b"a",), inputs=(0,))
    (sent,) = [send.message for send in effects.sends if isinstance(send, WorkerSend)][-1:]
    assert isinstance(sent, SendRun)
    assert sent.inputs == (0,)
    talk.finish(0)
    talk.restart(alive=(0,))
    assert talk.farm.end_of(0) == ""
    (accepted,) = messages_to(talk.ask(Submit, spec=spec(), bodies=(b"a",), inputs=(0,)))
    assert isinstance(accepted, Accepted)


def test_it_is_cleared_like_a_result():
    talk = Conversation(workers=1)
    put(talk)
    answers = messages_to(talk.ask(Clear))
    assert talk.reply(1) in answers
    refusal = messages_to(talk.ask(Submit, spec=spec(), bodies=(b"a",), inputs=(0,)))[0]
    assert isinstance(refusal, Refused)
    assert refusal.error is ErrorKind.UNKNOWN_TASK


def test_a_retry_gives_the_same_value_again():
    talk = Conversation(workers=1)
    put(talk)
    effects = talk.retry(0)
    assert [type(record) for record in effects.records] == [Submitted, EndedRecord, Retried]
    reply, ended = messages_to(effects)
    assert reply == Reply(talk.seqs[ALICE], [[0, 1]])
    assert isinstance(ended, Ended)
    assert (ended.ids, ended.values) == ((1,), (b"value",))
    assert Leased not in map(type, effects.records)


def test_a_value_waits_for_nothing():
    talk = Conversation(workers=1)
    talk.submit()
    for fields in ({"after": (0,)}, {"inputs": (0,)}):
        (refusal,) = put(talk, **fields)
        assert isinstance(refusal, Refused)
        assert (refusal.error, talk.farm.next_id) == (ErrorKind.PROTOCOL, 1)
