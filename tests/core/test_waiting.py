"""What waiting tasks wait for, as lists and cards say it."""

from __future__ import annotations

import pytest

from taskfc_ext.protocol.client_messages import Hold, ListTasks
from taskfc_ext.protocol.payloads import Outcome
from tests.core.conversation import ALICE, BOB, CODE, Conversation, live_in, messages_to

MANY = 1000


def messages_of(talk: Conversation) -> dict[int, str]:
    (listed,) = messages_to(talk.ask(ListTasks))
    return {info.taskid: info.message for info in live_in(listed)}


def test_a_ready_task_is_behind_those_that_run_or_start_first():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.start(0)
    for session in (ALICE, ALICE, BOB):  # clients take turns
        talk.submit(1, session)
    talk.submit(1, priority=5)
    assert messages_of(talk) == {
        0: "",
        1: "behind 2 tasks",
        2: "behind 4 tasks",
        3: "behind 3 tasks",
        4: "behind 1 task",
    }


def test_tasks_that_a_worker_has_are_behind_its_others():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)  # short ones: it gets several ahead
    talk.submit(4)
    talk.start(0)
    assert len(talk.leases_of(0)) == 4
    assert messages_of(talk) == {1: "", 2: "behind 1 task", 3: "behind 2 tasks", 4: "behind 3 tasks"}


def test_a_long_queue_is_not_counted():
    talk = Conversation(workers=1)
    talk.submit(MANY)
    messages = messages_of(talk)
    assert (messages[99], messages[100], messages[101]) == ("behind 99 tasks", "behind 100 tasks", "behind 100+ tasks")
    assert messages[MANY - 1] == "behind 100+ tasks"


@pytest.mark.parametrize(("n", "more"), [(1, ""), (3, " and 2 more"), (MANY, f" and {MANY - 1} more")])
def test_a_waiting_task_names_what_it_waits_for(n: int, more: str):
    talk = Conversation()
    talk.submit(n, name="fit")
    (child,) = talk.submit(1, after=tuple(range(n)))
    assert messages_of(talk)[child] == f"waits for task 0 (fit){more}"


def test_a_task_without_workers_a_held_one_and_a_refused_one():
    talk = Conversation()
    talk.submit(2)
    talk.ask(Hold, taskids=(1,))
    assert messages_of(talk) == {0: "there is no worker", 1: ""}
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.finish(1, outcome=Outcome.REFUSED)
    assert messages_of(talk) == {0: "all workers refuse it: no gpu"}
