"""Finished tasks expire at the limits of age and bytes, those that ended first before the others."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import OldTask, StoreRead
from taskfc_ext.core.journal import baseline
from taskfc_ext.core.state.limits import YOUNG, Limits
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.client_messages import Changed, ErrorKind, Refused
from taskfc_ext.protocol.options import DAY
from taskfc_ext.protocol.records import Expired
from tests.core.conversation import BOB, Conversation, messages_to, spec

LIMITS = Limits(seconds=7 * DAY, n_bytes=1600)
"""Room is made from 1500 bytes on, until 1400 are left."""


def talk_with_ended(n: int, limits: Limits = LIMITS) -> Conversation:
    """Return a conversation in which tasks 0 to n - 1 have ended, one a day."""
    talk = Conversation(workers=1, limits=limits)
    for _ in range(n):
        talk.submit(1)
        talk.finish(0)
        talk.wait(DAY)
    return talk


def read(talk: Conversation, n_bytes: int = 0, size: int = 100, ids: range | None = None) -> Effects:
    """Report the finished tasks of `talk_with_ended`, oldest first."""
    begin = talk.time.wall
    ids = range(talk.farm.next_id) if ids is None else ids
    ages = {taskid: (talk.farm.next_id - taskid) * DAY for taskid in ids}
    return talk.handle(StoreRead(n_bytes, tuple(OldTask(taskid, begin - ages[taskid], size) for taskid in ids)))


def expired(effects: Effects) -> list[Expired]:
    return [record for record in effects.records if isinstance(record, Expired)]


@pytest.mark.parametrize(
    ("n", "n_bytes", "records"),
    [
        (6, 1500, []),
        (7, 0, [Expired(((0, 0),))]),
        (9, 0, [Expired(((0, 2),))]),
        (5, 1501, [Expired(((0, 1),), for_room=True)]),
        (3, 9999, [Expired(((0, 2),), for_room=True)]),
        (8, 1501, [Expired(((0, 1),))]),  # what has reached its age makes room as well
        (7, 1600, [Expired(((0, 0),)), Expired(((1, 1),), for_room=True)]),
    ],
)
def test_age_and_bytes_demand_the_tasks_that_ended_first(n: int, n_bytes: int, records: list[Expired]) -> None:
    assert expired(read(talk_with_ended(n), n_bytes)) == records


def test_no_limits_demand_nothing() -> None:
    assert not expired(read(talk_with_ended(20, Limits()), 10**15))


def test_a_result_that_somebody_may_wait_for_makes_no_room() -> None:
    talk = talk_with_ended(1)
    talk.submit(1)
    talk.finish(0)
    now = talk.time.wall
    young = [OldTask(0, now - DAY, 100), OldTask(1, now - YOUNG + 1, 100)]
    assert expired(talk.handle(StoreRead(9999, tuple(young)))) == [Expired(((0, 0),), for_room=True)]


def test_unfinished_tasks_and_what_they_take_stay_whatever_the_limits() -> None:
    talk = talk_with_ended(3)
    talk.submit(1, inputs=(1,))
    assert expired(read(talk, 9999)) == [Expired(((0, 0), (2, 2)), for_room=True)]
    talk.finish(0)
    assert expired(read(talk, 9999, ids=range(1, 2))) == [Expired(((1, 1),), for_room=True)]


@pytest.mark.parametrize(
    ("n", "n_bytes", "text"),
    [(7, 0, "task 0 expired after 7 days"), (5, 9999, "task 0 expired when the store had 1.6 kB")],
)
@pytest.mark.parametrize("restarts", ["never", "from records", "from a baseline"])
def test_a_request_for_an_expired_task_says_why_it_is_gone(n: int, n_bytes: int, text: str, restarts: str) -> None:
    talk = talk_with_ended(n)
    read(talk, n_bytes)
    if restarts == "from a baseline":
        talk.records = [baseline.take(talk.farm)]
    if restarts != "never":
        talk.restart(alive=[0])
    for kind, fields in (
        (messages.GetResults, {"taskids": (0,)}),
        (messages.GetDetails, {"taskid": 0}),
        (messages.GetLog, {"taskid": 0}),
        (messages.Abort, {"taskid": 0}),
        (messages.Retry, {"taskid": 0}),
    ):
        (answer,) = messages_to(talk.ask(kind, BOB, **fields), BOB)
        assert isinstance(answer, Refused)
        assert (answer.error, answer.message) == (ErrorKind.RESULT_EXPIRED, text), kind
    (unknown,) = messages_to(talk.ask(messages.GetResults, BOB, taskids=(0, 99)), BOB)
    assert isinstance(unknown, Refused)
    assert unknown.error is ErrorKind.UNKNOWN_TASK


def test_an_expired_task_counts_no_more_and_its_id_is_not_used_again() -> None:
    talk = talk_with_ended(7)
    read(talk)
    status = messages_to(talk.ask(messages.QueueStatus))[-1]
    assert status.value["succeeded"] == 6
    assert talk.submit(1) == [7]


def test_a_task_cannot_take_an_expired_result_and_a_barrier_counts_it_as_ended() -> None:
    talk = talk_with_ended(7)
    read(talk)
    (refused,) = messages_to(talk.ask(messages.Submit, spec=spec(), bodies=(b"",), inputs=(0,)))
    assert isinstance(refused, Refused)
    assert refused.error is ErrorKind.RESULT_EXPIRED
    assert messages_to(talk.ask(messages.Barrier, taskids=(0,))) == [talk.reply()]


def test_subscribers_see_an_expired_task_go() -> None:
    talk = talk_with_ended(7)
    talk.ask(messages.Watch, BOB)
    talk.wait(1.0)
    (delta,) = [message for message in messages_to(read(talk), BOB) if isinstance(message, Changed)]
    assert delta.delta.cleared == ((0, 1),)


def test_the_code_of_expired_tasks_is_dropped() -> None:
    talk = talk_with_ended(7)
    assert talk.farm.codes.needs()
    read(talk, 9999)
    assert not talk.farm.codes.needs()
