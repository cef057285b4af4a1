"""The table of transitions, and the checker that runs after every step of the other tests."""

from __future__ import annotations

import pytest

from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.lines import Line
from taskfc_ext.core.state.task import TRANSITIONS, Batch, Cause, IllegalTransition, Stopping, Task, end_state
from taskfc_ext.core.state.validate import BrokenInvariant, validate
from taskfc_ext.core.state.waits import OpenBarrier
from taskfc_ext.protocol.payloads import Outcome, Reason
from taskfc_ext.protocol.states import FINISHED, UNFINISHED, State
from taskfc_ext.protocol.supervisor_messages import Step
from tests.core.conversation import CODE, Conversation, spec


def task(taskid: int, state: State) -> Task:
    return Task(taskid, Batch(taskid, 1, "a", "", 0.0, spec()), b"", state)


def test_nothing_follows_an_end_and_every_live_state_has_one():
    assert set(TRANSITIONS) == set(State) == {*UNFINISHED, *FINISHED}
    for state in FINISHED:
        assert not TRANSITIONS[state]
    for state in UNFINISHED:
        assert set(TRANSITIONS[state]) >= {State.FAILED, State.ABORTED}
    assert State.RUNNING not in TRANSITIONS[State.WAITING]


def test_each_transition_has_a_cause_for_the_picture():
    causes = [cause for following in TRANSITIONS.values() for cause in following.values()]
    assert len(causes) == 11
    assert all(causes)


@pytest.mark.parametrize("reason", ["", *Reason])
def test_which_state_an_end_is(reason):
    expected = {"": State.SUCCEEDED, Reason.ABORTED: State.ABORTED}.get(reason, State.FAILED)
    assert end_state(reason) is expected


def test_an_illegal_transition_changes_nothing_not_even_the_legal_ones_beside_it():
    farm = Farm()
    for taskid, state in enumerate((State.SCHEDULED, State.WAITING)):
        farm.add([task(taskid, state)])
    with pytest.raises(IllegalTransition, match="task 1 cannot go from waiting to running"):
        farm.transition(farm.tasks.values(), State.RUNNING)
    assert [t.state for t in farm.tasks.values()] == [State.SCHEDULED, State.WAITING]
    assert farm.counts[State.SCHEDULED] == farm.counts[State.WAITING] == 1


def test_ends_are_known_until_they_are_cleared():
    farm = Farm()
    farm.add([task(taskid, State.SCHEDULED) for taskid in range(3)])
    farm.finish((0, 1), ("", "error"))
    assert [farm.end_of(taskid) for taskid in range(3)] == ["", "error", None]
    assert farm.finished_ids() == [0, 1]
    farm.forget((1,))
    assert farm.finished_ids() == [0]
    assert farm.ids_in(State.FAILED) == []
    for taskid in (1, 3, -1):
        with pytest.raises(KeyError):
            farm.end_of(taskid)


BREAKERS = {
    "counts": lambda farm: farm.counts.update({State.WAITING: 3}),
    "ended and live": lambda farm: farm.ended.__setitem__(0, 1),
    "lease of nobody": lambda farm: farm.leases.update({9: farm.tasks[0]}),
    "void lease at a worker": lambda farm: farm.workers[0].leases.update({9: 0}),
    "lease from the future": lambda farm: setattr(farm, "next_lease", 1),
    "runs nowhere": lambda farm: farm.transition([farm.tasks[1]], State.RUNNING),
    "stopping nothing": lambda farm: farm.stopping_leases.update({9: Stopping(Cause.ABORT, 0, Step.KILL)}),
    "queued twice": lambda farm: farm.queue.push(0, "x", [1]),
    "queued nowhere": lambda farm: farm.queue.take(9, lambda taskid: True),
    "rejected by another": lambda farm: farm.refusals.rejected[3].reasons.update({5: "no"}),
    "rejected with another priority": lambda farm: farm.refusals.waiting.update(
        {Line(2, "a" * 16, None, frozenset({0})): {3: None}}
    ),
    "rejected by no one": lambda farm: farm.refusals.rejected.clear(),
    "rejected after its end": lambda farm: farm.refusals.reject(77, 0, "no"),
    "rejected and queued": lambda farm: farm.queue.push(1, "a" * 16, [3]),
    "rejected without a line": lambda farm: setattr(farm.refusals.rejected[3], "line", None),
    "redelivered for ever": lambda farm: farm.refusals.redelivered.add(3),
    "waits for nothing": lambda farm: farm.tasks[2].past().unmet.clear(),
    "never hears": lambda farm: farm.children.clear(),
    "failed dependency": lambda farm: farm.cascade_failed.append((2, 0)),
    "empty barrier": lambda farm: farm.barriers.add(OpenBarrier("x", 1, set())),
    "barrier on the dead": lambda farm: farm.barriers.add(OpenBarrier("x", 1, {77})),
}


@pytest.mark.parametrize("breaker", BREAKERS.values(), ids=BREAKERS)
def test_every_contradiction_is_found(breaker):
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.submit(1, after=(0,))
    talk.submit(1, priority=1, depend=CODE)
    talk.give_back(0, talk.leases_of(0))
    talk.finish(0, [1])
    assert talk.leases_of(0)
    talk.finish(0, outcome=Outcome.REFUSED)
    validate(talk.farm)
    assert talk.farm.refusals.waiting
    breaker(talk.farm)
    with pytest.raises(BrokenInvariant):
        validate(talk.farm)
