"""A client may have so many unfinished tasks, and so many bytes of arguments in memory; the others do not notice."""

from __future__ import annotations

import pytest

from taskfc_ext.core.events import Audit
from taskfc_ext.core.state import quotas
from taskfc_ext.core.state.quotas import Share
from taskfc_ext.core.state.validate import BrokenInvariant, validate
from taskfc_ext.protocol.client_messages import Abort, Clear, ErrorKind, Refused, Submit
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_CLIENT_FRAME, MAX_UNFINISHED, MAX_UNFINISHED_BYTES
from taskfc_ext.protocol.payloads import Outcome, PayloadRef
from taskfc_ext.protocol.spec import Recovery
from tests.core.conversation import ALICE, BOB, Conversation, messages_to, spec


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MAX_UNFINISHED", 10)
    monkeypatch.setattr(quotas, "MAX_UNFINISHED_BYTES", 1000)


def refusal(talk: Conversation, *bodies: object, session: str = ALICE) -> Refused:
    (answer,) = messages_to(talk.ask(Submit, session, spec=spec(), bodies=bodies), session)
    assert isinstance(answer, Refused)
    assert answer.error is ErrorKind.TOO_MUCH
    return answer


def test_more_unfinished_tasks_than_a_client_may_have_are_refused_and_others_are_accepted():
    talk = Conversation(workers=1)
    talk.submit(8)
    told = refusal(talk, b"", b"", b"")
    assert told.message == (
        "this client has 8 unfinished tasks; with 3 more it would have over 10, the most of one client"
    )
    assert "imap()" in told.hint
    talk.submit(2)
    refusal(talk, b"")
    talk.submit(10, BOB)
    assert talk.farm.next_id == 20


def test_tasks_that_end_make_room():
    talk = Conversation(workers=1)
    talk.submit(10)
    talk.finish(0)
    talk.submit(1)
    talk.ask(Abort, taskid=9)
    talk.submit(1)
    refusal(talk, b"")


def test_bytes_of_arguments_count_but_for_those_in_files():
    talk = Conversation(workers=1)
    talk.ask(Submit, spec=spec(), bodies=(bytes(600), PayloadRef("1", 5000)))
    assert "take 600 bytes of memory; with 401 more they would take over 1,000" in refusal(talk, bytes(401)).message
    talk.ask(Submit, spec=spec(), bodies=(PayloadRef("2", 5000), bytes(400)))
    assert talk.farm.quotas.shares == {ALICE: Share(4, 1000)}


def test_arguments_of_recovery_tasks_count_once_for_a_batch():
    talk = Conversation(workers=1)
    inner = spec(recovery=Recovery(spec(), bytes(100)))
    nested = spec(recovery=Recovery(inner, bytes(200)))
    talk.ask(Submit, spec=nested, bodies=(bytes(10),) * 3)
    assert talk.farm.quotas.shares == {ALICE: Share(3, 330)}
    (told,) = messages_to(talk.ask(Submit, spec=nested, bodies=(bytes(371),)), ALICE)
    assert "take 330 bytes of memory; with 671 more they would take over 1,000" in told.message
    talk.finish(0)
    assert talk.farm.quotas.shares == {ALICE: Share(2, 220)}
    validate(talk.farm)
    talk.restart()
    assert talk.farm.quotas.shares == {ALICE: Share(2, 220)}


def test_a_retry_counts_as_a_submission():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0)
    talk.submit(10)
    (answer,) = messages_to(talk.retry(0), ALICE)
    assert (answer.error, "with 1 more it would have over 10" in answer.message) == (ErrorKind.TOO_MUCH, True)
    talk.finish(0)
    talk.retry(0)
    assert talk.farm.quotas.shares[ALICE].n_tasks == 10


def test_a_retry_of_more_tasks_than_a_client_may_have_is_refused_also_when_it_has_none():
    talk = Conversation(workers=1)
    (parent,) = talk.submit(1)
    talk.submit(5, after=(parent,))
    talk.submit(5, BOB, after=(parent,))
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.farm.quotas.shares == {}
    (answer,) = messages_to(talk.retry(parent), ALICE)
    assert (answer.error, "with 11 more" in answer.message) == (ErrorKind.TOO_MUCH, True)


def test_the_shares_are_those_of_the_store_after_a_restart():
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.submit(4, BOB)
    before = talk.farm.quotas.shares
    talk.restart()
    assert talk.farm.quotas.shares == before == {ALICE: Share(3, 18), BOB: Share(4, 24)}


def test_a_client_without_unfinished_tasks_leaves_nothing():
    talk = Conversation(workers=1)
    (taskid,) = talk.submit(1)
    talk.finish(0)
    talk.ask(Clear, taskids=(taskid,))
    assert talk.farm.quotas.shares == {}


def test_a_wrong_count_is_noticed_and_repaired():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.farm.quotas.shares[ALICE].n_tasks += 5
    with pytest.raises(BrokenInvariant, match="shares of clients"):
        validate(talk.farm)
    (repair,) = talk.handle(Audit()).repairs
    assert "the shares of clients were counted as" in repair
    validate(talk.farm)


def test_one_message_alone_is_never_over_a_limit():
    assert MAX_BATCH < MAX_UNFINISHED
    assert MAX_UNFINISHED_BYTES > MAX_CLIENT_FRAME
