"""A task begins with the variables of the session that submits it; no record has them."""

from __future__ import annotations

import pytest

from taskfc_ext.core.events import FromClient
from taskfc_ext.protocol.client_messages import Define, Hello, Submit
from taskfc_ext.protocol.ids import PROTOCOL, Session
from taskfc_ext.protocol.records import encode_record
from taskfc_ext.protocol.worker_messages import Run
from tests.core.conversation import ALICE, BOB, CODE, Conversation, runs_to, spec

OWN = {b"PATH": b"/bin", b"TOKEN": b"old"}


def talk_of(own: dict[bytes, bytes] | None = OWN, workers: int = 1) -> Conversation:
    return Conversation(workers=workers, environ=own)


def greet(talk: Conversation, session: str, environ: dict[bytes, bytes]) -> None:
    hello = Hello(PROTOCOL, "0", "3.11", session, environ=tuple(environ.items()))
    talk.handle(FromClient(Session(session), hello))
    talk.client(session, Define(CODE, b"code of f"))


def runs_of(talk: Conversation, session: str) -> list[Run]:
    """Submit a task; return what the worker is sent."""
    return runs_to(talk.ask(Submit, session, spec=spec(), bodies=(b"",)), 0)


@pytest.mark.parametrize(
    ("environ", "edits"),
    [
        ({}, ()),
        (OWN, ()),
        ({**OWN, b"TOKEN": b"secret"}, ((b"TOKEN", b"secret"),)),
        ({b"PATH": b"/bin", b"A": b"1"}, ((b"A", b"1"), (b"TOKEN", None))),
    ],
)
def test_a_task_is_sent_with_the_variables_that_its_session_has_otherwise(environ, edits) -> None:
    talk = talk_of()
    greet(talk, ALICE, environ)
    talk.submit(1, BOB)
    talk.finish(0)
    assert [run.environ for run in runs_of(talk, ALICE)] == [edits]
    assert not any(b"secret" in encode_record(record) for record in talk.records)


def test_a_farm_on_an_engine_sends_none() -> None:
    talk = talk_of(None)
    greet(talk, ALICE, {b"A": b"1"})
    assert [run.environ for run in runs_of(talk, ALICE)] == [()]


def test_queued_tasks_keep_the_variables_of_a_session_that_has_gone_and_no_others_are_kept() -> None:
    talk = talk_of()
    greet(talk, ALICE, {**OWN, b"TOKEN": b"new"})
    talk.submit(2, timeout=60.0)
    talk.lose_client(ALICE)
    talk.lose_client(BOB)
    talk.wait_with_ticks(3600.0)
    assert ALICE not in talk.farm.sessions
    (run,) = runs_to(talk.finish(0), 0)
    assert run.environ == ((b"TOKEN", b"new"),)
    talk.finish(0)
    talk.wait(60.0)
    assert not talk.farm.environments


def test_tasks_of_different_variables_do_not_travel_together() -> None:
    talk = talk_of(workers=1)
    greet(talk, ALICE, {**OWN, b"TOKEN": b"new"})
    greet(talk, BOB, OWN)
    for session in (ALICE, BOB, ALICE, BOB):
        talk.submit(1, session)
    for _ in range(3):
        for run in runs_to(talk.finish(0), 0):
            owners = {talk.farm.tasks[taskid].batch.session for taskid in run.ids if taskid in talk.farm.tasks}
            assert len(owners) <= 1
            assert run.environ == (((b"TOKEN", b"new"),) if owners == {ALICE} else ())
