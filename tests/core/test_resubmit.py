"""Retries of finished tasks, with the tasks that failed because of them."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, Recall, SendRun, WorkerSend
from taskfc_ext.core.handlers.retry_request import find_failed_because_of
from taskfc_ext.protocol.client_messages import (
    Abort,
    Accepted,
    Clear,
    Define,
    Ended,
    ErrorKind,
    ListTasks,
    Ping,
    Refused,
    Reply,
    Retry,
    Stop,
    Submit,
)
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.records import Leased, Retried, Submitted
from taskfc_ext.protocol.spec import Origin, Recovery
from taskfc_ext.protocol.worker_messages import Run
from tests.core.conversation import ALICE, BOB, Conversation, dispatched_in, messages_to, orders_to, runs_to, spec


def fail_a_task(talk: Conversation, **fields: object) -> int:
    """Submit a task and let it fail."""
    (taskid,) = talk.submit(1, **fields)
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.state(taskid) == "error"
    return taskid


def pairs(effects: Effects, session: str = ALICE) -> list:
    (answer,) = (message for message in messages_to(effects, session) if isinstance(message, Reply))
    return answer.value


def retries(talk: Conversation) -> dict:
    (listed,) = messages_to(talk.ask(ListTasks))
    return {info.taskid: info.retry_of for info in listed.live}


def test_a_retry_is_of_the_same_cell_and_has_its_key_unless_modules_may_differ():
    talk = Conversation(workers=1)
    origin = Origin("cell 1", b"k" * 16)
    talk.submit(1)
    talk.ask(Submit, spec=spec(), bodies=(b"again",), origin=origin)
    talk.submit(1)

    def origins(wanted: Origin) -> list[int]:
        (listed,) = messages_to(talk.ask(ListTasks, origin=wanted))
        return [info.taskid for info in listed.live]

    assert origins(Origin("cell 1")) == origins(Origin(key=b"k" * 16)) == origins(origin) == [1]
    assert origins(Origin("cell 2")) == origins(Origin("cell 1", b"o" * 16)) == []
    for _ in range(3):
        talk.finish(0, outcome=Outcome.ERROR)
    (same,) = pairs(talk.retry(1))
    assert origins(origin) == [same[1]]
    edited = talk.ask(Retry, taskid=1, context=Define(b"c" * 16, b"another folder"))
    (other,) = pairs(talk.recall(edited))
    assert origins(Origin("cell 1")) == [same[1], other[1]]
    assert origins(origin) == [same[1]]


def test_a_dependant_that_is_retried_with_a_new_parent_has_no_key():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(Submit, spec=spec(), bodies=(b"child",), inputs=(0,), origin=Origin("cell 1", b"k" * 16))
    talk.finish(0, outcome=Outcome.ERROR)
    (_, (_, child)) = pairs(talk.retry(0))
    batch = talk.farm.tasks[child].batch
    assert (batch.inputs, batch.origin) == ((2,), Origin("cell 1"))


def test_a_failed_task_runs_again_as_a_new_one():
    talk = Conversation(workers=1)
    fail_a_task(talk, name="fit", retries=0, timeout=5.0)
    asked = talk.ask(Retry, BOB, taskid=0)
    assert asked == Effects(sends=(Recall(BOB, Retry(seq=1, taskid=0), (0,), ()),), wake_at=asked.wake_at)
    effects = talk.recall(asked)
    submitted = Submitted(
        first=1, session=BOB, seq=1, owner="a", wall=talk.time.wall, spec=spec(retries=0, timeout=5.0),
        bodies=(b"body 0",), name="fit", retry_of=(0,),
    )  # fmt: skip
    lease = talk.lease_of(1)
    run = Run(spec=submitted.spec, first_lease=lease, ids=(1,), bodies=(b"body 0",))
    assert effects == Effects(
        records=(submitted, Retried(((0, 1),), BOB, 1), Leased(lease, (1,), 0)),
        sends=(ClientSend(BOB, Reply(1, [[0, 1]])), WorkerSend(0, run)),
        wake_at=effects.wake_at,
    )
    assert (talk.farm.names["fit"], retries(talk)) == (1, {1: 0})
    assert [m.ids for m in messages_to(talk.finish(0), BOB)] == [(1,)]
    assert talk.state(0) == "error"


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.ERROR])
def test_one_task_of_a_batch_runs_again_with_its_own_body_whatever_it_ended_in(outcome):
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.finish(0, outcome=outcome)
    talk.finish(0, outcome=outcome)
    assert pairs(talk.retry(1)) == [[1, 3]]
    assert talk.farm.tasks[3].body == b"body 1"


def test_an_aborted_task_runs_again():
    talk = Conversation()
    talk.submit(1)
    talk.ask(Abort, taskid=0)
    assert pairs(talk.retry(0)) == [[0, 1]]
    assert talk.state(1) == "scheduled"


def test_its_recovery_comes_along():
    talk = Conversation(workers=1)
    talk.submit(1, recovery=Recovery(spec(label="plan b"), b"plan b"))
    talk.finish(0, outcome=Outcome.ERROR)
    talk.finish(0, outcome=Outcome.ERROR)
    assert [run.bodies for run in runs_to(talk.retry(0), 0)] == [(b"body 0",)]
    assert [run.bodies for run in runs_to(talk.finish(0, outcome=Outcome.ERROR), 0)] == [(b"plan b",)]


# dependants


def test_dependants_that_failed_run_again_and_depend_on_the_new_task():
    talk = Conversation(workers=1)
    talk.submit(1, BOB)
    talk.finish(0)  # 0: has succeeded
    talk.submit(1)  # 1: fails
    talk.submit(2, inputs=(1, 0), retries=2)
    talk.submit(1, after=(1,), after_any=True)  # 4: runs all the same
    talk.submit(1, after=(2, 4))
    talk.submit(1, inputs=(0,))  # 6: has nothing to do with it
    talk.finish(0, outcome=Outcome.ERROR)
    assert [talk.state(taskid) for taskid in (2, 3, 4, 5)] == ["dependency", "dependency", "scheduled", "dependency"]
    talk.finish(0)
    talk.finish(0)
    effects = talk.retry(1)
    assert pairs(effects) == [[1, 7], [2, 8], [3, 9], [5, 10]]
    submitted = [record for record in effects.records if isinstance(record, Submitted)]
    assert [(r.first, r.bodies, r.inputs, r.after, r.retry_of, r.spec.retries) for r in submitted] == [
        (7, (b"body 1",), (), (), (1,), 0),
        (8, (b"body 2", b"body 3"), (7, 0), (), (2, 3), 2),
        (10, (b"body 5",), (), (8, 4), (5,), 0),
    ]
    assert [talk.state(taskid) for taskid in (8, 9, 10)] == ["waiting"] * 3
    assert retries(talk) == {7: 1, 8: 2, 9: 3, 10: 5}
    talk.finish(0)
    assert [order.inputs for order in orders_to(talk.finish(0), 0) if isinstance(order, SendRun)] == [(7, 0)]
    talk.finish(0)
    talk.finish(0)
    assert [talk.state(taskid) for taskid in (7, 8, 9, 10)] == ["succeeded"] * 4


def test_a_dependant_that_was_aborted_or_failed_otherwise_stays_as_it_is():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(3, after=(0,))
    talk.ask(Abort, taskid=2)
    talk.finish(0, outcome=Outcome.ERROR)
    assert pairs(talk.retry(0)) == [[0, 4], [1, 5], [3, 6]]


def test_two_failed_dependencies_are_retried_one_after_the_other():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.submit(1)
    talk.submit(1, inputs=(0, 1))
    talk.finish(0, outcome=Outcome.ERROR)
    talk.finish(1, outcome=Outcome.ERROR)
    effects = talk.retry(0)
    assert pairs(effects) == [[0, 3], [2, 4]]
    assert talk.state(4) == "dependency", "the other one has still failed"
    assert [m.ids for m in messages_to(effects) if isinstance(m, Ended)] == [(4,)]
    assert pairs(talk.retry(1)) == [[1, 5], [4, 6]]
    assert talk.farm.tasks[6].batch.inputs == (3, 5)


def test_the_one_that_was_not_to_blame_is_found_by_its_newest_retry():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.submit(1)
    talk.submit(1, after=(0, 1))
    talk.finish(0, outcome=Outcome.ERROR)
    talk.finish(1, outcome=Outcome.ERROR)
    assert pairs(talk.retry(1)) == [[1, 3]]
    talk.finish(0, outcome=Outcome.ERROR)
    assert pairs(talk.retry(3)) == [[3, 4]]
    assert pairs(talk.retry(0)) == [[0, 5], [2, 6]]
    assert talk.farm.tasks[6].past().unmet == {4, 5}


def test_an_input_that_has_succeeded_stays_the_input_although_it_ran_again():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0)
    fail_a_task(talk, inputs=(0,))
    talk.retry(0)
    assert pairs(talk.retry(1)) == [[1, 3]]
    assert talk.farm.tasks[3].batch.inputs == (0,)


def test_a_dependant_runs_again_alone_and_fails_at_once_or_comes_after_the_newest():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.finish(0, outcome=Outcome.ERROR)
    effects = talk.retry(1)
    assert [type(message) for message in messages_to(effects)] == [Reply, Ended]
    assert talk.state(2) == "dependency"
    assert pairs(talk.retry(0)) == [[0, 3], [2, 4]], "1 has run again as 2"
    talk.finish(0, outcome=Outcome.ERROR)
    assert pairs(talk.retry(0)) == [[0, 5], [4, 6]], "0 has run again as 3, and 2 as 4"
    assert talk.farm.tasks[6].past().unmet == {5}
    assert pairs(talk.retry(1)) == [[1, 7]]
    assert talk.farm.tasks[7].past().unmet == {5}


def test_dependants_that_fail_again_fail_together():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.submit(1, after=(1,))
    talk.finish(0, outcome=Outcome.ERROR)
    effects = talk.retry(1)
    assert pairs(effects) == [[1, 3], [2, 4]]
    assert [m.ids for m in messages_to(effects) if isinstance(m, Ended)] == [(3,), (4,)]


@pytest.mark.parametrize(
    ("failed_with", "again"),
    [
        ({}, []),
        ({2: 1, 3: 2, 4: 0, 5: 4, 6: 3}, [2, 3, 6]),
        ({9: 5, 5: 1, 11: 7}, [5, 9, 11]),
    ],
)
def test_dependants_are_found_through_one_another(failed_with, again):
    assert find_failed_because_of((1, 7), failed_with) == again


# tasks that cannot run again


@pytest.mark.parametrize("taskid", [-1, 0, 7])
def test_there_is_no_such_task(taskid):
    talk = Conversation(workers=1)
    fail_a_task(talk)
    talk.ask(Clear, taskids=(0,))
    (refusal,) = messages_to(talk.retry(taskid))
    assert (refusal.error, refusal.value) == (ErrorKind.UNKNOWN_TASK, {"taskids": [taskid]})


@pytest.mark.parametrize("started", [False, True])
def test_an_unfinished_one_is_to_be_aborted_first(started):
    talk = Conversation(workers=1)
    talk.submit(1, name="fit")
    if started:
        talk.start(0)
    effects = talk.retry(0)
    state = "running" if started else "scheduled"
    text = f"task 0 (fit) has not ended ({state}), so it cannot run again"
    refused = Refused(2, ErrorKind.NOT_ALLOWED, text, "abort it first", {"taskids": [0]})
    assert (effects.records, messages_to(effects)) == ((), [refused])


def test_a_cleared_input_is_named_and_a_cleared_dependency_has_ended():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.finish(0)
    talk.finish(0)
    fail_a_task(talk, inputs=(1,))
    fail_a_task(talk, after=(1,))
    talk.ask(Clear, taskids=(1,))
    (refusal,) = messages_to(talk.retry(2))
    text = "task 2 cannot run again: the result of task 1, which it takes, was cleared"
    assert refusal == Refused(5, ErrorKind.RESULT_EXPIRED, text, "submit it again", {"taskids": [1]})
    assert pairs(talk.retry(3)) == [[3, 4]]
    assert talk.state(4) == "scheduled"


def test_a_dependant_whose_other_input_was_cleared_stays_behind_with_its_own():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0)
    talk.submit(1)
    talk.submit(1, inputs=(0, 1))
    talk.submit(1, after=(2,))
    talk.submit(1, after=(1,))
    talk.finish(0, outcome=Outcome.ERROR)
    talk.ask(Clear, taskids=(0,))
    assert pairs(talk.retry(1)) == [[1, 5], [4, 6]]


def test_it_was_cleared_before_it_was_read():
    talk = Conversation(workers=1)
    fail_a_task(talk)
    asked = talk.ask(Retry, taskid=0)
    talk.ask(Clear, taskids=(0,))
    (refusal,) = messages_to(talk.recall(asked))
    assert (refusal.seq, refusal.error) == (2, ErrorKind.UNKNOWN_TASK)


# repeats and restarts


@pytest.mark.parametrize("restart", [False, True])
def test_a_repeat_gets_the_first_answer_and_submits_nothing(restart):
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.finish(0, outcome=Outcome.ERROR)
    first = messages_to(talk.retry(0))
    again = Retry(seq=talk.seqs[ALICE], taskid=0)
    if restart:
        talk.restart(alive=[0])
    assert talk.client(ALICE, again) == Effects(sends=(ClientSend(ALICE, first[0]),))
    assert talk.farm.retried == {0: 2, 1: 3}


def test_a_repeat_that_was_read_as_well_submits_nothing():
    talk = Conversation(workers=1)
    fail_a_task(talk)
    asked = talk.ask(Retry, taskid=0)
    twice = talk.client(ALICE, Retry(seq=2, taskid=0))
    (answer,) = (message for message in messages_to(talk.recall(asked)) if isinstance(message, Reply))
    effects = talk.recall(twice)
    assert (effects.records, messages_to(effects)) == ((), [answer])
    talk.ask(Ping, acked=3)
    assert talk.recall(twice) == Effects()


def test_nothing_is_submitted_after_a_stop():
    talk = Conversation(workers=1)
    fail_a_task(talk)
    asked = talk.ask(Retry, taskid=0)
    talk.ask(Stop)
    effects = talk.recall(asked)
    assert (effects.records, effects.sends) == ((), ())


def test_retries_are_known_after_a_restart():
    talk = Conversation(workers=1)
    fail_a_task(talk)
    talk.retry(0)
    talk.restart(alive=[0])
    talk.ready(0, tuple(talk.leases_of(0)))
    assert (retries(talk), talk.farm.retried) == ({1: 0}, {0: 1})
    talk.finish(0, outcome=Outcome.ERROR)
    assert pairs(talk.retry(1)) == [[1, 2]]


def test_cleared_tasks_are_no_longer_noted_as_retried():
    talk = Conversation(workers=1)
    fail_a_task(talk)
    talk.retry(0)
    talk.ask(Clear, taskids=(0,))
    assert talk.farm.retried == {}
    talk.finish(0)
    talk.restart(alive=[0])
    assert pairs(talk.retry(1)) == [[1, 2]]


def test_an_answer_names_no_submission():
    talk = Conversation(workers=1)
    fail_a_task(talk)
    talk.retry(0)
    seq = talk.seqs[ALICE]
    effects = talk.ask(Submit, spec=spec(), bodies=(b"x",), after=((seq, 0),))
    assert [type(message) for message in messages_to(effects)] == [Refused]
    assert not [message for message in messages_to(effects) if isinstance(message, Accepted)]
    assert dispatched_in(effects) == []


HERE = {"context": Define(b"x" * 16, b"a folder"), "modules": (Define(b"m" * 16, b"mended"),)}


@pytest.mark.parametrize(("session", "is_owner"), [(ALICE, True), (BOB, False)])
def test_a_retry_by_the_owner_runs_in_the_present_context(session, is_owner):
    talk = Conversation(workers=1)
    fail_a_task(talk, retries=0)
    effects = talk.recall(talk.ask(Retry, session, taskid=0, **HERE))
    (submitted,) = (record for record in effects.records if isinstance(record, Submitted))
    moved = {"context": b"x" * 16, "modules": (b"m" * 16,)} if is_owner else {}
    assert submitted.spec == spec(retries=0, **moved)
    defined = [record.digest for record in effects.records if isinstance(record, Define)]
    assert defined == [b"m" * 16, b"x" * 16]
    assert effects.records.index(submitted) > 1  # the code comes before the record that names it
    again = talk.recall(talk.ask(Retry, session, taskid=0, **HERE))
    assert not any(isinstance(record, Define) for record in again.records)


def test_a_recovery_task_moves_along():
    talk = Conversation(workers=1)
    (taskid,) = talk.submit(1, recovery=Recovery(spec(), b"recover"))
    talk.finish(taskid, outcome=Outcome.ERROR)
    talk.finish(taskid, outcome=Outcome.ERROR)
    effects = talk.recall(talk.ask(Retry, taskid=taskid, **HERE))
    (submitted,) = (record for record in effects.records if isinstance(record, Submitted))
    assert submitted.spec.recovery == Recovery(spec(context=b"x" * 16, modules=(b"m" * 16,)), b"recover")
