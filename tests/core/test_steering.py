"""Hold, release and move: waiting tasks are kept back or reordered, and tasks of workers are left alone."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SupervisorSend, WorkerSend
from taskfc_ext.protocol.client_messages import (
    Abort,
    Barrier,
    ErrorKind,
    Hold,
    ListTasks,
    Move,
    QueueStatus,
    Refused,
    Reply,
)
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.records import Held, Leased, Moved
from taskfc_ext.protocol.worker_messages import Run
from tests.core.conversation import ALICE, BOB, CODE, Conversation, dispatched_in, held_order, messages_to, spec


def infos(talk: Conversation) -> dict:
    (listed,) = messages_to(talk.ask(ListTasks))
    return {info.taskid: info for info in listed.live}


# hold


def test_a_held_task_is_not_dispatched_until_its_release():
    talk = Conversation()
    talk.submit(2)
    effects = talk.ask(Hold, taskids=(0,))
    assert effects == Effects(records=(Held((0,), True, ALICE, 2),), sends=(ClientSend(ALICE, Reply(2, [])),))
    assert dispatched_in(talk.join(0)) == [(0, 1)]
    assert dispatched_in(talk.finish(0)) == []
    effects = talk.ask(Hold, taskids=(0,), held=False)
    lease = talk.lease_of(0)
    assert effects == Effects(
        records=(Held((0,), False, ALICE, 3), Leased(lease, (0,), 0)),
        sends=(
            ClientSend(ALICE, Reply(3, [])),
            WorkerSend(0, Run(spec=spec(), first_lease=lease, ids=(0,), bodies=(b"body 0",))),
        ),
    )
    talk.finish(0)
    assert talk.state(0) == "succeeded"


def test_hold_leaves_tasks_of_workers_alone_and_names_them():
    talk = Conversation(workers=1)
    talk.submit(3)
    effects = talk.ask(Hold, taskids=(1, 0, 1))
    assert effects == Effects(
        records=(Held((1, 0, 1), True, ALICE, 2),), sends=(ClientSend(ALICE, Reply(2, [0])),), wake_at=effects.wake_at
    )
    assert dispatched_in(talk.finish(0)) == [(0, 2)]
    talk.finish(0)
    assert (talk.state(0), talk.state(1), talk.state(2)) == ("succeeded", "scheduled", "succeeded")


def test_a_task_given_back_after_a_refused_hold_is_dispatched_again():
    talk = Conversation(workers=1)
    talk.submit(1)
    assert messages_to(talk.ask(Hold, taskids=(0,))) == [talk.reply([0])]
    talk.up(1)
    assert dispatched_in(talk.die(0, started=0)) == []
    assert dispatched_in(talk.ready(1)) == [(1, 0)]


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("restart", [False, True])
def test_ids_of_no_unfinished_task_are_named_and_the_others_are_done(held, restart):
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.finish(0)
    message = Hold(seq=9, taskids=(0, 1, 2, 99, -5, 0), held=held)
    (refusal,) = messages_to(talk.client(ALICE, message))
    word = "held" if held else "released"
    assert refusal == Refused(
        9, ErrorKind.UNKNOWN_TASKS, f"not among the unfinished tasks: 0, 99, -5; 1 other {word}",
        value={"taskids": [0, 99, -5]},
    )  # fmt: skip
    assert talk.farm.held == ({2} if held else set())
    if restart:
        talk.restart(alive=[0])
    n_records = len(talk.records)
    assert messages_to(talk.client(ALICE, message)) == [refusal]
    assert len(talk.records) == n_records


@pytest.mark.parametrize("restart", [False, True])
def test_a_repeat_gets_the_first_answer_and_changes_nothing(restart):
    talk = Conversation(workers=1)
    talk.submit(2)
    hold = Hold(seq=7, taskids=(0, 1))
    talk.client(ALICE, hold)
    talk.client(ALICE, Hold(seq=8, taskids=(1,), held=False))
    talk.finish(0)
    if restart:
        talk.restart(alive=[0])
        talk.ready(0, tuple(talk.leases_of(0)))
    effects = talk.client(ALICE, hold)
    assert (effects.records, messages_to(effects)) == ((), [Reply(7, [0])])
    assert talk.farm.held == set()


def test_a_hold_and_a_move_survive_a_restart():
    talk = Conversation()
    talk.submit(3)
    talk.ask(Hold, taskids=(0,))
    talk.ask(Move, taskids=(2,), priority=5)
    talk.restart()
    assert held_order(talk, [0]) == [2, 1]
    assert dispatched_in(talk.ask(Hold, taskids=(0,), held=False)) == [(0, 0)]


def test_a_held_task_that_waits_stays_held_when_its_dependencies_have_ended():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.ask(Hold, taskids=(1,))
    assert (talk.state(1), infos(talk)[1].held) == ("waiting", True)
    assert dispatched_in(talk.finish(0)) == []
    assert (talk.state(1), infos(talk)[1].held) == ("scheduled", True)
    assert dispatched_in(talk.ask(Hold, taskids=(1,), held=False)) == [(0, 1)]
    assert not infos(talk)[1].held


def test_a_held_task_whose_dependency_fails_ends_with_it():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.ask(Hold, taskids=(1,))
    talk.finish(0, outcome=Outcome.ERROR)
    assert (talk.state(1), talk.farm.held) == ("dependency", set())


def test_a_held_task_is_aborted_at_once_and_a_barrier_waits_for_it_until_then():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.ask(Hold, taskids=(1,))
    talk.finish(0)
    assert messages_to(talk.ask(Barrier, BOB, taskids=(0, 1)), BOB) == []
    assert messages_to(talk.ask(QueueStatus))[0].value["scheduled"] == 1
    effects = talk.ask(Abort, taskid=1)
    assert messages_to(effects, BOB) == [talk.reply(session=BOB)]
    assert (talk.state(1), talk.farm.held) == ("aborted", set())
    (refusal,) = messages_to(talk.ask(Hold, taskids=(1,)))
    assert refusal.value == {"taskids": [1]}


def test_the_release_comes_into_its_old_place():
    talk = Conversation()
    talk.submit(5)
    talk.ask(Hold, taskids=(1, 3))
    talk.ask(Hold, taskids=(3, 1), held=False)
    assert held_order(talk, [0]) == [0, 1, 2, 3, 4]


def test_a_hold_or_release_again_changes_nothing():
    talk = Conversation()
    talk.submit(3)
    for held in (True, True, False, False):
        assert messages_to(talk.ask(Hold, taskids=(0, 2), held=held)) == [talk.reply([])]
    assert held_order(talk, [0]) == [0, 1, 2]


def test_a_held_task_is_not_dispatched_when_its_back_off_is_over():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1, backoff=3.0)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.ask(Hold, taskids=(0,))
    assert dispatched_in(talk.wait(5.0)) == []
    assert dispatched_in(talk.ask(Hold, taskids=(0,), held=False)) == [(0, 0)]


def test_the_back_off_of_a_released_task_goes_on():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1, backoff=3.0)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.ask(Hold, taskids=(0,))
    assert dispatched_in(talk.ask(Hold, taskids=(0,), held=False)) == []
    assert dispatched_in(talk.wait(3.0)) == [(0, 0)]


def test_a_held_task_that_all_refuse_is_not_unreachable_and_its_clock_starts_with_the_release():
    talk = Conversation(workers=1)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.wait(20.0)
    talk.ask(Hold, taskids=(0,))
    talk.wait(15.0)
    talk.wait(100.0)
    assert talk.state(0) == "scheduled"
    assert dispatched_in(talk.ask(Hold, taskids=(0,), held=False)) == []
    talk.wait(29.0)
    assert talk.state(0) == "scheduled"
    talk.wait(1.0)
    assert talk.state(0) == "unreachable"


def test_a_held_task_that_one_refused_goes_to_the_other_when_it_is_released():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE)
    talk.submit(1)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.ask(Hold, taskids=(0,))
    assert dispatched_in(talk.finish(1)) == []
    assert dispatched_in(talk.ask(Hold, taskids=(0,), held=False)) == [(1, 0)]


def test_lists_show_held_and_the_new_priority():
    talk = Conversation()
    talk.submit(2)
    talk.ask(Hold, taskids=(1,))
    talk.ask(Move, taskids=(0,), priority=-3)
    listed = infos(talk)
    assert [(listed[i].state, listed[i].held, listed[i].priority) for i in (0, 1)] == [
        ("scheduled", False, -3), ("scheduled", True, 0)
    ]  # fmt: skip
    assert listed[0].message == "there is no worker"
    assert listed[1].message == "", "a held task does not wait for a worker"


# move


def test_tasks_moved_up_go_first_and_tasks_moved_down_last():
    talk = Conversation()
    talk.submit(5)
    effects = talk.ask(Move, taskids=(3, 4), priority=1)
    assert effects == Effects(records=(Moved((3, 4), 1, ALICE, 2),), sends=(ClientSend(ALICE, Reply(2)),))
    talk.ask(Move, taskids=(0,), priority=-1)
    assert held_order(talk, [0]) == [3, 4, 1, 2, 0]


def test_moved_tasks_keep_the_order_of_their_client():
    talk = Conversation()
    talk.submit(3)
    talk.submit(2, priority=4)
    talk.submit(1, BOB, priority=4)
    talk.ask(Move, BOB, taskids=(2, 1), priority=4)
    assert held_order(talk, [0]) == [1, 5, 2, 3, 4, 0]


def test_a_move_there_and_back_leaves_nothing():
    talk = Conversation()
    talk.submit(3)
    talk.ask(Move, taskids=(1,), priority=4)
    talk.ask(Move, taskids=(1,), priority=0)
    assert talk.farm.moved == {}
    assert held_order(talk, [0]) == [0, 1, 2]


def test_a_retry_keeps_the_new_priority():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1)
    talk.submit(1, priority=3)
    talk.submit(1, priority=3)
    talk.ask(Move, taskids=(0,), priority=7)
    assert dispatched_in(talk.finish(0, outcome=Outcome.ERROR)) == [(0, 0)]
    talk.finish(0)
    assert talk.farm.moved == {}


def test_a_held_and_a_waiting_task_are_moved_too():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1)
    talk.submit(2, after=(0,))
    talk.ask(Hold, taskids=(3,))
    talk.ask(Move, taskids=(2, 3), priority=2)
    assert dispatched_in(talk.finish(0)) == [(0, 2)]
    talk.ask(Hold, taskids=(3,), held=False)
    assert dispatched_in(talk.finish(0)) == [(0, 3)]


def test_a_refused_task_is_moved_among_the_refused():
    talk = Conversation(workers=2)
    talk.submit(2)
    talk.submit(1, depend=CODE)
    talk.finish(0)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.submit(2)
    talk.ask(Move, taskids=(2,), priority=9)
    talk.ask(Move, taskids=(4,), priority=5)
    assert dispatched_in(talk.finish(1)) == [(1, 2)]


@pytest.mark.parametrize("restart", [False, True])
def test_a_move_of_what_has_ended_names_it_and_moves_the_others(restart):
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.finish(0)
    message = Move(seq=9, taskids=(0, 2, 7), priority=1)
    (refusal,) = messages_to(talk.client(ALICE, message))
    assert (refusal.error, refusal.value) == (ErrorKind.UNKNOWN_TASKS, {"taskids": [0, 7]})
    assert refusal.message == "not among the unfinished tasks: 0, 7; 1 other moved"
    assert talk.farm.moved == {2: 1}
    if restart:
        talk.restart(alive=[0])
    effects = talk.client(ALICE, message)
    assert (messages_to(effects), effects.records) == ([refusal], ())


def test_no_attempt_is_stopped():
    talk = Conversation(workers=1)
    talk.submit(2)
    for kind, fields in ((Hold, {}), (Move, {"priority": 3})):
        effects = talk.ask(kind, taskids=(0, 1), **fields)
        assert not [send for send in effects.sends if isinstance(send, SupervisorSend | WorkerSend)]
