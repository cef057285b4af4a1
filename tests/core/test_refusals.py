"""Tasks that workers refuse: `depend`, "not now", and unreachable tasks."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import Effects, WorkerSend
from taskfc_ext.core.handlers.refusals import MAX_REDELIVER_AFTER, REDELIVER_AFTER
from taskfc_ext.protocol.client_messages import ListTasks, Move, Scale, Spin
from taskfc_ext.protocol.payloads import Outcome, decode_failure
from taskfc_ext.protocol.records import Requeued, Why
from taskfc_ext.protocol.worker_messages import Committed, Finished, PropertiesChanged
from tests.core.conversation import CODE, Conversation, dispatched_in, messages_to, runs_to


def refused_by_all(n: int = 1, **options) -> Conversation:
    """Return a farm of `n` workers that have all refused task 0."""
    talk = Conversation(workers=n)
    talk.submit(1, depend=CODE, **options)
    for worker in range(n):
        talk.finish(worker, outcome=Outcome.REFUSED)
    return talk


def test_a_refusal_costs_nothing_and_the_next_worker_is_asked():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE, retries=0)
    effects = talk.finish(0, outcome=Outcome.REFUSED)
    assert effects.records[0] == Requeued((0,), Why.REFUSED)
    assert dispatched_in(effects) == [(1, 0)]
    assert talk.farm.tasks[0].attempts == 1


def test_a_worker_that_refused_is_not_asked_again():
    talk = refused_by_all(2)
    other = talk.submit(1)[0]
    assert talk.farm.tasks[other].worker in (0, 1)
    effects = talk.finish(talk.farm.tasks[other].worker)
    assert dispatched_in(effects) == []
    assert dispatched_in(talk.wait(29.0)) == []


def test_refused_tasks_do_not_hold_up_others():
    talk = refused_by_all(1)
    assert dispatched_in(talk.ask(Spin)) == [(0, 0)]
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.submit(3)
    assert talk.leases_of(0)


def test_the_worker_whose_properties_changed_is_asked_again_and_no_other():
    talk = refused_by_all(3)
    effects = talk.worker(1, PropertiesChanged())
    assert dispatched_in(effects) == [(1, 0)]
    effects = talk.finish(1, outcome=Outcome.REFUSED)
    assert effects == Effects(
        records=(Requeued((0,), Why.REFUSED),), sends=(WorkerSend(1, Committed(2)),), wake_at=effects.wake_at
    )


def test_properties_that_change_while_another_worker_has_the_task_count_too():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    assert dispatched_in(talk.worker(0, PropertiesChanged())) == []
    assert dispatched_in(talk.finish(1, outcome=Outcome.REFUSED)) == [(0, 0)]


def test_a_spin_while_another_worker_has_the_task_counts_too():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.ask(Spin)
    assert dispatched_in(talk.finish(1, outcome=Outcome.REFUSED)) == [(0, 0)]


def test_a_task_that_a_worker_has_is_not_queued_by_a_spin():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.submit(1)
    talk.start(0)
    talk.submit(1, priority=1)
    talk.ask(Spin)
    talk.give_back(1, talk.leases_of(1))
    assert talk.farm.queue.ids() == [2, 0]


def test_all_are_asked_again_when_a_worker_joins():
    talk = refused_by_all(1)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    assert dispatched_in(talk.join(1)) == [(0, 0), (1, 1)] or dispatched_in(talk.join(1)) == [(1, 0), (0, 1)]


def test_a_worker_that_reconnects_is_no_new_worker():
    talk = refused_by_all(1)
    assert dispatched_in(talk.ready(0)) == []


def test_spin_asks_everyone_again():
    talk = refused_by_all(1)
    assert dispatched_in(talk.ask(Spin)) == [(0, 0)]


def test_a_refused_task_behind_a_higher_priority_is_still_offered_to_the_idle():
    talk = refused_by_all(1, priority=0)
    talk.die(0)
    talk.join(1)
    talk.finish(1, outcome=Outcome.REFUSED)
    talk.submit(1)
    talk.up(2), talk.up(3)
    talk.submit(2, priority=7)
    talk.ready(2)
    assert sum(bool(talk.leases_of(worker)) for worker in (1, 2)) == 2
    talk.ready(3)
    assert all(talk.leases_of(worker) for worker in (1, 2, 3)), "no worker idles while task 0 may run there"


def test_idle_workers_get_a_refused_task_when_others_took_the_queue_of_a_higher_priority():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    talk.submit(2)
    talk.submit(1, after=(2,), priority=5)
    talk.join(1)
    report = Finished(
        seq=9, leases=tuple(talk.leases_of(0)), outcomes=(Outcome.NOT_NOW, 0), values=(b"", b""), seconds=(0.1, 0.1)
    )
    assert dispatched_in(talk.worker(0, report)) == [(0, 3), (1, 1)]


def test_idle_workers_get_a_refused_task_when_the_queue_has_only_void_entries():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.NOT_NOW)
    assert talk.leases_of(1)
    talk.die(1, planned=True)
    talk.up(2)
    talk.submit(1)
    talk.farm.workers[0].busy = False
    talk.submit(1, priority=3)
    talk.ready(2)
    assert talk.leases_of(0)
    assert talk.leases_of(2)


# not now


def test_not_now_asks_others_at_once_and_the_same_worker_later():
    talk = Conversation(workers=2)
    talk.submit(1)
    assert dispatched_in(talk.finish(0, outcome=Outcome.NOT_NOW)) == [(1, 0)]
    assert dispatched_in(talk.finish(1, outcome=Outcome.NOT_NOW)) == []
    assert dispatched_in(talk.wait(REDELIVER_AFTER - 0.01)) == []
    assert dispatched_in(talk.wait(0.01)) == [(0, 0)]


def test_the_back_off_of_not_now_doubles_up_to_a_ceiling():
    talk = Conversation(workers=1, unreachable_after=1000.0)
    talk.submit(1)
    pauses = []
    for _ in range(9):
        effects = talk.finish(0, outcome=Outcome.NOT_NOW)
        begin = talk.now
        while not dispatched_in(effects):
            assert effects.wake_at is not None
            effects = talk.wait(effects.wake_at - talk.now)
        pauses.append(round(talk.now - begin, 6))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, MAX_REDELIVER_AFTER, MAX_REDELIVER_AFTER, MAX_REDELIVER_AFTER]


def test_no_retry_is_spent_on_not_now():
    talk = Conversation(workers=1)
    talk.submit(1, retries=0)
    talk.finish(0, outcome=Outcome.NOT_NOW)
    talk.wait(0.1)
    talk.finish(0)
    assert talk.state(0) == "succeeded"


def test_the_back_off_of_not_now_restarts_after_an_attempt_that_ran():
    talk = Conversation(workers=1)
    talk.submit(1, retries=5)
    for pause in (0.1, 0.2):
        talk.finish(0, outcome=Outcome.NOT_NOW)
        assert dispatched_in(talk.wait(pause)) == [(0, 0)]
    talk.finish(0, outcome=Outcome.ERROR)
    talk.finish(0, outcome=Outcome.NOT_NOW)
    assert dispatched_in(talk.wait(0.1)) == [(0, 0)]


def test_a_task_that_backs_off_is_not_dispatched_to_workers_that_refused_it():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE, retries=1, backoff=1.0)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.finish(1, outcome=Outcome.ERROR)
    assert dispatched_in(talk.wait(1.0)) == [(1, 0)]


def test_a_redelivered_task_travels_alone():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    (rejected,) = talk.submit(1)
    talk.finish(0, outcome=Outcome.NOT_NOW, seconds=0.0001)
    talk.submit(1)
    talk.start(0)
    others = talk.submit(2)
    talk.wait(REDELIVER_AFTER)
    effects = talk.finish(0, seconds=0.0001)
    assert [run.ids for run in runs_to(effects, 0)] == [(rejected,), tuple(others)]


def test_a_redelivered_task_does_not_travel_behind_another():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    (rejected,) = talk.submit(1)
    talk.finish(0, outcome=Outcome.NOT_NOW, seconds=0.0001)
    talk.submit(1)
    talk.start(0)
    (other,) = talk.submit(1)
    talk.ask(Move, taskids=(other,), priority=1)
    talk.wait(REDELIVER_AFTER)
    effects = talk.finish(0, seconds=0.0001)
    assert [run.ids for run in runs_to(effects, 0)] == [(other,), (rejected,)]


# unreachable


def test_a_task_that_all_refuse_fails_after_a_while():
    talk = refused_by_all(2)
    assert talk.wait(29.9).records == ()
    (ended,) = talk.wait(0.1).records
    assert ended.reasons == ("unreachable",)
    message = decode_failure(ended.values[0]).message
    assert "30 s" in message
    assert "worker 0: no gpu; worker 1: no gpu" in message


def test_unreachable_after_is_an_option():
    talk = Conversation(workers=1, unreachable_after=2.0)
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    assert talk.wait(2.0).records[0].reasons == ("unreachable",)


@pytest.mark.parametrize("begun", [1021.6672152427224, 1000.1, 2.0**40 + 0.3])
def test_a_task_that_all_refuse_fails_at_its_time_whatever_the_clock_rounds(begun):
    """`(begun + 5.0) - begun` may be less than 5.0, and no other timer follows."""
    talk = Conversation(workers=1, unreachable_after=5.0)
    talk.now = begun
    talk.submit(1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.now = begun + 5.0
    assert talk.wait(0.0).records[0].reasons == ("unreachable",)


def test_not_now_by_everyone_for_long_is_unreachable_too():
    talk = Conversation(workers=1)
    talk.submit(1)
    begin = talk.now
    while talk.state(0) != "unreachable":
        effects = talk.finish(0, outcome=Outcome.NOT_NOW) if talk.leases_of(0) else talk.wait(0.05)
        assert talk.now < begin + 40
    assert effects.records
    assert talk.now >= begin + 30


def test_a_worker_that_is_busy_when_it_could_be_asked_again_refuses_nothing():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    asks, runs = talk.submit(2)
    talk.finish(0, [talk.lease_of(asks)], outcome=Outcome.NOT_NOW)
    talk.wait(31.0)
    assert talk.state(asks) == "scheduled", "it could not be asked: it had something to run"
    talk.finish(0, [talk.lease_of(runs)])
    talk.finish(0, [talk.lease_of(asks)], outcome=Outcome.NOT_NOW)
    begin = talk.now
    while talk.state(asks) != "unreachable":
        talk.finish(0, outcome=Outcome.NOT_NOW) if talk.leases_of(0) else talk.wait(0.05)
        assert talk.now < begin + 40
    assert talk.now >= begin + 30


@pytest.mark.parametrize("leave", ["dies", "retires"])
def test_the_clock_does_not_stop_for_one_that_has_left_before_it_could_be_asked_again(leave):
    talk = Conversation(workers=2)
    talk.submit(1)
    (first,) = [worker for worker in (0, 1) if talk.leases_of(worker)]
    talk.finish(first, outcome=Outcome.NOT_NOW)
    talk.finish(1 - first, outcome=Outcome.REFUSED)
    if leave == "dies":
        talk.die(first)
    else:
        talk.ask(Scale, n=1)
    talk.wait(0.2)
    for worker in (0, 1):
        if worker in talk.farm.workers and talk.leases_of(worker):
            talk.finish(worker, outcome=Outcome.REFUSED)
    talk.wait(29.9)
    assert talk.state(0) == "unreachable"


@pytest.mark.parametrize("forgive", ["spin", "join", "properties"])
def test_the_clock_starts_again_when_a_task_is_redelivered(forgive):
    talk = refused_by_all(1)
    talk.wait(29.0)
    if forgive == "spin":
        talk.ask(Spin)
    elif forgive == "join":
        talk.join(1)
        talk.finish(1, outcome=Outcome.REFUSED) if talk.leases_of(1) else None
    else:
        talk.worker(0, PropertiesChanged())
    for worker in list(talk.farm.workers):
        if talk.leases_of(worker):
            talk.finish(worker, outcome=Outcome.REFUSED)
    for worker in list(talk.farm.workers):
        if talk.leases_of(worker):
            talk.finish(worker, outcome=Outcome.REFUSED)
    talk.wait(2.0)
    assert talk.state(0) == "scheduled"
    talk.wait(28.0)
    assert talk.state(0) == "unreachable"


def test_with_no_worker_a_task_waits_and_the_list_shows_it():
    talk = Conversation()
    talk.submit(1)
    talk.wait(1000.0)
    (listed,) = messages_to(talk.ask(ListTasks))
    assert [(info.state, info.message) for info in listed.live] == [("scheduled", "there is no worker")]


def test_with_workers_that_only_wait_to_end_it_is_not_unreachable():
    talk = refused_by_all(1)
    talk.ask(Scale, n=0)
    talk.wait(100.0)
    assert talk.state(0) == "scheduled"


def test_when_all_workers_that_refused_are_gone_the_task_waits_for_the_next_one():
    talk = refused_by_all(1)
    talk.die(0)
    assert talk.wait(100.0).records == ()
    assert dispatched_in(talk.join(1)) == [(1, 0)]


def test_the_clock_starts_when_the_last_one_that_might_take_it_dies():
    talk = Conversation(workers=2)
    other = talk.submit(1)[0]
    talk.start(0)
    talk.submit(1, depend=CODE)
    talk.finish(1, outcome=Outcome.REFUSED)
    talk.wait(100.0)
    assert talk.state(1) == "scheduled", "worker 0 was never idle"
    talk.finish(0, [talk.lease_of(other)])
    talk.submit(1)
    talk.die(0)
    assert talk.wait(29.0).records == ()
    assert talk.state(1) in ("scheduled", "unreachable")


def test_the_clock_starts_when_the_last_one_that_might_take_it_retires():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.start(0)
    talk.submit(1, depend=CODE)
    talk.finish(1, outcome=Outcome.REFUSED)
    talk.farm.workers[1].leases or talk.submit(1)
    talk.ask(Scale, n=1)
    retiring = [worker for worker, state in talk.farm.workers.items() if state.retiring]
    assert len(retiring) == 1
    if retiring == [0]:
        talk.wait(30.0)
        assert talk.state(1) == "unreachable"


def test_a_task_that_runs_is_not_unreachable_whoever_refused_it():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    task = talk.submit(1, depend=CODE)[0]
    talk.finish(0, outcome=Outcome.REFUSED, seconds=0.0001)
    talk.finish(1, outcome=Outcome.NOT_NOW, seconds=0.0001)
    assert dispatched_in(talk.wait(0.1)) == [(1, task)]
    talk.start(1)
    talk.submit(2)
    assert len(talk.leases_of(0)) == 2
    talk.ask(Scale, n=1)
    assert talk.farm.workers[1].retiring
    talk.wait(60.0)
    assert talk.state(task) == "running"


def test_the_list_says_why_all_workers_refuse():
    talk = refused_by_all(2)
    (listed,) = messages_to(talk.ask(ListTasks))
    assert listed.live[0].message == "all workers refuse it: no gpu"
