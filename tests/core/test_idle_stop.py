"""A farm that nobody uses stops: no client, no unfinished task, for long."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import FromClient
from taskfc_ext.core.state.limits import Limits
from taskfc_ext.protocol.client_messages import Hello, Stopping
from taskfc_ext.protocol.ids import PROTOCOL, Session
from taskfc_ext.protocol.options import HOUR
from taskfc_ext.protocol.records import StopAsked
from taskfc_ext.protocol.supervisor_messages import Shutdown
from tests.core.conversation import ALICE, BOB, Conversation, messages_to, to_supervisor

VIEWER = "v" * 16


def talk_of(**limits: float) -> Conversation:
    """Return a conversation in which nobody is left."""
    talk = Conversation(workers=1, limits=Limits(**limits))
    for session in (ALICE, BOB):
        talk.lose_client(session)
    return talk


def watch(talk: Conversation, session: str = VIEWER) -> None:
    hello = Hello(PROTOCOL, "0", "3.11", session, viewer=True)
    talk.handle(FromClient(Session(session), hello))


def run_for(talk: Conversation, seconds: float) -> Effects:
    """Let time pass, with a tick each minute, up to the stop; return the last effects."""
    end, effects = talk.now + seconds, Effects()
    while talk.now < end and not talk.farm.stop_asked:
        effects = talk.wait(60.0)
    return effects


@pytest.mark.parametrize("watched", [False, True])
def test_a_farm_without_clients_and_tasks_stops_and_whoever_watches_keeps_it_not_running(watched: bool) -> None:
    talk = talk_of(idle=12 * HOUR)
    if watched:
        watch(talk)
    run_for(talk, 12 * HOUR)
    assert not talk.farm.stop_asked
    effects = run_for(talk, 120.0)
    assert [record for record in effects.records if isinstance(record, StopAsked)]
    assert to_supervisor(effects) == [Shutdown(idle=True)]
    assert messages_to(effects, VIEWER) == ([Stopping()] if watched else [])


@pytest.mark.parametrize("keeps", ["a client", "an unfinished task", "a held task", "a short visit"])
def test_each_use_keeps_a_farm_running(keeps: str) -> None:
    talk = Conversation(workers=1, limits=Limits(idle=12 * HOUR))
    if keeps != "a client":
        if "task" in keeps:
            talk.submit(1)
        for session in (ALICE, BOB):
            talk.lose_client(session)
    for _ in range(2):
        run_for(talk, 11 * HOUR)
        if keeps == "a short visit":  # between two ticks
            talk.hello()
            talk.lose_client()
    assert not talk.farm.stop_asked
    if keeps == "an unfinished task":
        talk.finish(0)
        run_for(talk, 11 * HOUR)
        assert not talk.farm.stop_asked
        run_for(talk, 2 * HOUR)
        assert talk.farm.stop_asked


def test_without_a_limit_a_farm_runs_for_ever() -> None:
    talk = talk_of()
    run_for(talk, 30 * HOUR)
    assert not talk.farm.stop_asked


def test_a_client_that_comes_to_an_idle_end_is_not_told_of_a_stop() -> None:
    talk = talk_of(idle=HOUR)
    run_for(talk, 2 * HOUR)
    assert talk.farm.stop_asked
    hello = Hello(PROTOCOL, "0", "3.11", ALICE)
    assert not talk.handle(FromClient(Session(ALICE), hello)).sends
    talk.restart(alive=[0])
    assert not talk.farm.stop_asked
