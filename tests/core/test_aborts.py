"""Abort of tasks in every state, and the steps that stop a running attempt."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SupervisorSend
from taskfc_ext.core.state.farm import TimerKind
from taskfc_ext.protocol.client_messages import Abort, AbortTasks, Clear, Ended, ErrorKind, ListTasks, Reply
from taskfc_ext.protocol.payloads import Outcome, Reason, decode_failure
from taskfc_ext.protocol.records import AbortAsked, AbortsAsked, Requeued, Why
from taskfc_ext.protocol.spec import Recovery
from taskfc_ext.protocol.supervisor_messages import Step, StopAttempt, WorkerDown
from taskfc_ext.protocol.worker_messages import Started
from tests.core.conversation import ALICE, BOB, CODE, Conversation, dispatched_in, messages_to, spec, to_supervisor


def test_a_queued_task_ends_at_once():
    talk = Conversation()
    talk.submit(1)
    effects = talk.ask(Abort, taskid=0)
    asked, ended = effects.records
    assert asked == AbortAsked(0, ALICE, 2)
    assert (ended.ids, ended.reasons, ended.workers, ended.attempts) == ((0,), ("aborted",), (-1,), (0,))
    assert decode_failure(ended.values[0]).reason is Reason.ABORTED
    assert effects.sends == (ClientSend(ALICE, Reply(2, True)), ClientSend(ALICE, ended))
    assert dispatched_in(talk.join(0)) == []


@pytest.mark.parametrize("how", ["waiting", "backing off", "refused"])
def test_tasks_that_wait_for_something_are_aborted_too(how):
    talk = Conversation(workers=1)
    if how == "waiting":
        talk.submit(1)
        talk.submit(1, after=(0,))
    else:
        talk.submit(1)
        talk.finish(0)
        talk.submit(1, retries=1, backoff=3.0, depend=CODE)
        talk.finish(0, outcome=Outcome.ERROR if how == "backing off" else Outcome.REFUSED)
    talk.ask(Abort, taskid=1)
    assert talk.state(1) == "aborted"
    effects = talk.wait(100.0)
    assert dispatched_in(effects) == []
    assert effects.records == ()


def test_neither_retry_nor_recovery_follows_an_abort():
    talk = Conversation(workers=1)
    talk.submit(1, retries=3, recovery=Recovery(spec(), b""))
    talk.ask(Abort, taskid=0)
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "aborted"


def test_a_held_task_is_stopping_until_it_was_given_back():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    first, second = talk.submit(2)
    lease = talk.lease_of(second)
    effects = talk.ask(Abort, taskid=second)
    assert effects == Effects(
        records=(AbortAsked(second, ALICE, talk.seqs[ALICE]),),
        sends=(ClientSend(ALICE, talk.reply(True)), SupervisorSend(StopAttempt(0, lease, Step.INTERRUPT))),
        wake_at=talk.now + 2.0,
    )
    (listed,) = messages_to(talk.ask(ListTasks))
    assert [(info.taskid, info.stopping) for info in listed.live] == [(first, False), (second, True)]
    talk.give_back(0, [lease])
    assert talk.state(second) == "aborted"
    assert talk.wait(10.0).sends == ()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_however_the_attempt_ends_an_aborted_task_is_aborted(outcome):
    talk = Conversation(workers=2)
    talk.submit(1, retries=2, depend=CODE)
    talk.start(0)
    talk.ask(Abort, taskid=0)
    effects = talk.finish(0, outcome=outcome)
    assert [record.reasons for record in effects.records] == [("aborted",)]
    assert dispatched_in(effects) == []


@pytest.mark.parametrize("planned", [True, False])
def test_an_aborted_task_whose_worker_dies_is_aborted(planned):
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.start(0)
    talk.ask(Abort, taskid=0)
    effects = talk.die(0, planned=planned)
    assert [record.reasons for record in effects.records] == [("aborted",)]
    assert dispatched_in(effects) == []


def test_a_stop_interrupts_terminates_and_kills_until_the_attempt_ends():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.start(0)
    lease = talk.lease_of(0)
    seen = [(0.0, *to_supervisor(talk.ask(Abort, taskid=0)))]
    begin = talk.now
    for _ in range(24):
        seen += [(talk.now - begin, order) for order in to_supervisor(talk.wait(0.25))]
    assert seen == [
        (0.0, StopAttempt(0, lease, Step.INTERRUPT)),
        (2.0, StopAttempt(0, lease, Step.TERMINATE)),
        (3.0, StopAttempt(0, lease, Step.KILL)),
        (4.0, StopAttempt(0, lease, Step.KILL)),
        (5.0, StopAttempt(0, lease, Step.KILL)),
        (6.0, StopAttempt(0, lease, Step.KILL)),
    ]
    talk.die(0)
    assert to_supervisor(talk.wait(10.0)) == []


def test_an_attempt_that_starts_while_it_is_being_stopped_is_interrupted_again():
    talk = Conversation(workers=1)
    talk.submit(1)
    lease = talk.lease_of(0)
    talk.ask(Abort, taskid=0)
    assert to_supervisor(talk.start(0)) == [StopAttempt(0, lease, Step.INTERRUPT)]


def test_only_the_attempt_that_was_named_is_stopped():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.ask(Abort, taskid=0)
    talk.finish(0, outcome=Outcome.OK)
    effects = talk.wait(10.0)
    assert to_supervisor(effects) == []
    talk.finish(0)
    assert (talk.state(0), talk.state(1)) == ("aborted", "succeeded")


def test_an_abort_during_a_timeout_wins():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=1.0, retries=5)
    lease = talk.lease_of(0)
    talk.start(0)
    talk.wait(1.0)
    assert to_supervisor(talk.ask(Abort, taskid=0)) == [StopAttempt(0, lease, Step.INTERRUPT)]
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "aborted"


def test_a_timeout_during_an_abort_changes_nothing():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=1.0, retries=5)
    talk.start(0)
    talk.ask(Abort, taskid=0)
    assert to_supervisor(talk.wait(1.0)) == []
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "aborted"


# refused aborts


@pytest.mark.parametrize("taskid", [1, -1, 10**6])
def test_abort_of_an_unknown_task_is_refused(taskid):
    talk = Conversation()
    talk.submit(1)
    effects = talk.ask(Abort, taskid=taskid)
    (refusal,) = messages_to(effects)
    assert (refusal.error, refusal.value, effects.records) == (ErrorKind.UNKNOWN_TASK, {"taskids": [taskid]}, ())


@pytest.mark.parametrize(("outcome", "word"), [(Outcome.OK, "succeeded"), (Outcome.ERROR, "failed")])
def test_abort_of_a_finished_task_is_refused_and_says_how_it_ended(outcome, word):
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, outcome=outcome)
    effects = talk.ask(Abort, taskid=0)
    (refusal,) = messages_to(effects)
    assert (refusal.error, effects.records) == (ErrorKind.UNKNOWN_TASK, ())
    assert word in refusal.message


def test_abort_of_an_aborted_or_aborting_task_is_refused():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(Abort, taskid=0)
    effects = talk.ask(Abort, BOB, taskid=0)
    (refusal,) = messages_to(effects, BOB)
    assert (refusal.error, effects.records) == (ErrorKind.UNKNOWN_TASK, ())
    assert "being aborted" in refusal.message
    talk.finish(0)
    (refusal,) = messages_to(talk.ask(Abort, taskid=0))
    assert "ended already (aborted)" in refusal.message


def test_abort_of_a_cleared_task_is_refused():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0)
    talk.ask(Clear)
    (refusal,) = messages_to(talk.ask(Abort, taskid=0))
    assert refusal.error is ErrorKind.UNKNOWN_TASK


# queued only


def test_queued_only_leaves_a_task_alone_that_a_worker_holds():
    talk = Conversation(workers=1)
    talk.submit(2)
    assert messages_to(talk.ask(Abort, taskid=0, queued_only=True)) == [talk.reply(False)]
    assert messages_to(talk.ask(Abort, taskid=1, queued_only=True))[0] == talk.reply(True)
    talk.finish(0)
    assert (talk.state(0), talk.state(1)) == ("succeeded", "aborted")
    effects = talk.ask(Abort, taskid=0, queued_only=True)
    assert (messages_to(effects), effects.records) == ([talk.reply(False)], ())


# across a restart


def test_an_abort_goes_on_after_a_restart():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.start(0)
    lease = talk.lease_of(0)
    talk.ask(Abort, taskid=0)
    assert to_supervisor(talk.restart(alive=[0])) == [StopAttempt(0, lease, Step.INTERRUPT)]
    talk.ready(0, (lease,))
    assert to_supervisor(talk.wait(2.0)) == [StopAttempt(0, lease, Step.TERMINATE)]
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "aborted"


def test_an_aborted_task_whose_worker_died_while_no_controller_ran_ends():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.start(0)
    lease = talk.lease_of(0)
    talk.ask(Abort, taskid=0)
    talk.restart(dead=[WorkerDown(worker=0, pid=0, started=lease, running=True, note="SIGKILL", planned=False)])
    assert talk.state(0) == "aborted"


def test_an_aborted_task_that_its_worker_never_got_ends_when_that_is_known():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(Abort, taskid=0)
    talk.restart(alive=[0])
    assert talk.state(0) == "scheduled"
    effects = talk.ready(0, ())
    assert [record.reasons for record in effects.records if isinstance(record, Ended)] == [("aborted",)]
    assert dispatched_in(effects) == []


def test_a_running_task_is_stopped_where_the_others_that_its_worker_holds_go_on():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    first, second = talk.submit(2)
    talk.ask(Abort, taskid=first)
    effects = talk.die(0, started=talk.lease_of(first))
    assert Requeued((second,), Why.RETURNED) in effects.records
    assert talk.state(first) == "aborted"
    talk.join(1)
    talk.worker(1, Started(talk.lease_of(second)))
    assert talk.state(second) == "running"


def test_deadlines_of_attempts_that_have_ended_do_not_pile_up():
    talk = Conversation(workers=1)
    for _ in range(20_000):
        talk.farm.set_timer(talk.now + 3600, TimerKind.DEADLINE, 10**9)
    assert len(talk.farm.timers) <= 10_001
    talk.submit(1, timeout=5.0)
    talk.start(0)
    for _ in range(20_000):
        talk.farm.set_timer(talk.now + 3600, TimerKind.DEADLINE, 10**9)
    assert talk.farm.timers[0][0] == talk.now + 5.0, "the deadline of what runs stays"


def test_a_repeated_abort_of_many_gets_the_first_answer_after_a_restart():
    talk = Conversation(workers=1)
    talk.submit(2)
    first = messages_to(talk.ask(AbortTasks, taskids=(0, 1, 9)))[0]
    assert first == talk.reply([9])
    talk.restart(alive=(0,))
    (again,) = messages_to(talk.client(ALICE, AbortTasks(seq=first.seq, taskids=(0, 1, 9))))
    assert again == first


def test_many_are_aborted_in_one_step():
    talk = Conversation(workers=1)
    talk.submit(4)
    effects = talk.ask(AbortTasks, taskids=(3, 0, 2, 9, 3))
    asked, ended = effects.records
    assert asked == AbortsAsked((3, 0, 2), (9,), ALICE, talk.seqs[ALICE])
    assert (ended.ids, ended.reasons) == ((3, 2), ("aborted", "aborted"))
    assert len(to_supervisor(effects)) == 1
    assert messages_to(effects)[0] == talk.reply([9])
    assert [talk.state(taskid) for taskid in (1, 2, 3)] == ["scheduled", "aborted", "aborted"]
    assert messages_to(talk.ask(AbortTasks, taskids=(0, 1, 2)))[0] == talk.reply([0, 2])


def test_a_task_and_what_comes_after_it_are_aborted_together():
    talk = Conversation()
    talk.submit(1)
    talk.submit(2, after=(0,))
    (_, ended, cascaded) = talk.ask(AbortTasks, taskids=(0, 1)).records
    assert (ended.ids, ended.reasons) == ((0, 1), ("aborted", "aborted"))
    assert (cascaded.ids, cascaded.reasons) == ((2,), ("dependency",))
