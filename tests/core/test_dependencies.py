"""Tasks that come after others, or take their results."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import SendRun
from taskfc_ext.protocol.client_messages import Abort, Accepted, Clear, Ended, ErrorKind, Refused, Release, Submit
from taskfc_ext.protocol.payloads import Outcome, Reason, decode_failure
from taskfc_ext.protocol.spec import Recovery
from tests.core.conversation import ALICE, BOB, CODE, Conversation, dispatched_in, messages_to, orders_to, runs_to, spec


def test_a_dependant_waits_and_starts_after_the_end_is_written():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.submit(1, after=(0,))
    assert talk.state(1) == "waiting"
    assert talk.leases_of(1) == []
    effects = talk.finish(0)
    assert [type(record).__name__ for record in effects.records] == ["Ended", "Leased"]
    assert [taskid for _, taskid in dispatched_in(effects)] == [1]


def test_it_waits_for_all_of_them():
    talk = Conversation(workers=3)
    talk.submit(2)
    talk.submit(1)
    talk.submit(1, after=(0, 1, 2, 1))
    for worker, state in ((2, "waiting"), (0, "waiting"), (1, "scheduled")):
        talk.finish(worker)
        assert talk.state(3) == state


def test_what_has_ended_by_now_is_not_waited_for():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0)
    talk.submit(1, after=(0,))
    assert talk.leases_of(0)


def test_a_dependant_of_a_failed_task_fails_and_names_it():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(2, after=(0,))
    first, second = talk.finish(0, outcome=Outcome.ERROR).records
    assert first.ids == (0,)
    assert (second.ids, second.reasons, second.workers, second.attempts) == (
        (1, 2),
        ("dependency",) * 2,
        (-1, -1),
        (0, 0),
    )
    failure = decode_failure(second.values[0])
    assert (failure.reason, failure.parent) == (Reason.DEPENDENCY, 0)


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"after": (0,)}, "dependency"),
        ({"after": (0,), "after_any": True}, "scheduled"),
        ({"inputs": (0,)}, "dependency"),
        ({"inputs": (0,), "after_any": True}, "dependency"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_the_effect_of_a_failed_parent(options, state, early):
    talk = Conversation(workers=1)
    talk.submit(1)
    if early:
        talk.submit(1, **options)
    talk.finish(0, outcome=Outcome.ERROR)
    if not early:
        talk.submit(1, **options)
    assert talk.state(1) == state


def test_a_failed_parent_fails_it_while_others_still_run():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.submit(1)
    talk.submit(1, after=(0, 1))
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.state(2) == "dependency"
    talk.finish(1)
    assert talk.state(2) == "dependency"


def test_a_task_after_one_that_failed_and_one_that_runs_fails_at_once():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.submit(1)
    effects = talk.ask(Submit, spec=spec(), bodies=(b"x", b"y"), after=(0, 1))
    accepted, ended = messages_to(effects)
    assert accepted == Accepted(talk.seqs[ALICE], 2)
    assert ended.ids == (2, 3)
    talk.finish(0)


def test_both_parents_fail_in_one_report():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    parents = talk.submit(2)
    talk.submit(1, after=tuple(parents))
    talk.finish(0, talk.leases_of(0), outcome=Outcome.ERROR)
    assert talk.state(3) == "dependency"


def test_abort_of_a_parent_fails_the_dependants_but_not_those_that_take_any_end():
    talk = Conversation()
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.submit(1, after=(0,), after_any=True)
    talk.ask(Abort, taskid=0)
    assert [talk.state(taskid) for taskid in range(3)] == ["aborted", "dependency", "scheduled"]


def test_a_dependant_that_failed_is_not_recovered():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,), recovery=Recovery(spec(label="plan b"), b""), retries=3)
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.state(1) == "dependency"


def test_dependants_of_dependants_fail_too_each_naming_its_own_parent():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(1, after=(0,))
    talk.submit(2, after=(1,))
    talk.submit(1, after=(3, 0))
    records = talk.finish(0, outcome=Outcome.ERROR).records
    assert [record.ids for record in records] == [(0,), (1, 4), (2, 3)]
    assert [decode_failure(value).parent for value in records[2].values] == [1, 1]


def test_a_retried_parent_keeps_its_dependants_waiting():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1)
    talk.submit(1, after=(0,))
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.state(1) == "waiting"
    talk.finish(0)
    assert talk.state(1) == "scheduled"


def test_inputs_are_sent_with_the_run():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.submit(1, inputs=(1, 0))
    talk.finish(0)
    effects = talk.finish(0)
    (order,) = [order for order in orders_to(effects, 0) if isinstance(order, SendRun)]
    assert order.inputs == (1, 0)
    assert runs_to(effects, 0)[0].ids == (2,)


def test_tasks_with_other_inputs_travel_apart():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.finish(0, seconds=0.0001)
    talk.finish(0, seconds=0.0001)
    talk.submit(1, inputs=(0,))
    talk.finish(0, seconds=0.0001)
    talk.submit(1)
    talk.start(0)
    shared = spec()
    for parent in (0, 1):
        talk.ask(Submit, spec=shared, bodies=(b"x",), inputs=(parent,))
    effects = talk.finish(0, seconds=0.0001)
    assert [order.inputs for order in orders_to(effects, 0) if isinstance(order, SendRun)] == [(0,), (1,)]


def test_a_chain_of_ten_thousand_fails_without_recursion():
    talk = Conversation(workers=1)
    talk.checked = False
    talk.submit(1)
    for parent in range(10_000):
        talk.submit(1, after=(parent,))
    effects = talk.finish(0, outcome=Outcome.ERROR)
    assert sum(len(record.ids) for record in effects.records if isinstance(record, Ended)) == 10_001
    assert talk.farm.tasks == {}
    talk.checked = True
    talk.wait(0.0)


def test_many_that_wait_for_many_share_what_they_wait_for():
    talk = Conversation()
    talk.checked = False
    parents = talk.submit(500)
    children = talk.submit(500, after=tuple(parents))
    assert len({id(talk.farm.tasks[child].past().unmet) for child in children}) == 1
    assert sum(map(len, talk.farm.children.values())) == 500, "one entry a parent, not one a pair"
    talk.join(0)
    while talk.leases_of(0):
        talk.finish(0, talk.leases_of(0), seconds=0.0)
    assert {talk.state(child) for child in children} == {"succeeded"}


# naming them


def test_a_dependency_is_named_by_the_submission_it_was_part_of():
    talk = Conversation()
    talk.submit(3)
    talk.submit(1, after=((1, 2),), inputs=((1, 0),))
    assert talk.farm.tasks[3].past().unmet == {0, 2}


def test_such_names_survive_a_restart():
    talk = Conversation()
    talk.submit(3)
    talk.restart()
    talk.submit(1, after=((1, 1),))
    assert talk.farm.tasks[3].past().unmet == {1}


def test_such_names_are_of_one_session():
    talk = Conversation()
    talk.submit(3, ALICE)
    effects = talk.ask(Submit, BOB, spec=spec(), bodies=(b"x",), after=((1, 0),))
    assert [message.error for message in messages_to(effects, BOB)] == [ErrorKind.PROTOCOL]


@pytest.mark.parametrize(
    "refs", [{"after": (7,)}, {"inputs": (7,)}, {"after": (0, 7)}, {"after": (-1,)}, {"after": (2**60,)}]
)
def test_unknown_dependencies_are_refused_and_nothing_is_submitted(refs):
    talk = Conversation()
    talk.submit(1)
    effects = talk.ask(Submit, spec=spec(), bodies=(b"x",), **refs)
    (refusal,) = messages_to(effects)
    assert (refusal.error, effects.records) == (ErrorKind.UNKNOWN_TASK, ())
    assert refusal.value == {"taskids": [max(refs.popitem()[1], key=abs)]}
    assert talk.farm.next_id == 1


def test_a_task_cannot_come_after_itself():
    talk = Conversation()
    refusal, release = messages_to(talk.ask(Submit, spec=spec(), bodies=(b"x",), after=((1, 0),)))
    assert isinstance(refusal, Refused)
    assert release == Release((CODE,)), "it was defined for nothing else"


def test_code_that_was_not_defined_is_refused_wherever_it_is_named():
    talk = Conversation()
    missing = b"m" * 16
    for bad in (spec(code=missing), spec(depend=missing), spec(retry_on=missing), spec(context=missing),
                spec(modules=(CODE, missing)),
                spec(recovery=Recovery(spec(code=missing), b""))):  # fmt: skip
        effects = talk.ask(Submit, spec=bad, bodies=(b"x",))
        refusal, *others = messages_to(effects)
        assert refusal.error == ErrorKind.PROTOCOL
        assert others in ([], [Release((CODE,))])
        assert missing.hex() in messages_to(effects)[0].message
        assert effects.records == ()


def test_results_that_unfinished_tasks_need_are_not_cleared():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.finish(0), talk.finish(0)
    talk.submit(2, inputs=(1,))
    assert messages_to(talk.ask(Clear)) == [talk.reply(1)]
    assert [talk.farm.knows(taskid) for taskid in (0, 1)] == [False, True]
    assert messages_to(talk.ask(Clear, taskids=(1,))) == [talk.reply(0)]
    talk.finish(0), talk.finish(0)
    assert messages_to(talk.ask(Clear)) == [talk.reply(3), Release((CODE,))]
