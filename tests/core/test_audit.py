"""Tests of the audit: it finds what would wait for ever, and repairs it so that all goes on."""

from __future__ import annotations

import pytest

from taskfc_ext.core.events import Audit
from taskfc_ext.core.handlers import audit
from taskfc_ext.core.state.resources import Holding
from taskfc_ext.core.state.task import Cause, Stopping
from taskfc_ext.core.state.validate import BrokenInvariant, validate
from taskfc_ext.core.state.waits import OpenBarrier
from taskfc_ext.protocol.client_messages import Reply
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.resources import Needs
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import Step
from tests.core.conversation import ALICE, CODE, ERROR, Conversation, messages_to

ENDED, FIRST, SECOND, CHILD, REJECTED = range(5)


@pytest.fixture
def talk() -> Conversation:
    """One task that has ended, one that runs, one that is queued, one that waits for it, and one that is rejected."""
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.submit(1, after=(SECOND,))
    talk.submit(1, priority=1, depend=CODE)
    talk.give_back(0, talk.leases_of(0)[1:])
    talk.finish(0, talk.leases_of(0))
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.give_back(0, talk.leases_of(0)[1:])
    assert talk.farm.refusals.waiting
    assert [talk.farm.leases[lease].taskid for lease in talk.leases_of(0)] == [FIRST]
    assert talk.farm.is_queued(SECOND)
    return talk


def lose_worker(farm):
    farm.leases.clear()
    farm.workers.clear()


def end_parent(farm):
    farm.tasks[CHILD].past().unmet = {ENDED}


BREAKERS = {
    "counts": lambda farm: farm.counts.update({State.WAITING: 3, State.SUCCEEDED: 7}),
    "lease of nobody": lambda farm: farm.leases.update({99: farm.tasks[SECOND]}),
    "void lease at a worker": lambda farm: farm.workers[0].leases.update({99: SECOND}),
    "lease without effect": lambda farm: farm.leases.clear(),
    "lease that its worker does not have": lambda farm: farm.workers[0].leases.clear(),
    "worker that is gone": lose_worker,
    "runs nowhere": lambda farm: farm.transition([farm.tasks[SECOND]], State.RUNNING),
    "stopping nothing": lambda farm: farm.stopping_leases.update({99: Stopping(Cause.ABORT, 0, Step.KILL)}),
    "resources of nobody": lambda farm: farm.resources.held.update({99: Holding(Needs(cores=1))}),
    "queued nowhere": lambda farm: farm.queue.take(9, lambda taskid: True),
    "rejected without a line": lambda farm: setattr(farm.refusals.rejected[REJECTED], "line", None),
    "rejected after its end": lambda farm: farm.refusals.reject(ENDED, 0, "no"),
    "held after its end": lambda farm: farm.held.add(ENDED),
    "moved after its end": lambda farm: farm.moved.update({ENDED: 1}),
    "waits for nothing": lambda farm: farm.tasks[CHILD].past().unmet.clear(),
    "waits for the ended": end_parent,
    "empty barrier": lambda farm: farm.barriers.add(OpenBarrier(ALICE, 90, set())),
    "barrier on the ended": lambda farm: farm.barriers.add(OpenBarrier(ALICE, 90, {ENDED})),
}


@pytest.mark.parametrize("breaker", BREAKERS.values(), ids=BREAKERS)
def test_a_contradiction_is_repaired_once_and_all_goes_on(talk, breaker):
    breaker(talk.farm)
    with pytest.raises(BrokenInvariant):
        validate(talk.farm)
    talk.checked = False
    effects = talk.handle(Audit())
    talk.checked = True
    assert effects.repairs
    assert talk.farm.n_repairs == len(effects.repairs)
    assert talk.handle(Audit()).repairs == ()
    if 0 not in talk.farm.workers:
        talk.join(1)
    talk.join(2)
    for _ in range(10):
        for worker in [worker for worker in talk.farm.workers if talk.leases_of(worker)]:
            talk.finish(worker, talk.leases_of(worker))
    assert not talk.farm.tasks


def test_the_end_of_a_task_is_sent_to_whoever_waits_for_it(talk):
    talk.farm.result_subscribers[ENDED] = {ALICE}
    effects = talk.handle(Audit())
    assert len(effects.repairs) == 1
    assert [message.ids for message in messages_to(effects, ALICE)] == [(ENDED,)]


def test_a_barrier_is_answered(talk):
    talk.farm.barriers.add(OpenBarrier(ALICE, 90, {ENDED}))
    assert messages_to(talk.handle(Audit()), ALICE) == [Reply(90, None)]


def test_a_task_whose_back_off_has_no_timer_is_queued(talk):
    talk.submit(1, retries=1, backoff=5.0)
    retried = talk.farm.next_id - 1
    talk.finish(0, talk.leases_of(0))
    while talk.farm.tasks[retried].history is None:
        talk.finish(0, talk.leases_of(0)[:1], Outcome.ERROR, ERROR)
    talk.farm.timers.clear()
    assert talk.handle(Audit()).repairs == ()
    talk.now += 7.0
    talk.checked = False
    [repair] = talk.handle(Audit()).repairs
    assert repair.startswith(f"task {retried} (f) was ready, and in no queue")
    assert talk.farm.tasks[retried].lease


def test_the_slices_reach_every_task(talk, monkeypatch):
    talk.submit(50)
    monkeypatch.setattr(audit, "TASKS_AT_ONCE", 10)
    last = talk.farm.tasks[talk.farm.next_id - 1]
    last.state = State.RUNNING
    talk.checked = False
    monkeypatch.setattr(audit, "WHOLE", 0)
    found = [repair for _ in range(7) for repair in talk.handle(Audit()).repairs]
    assert found == [f"{last.title} ran on no worker: queued"]
