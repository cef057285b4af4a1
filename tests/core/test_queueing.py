"""The order of dispatch: priorities, fairness, credit."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SendCode, SupervisorSend, WorkerSend
from taskfc_ext.core.handlers.dispatch import LONGEST_AHEAD, MAX_CREDIT
from taskfc_ext.core.handlers.returns import REVOKE_AFTER
from taskfc_ext.core.state.queue import ReadyQueue
from taskfc_ext.protocol.client_messages import Abort, Accepted, Barrier, Define, Ended, Submit
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.records import Leased, Submitted
from taskfc_ext.protocol.spec import Kind, OnLost
from taskfc_ext.protocol.supervisor_messages import Revoke
from taskfc_ext.protocol.worker_messages import Committed, Return, Returned, Run, Started
from tests.core.conversation import (
    ALICE,
    BOB,
    CODE,
    Conversation,
    dispatched_in,
    held_order,
    orders_to,
    runs_to,
    spec,
    to_supervisor,
)

OTHER = b"o" * 16


def test_a_task_is_stored_answered_and_dispatched():
    talk = Conversation(workers=1)
    effects = talk.ask(Submit, spec=spec(), bodies=(b"x",), name="fit")
    assert effects == Effects(
        records=(
            Submitted(
                first=0, session=ALICE, seq=1, owner="a", wall=talk.time.wall, spec=spec(), bodies=(b"x",), name="fit"
            ),
            Leased(1, (0,), 0),
        ),
        sends=(
            ClientSend(ALICE, Accepted(1, 0)),
            WorkerSend(0, SendCode(CODE)),
            WorkerSend(0, Run(spec=spec(), first_lease=1, ids=(0,), bodies=(b"x",))),
        ),
    )


def test_code_is_sent_to_a_worker_once_and_again_on_a_new_connection():
    talk = Conversation(workers=1)
    talk.submit(3)
    assert [type(order) for order in orders_to(talk.finish(0), 0)] == [Committed, Run]
    assert [type(order) for order in orders_to(talk.ready(0), 0)] == [SendCode, Run]


def test_context_and_modules_are_sent_before_the_code_that_needs_them():
    talk = Conversation(workers=1)
    context, first, other = b"x" * 16, b"1" * 16, b"2" * 16
    for body in (context, first, other):
        talk.client(ALICE, Define(body, b"body"))
    surroundings = {"context": context, "modules": (first, other)}
    effects = talk.ask(Submit, spec=spec(**surroundings), bodies=(b"x",))
    sent = [order.digest for order in orders_to(effects, 0) if isinstance(order, SendCode)]
    assert sent == [first, other, context, CODE]
    talk.submit(**surroundings)
    assert [type(order) for order in orders_to(talk.finish(0), 0)] == [Committed, Run]


def test_one_client_is_served_in_order():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.submit(3)
    assert held_order(talk) == [0, 1, 2, 3, 4]


def test_clients_take_turns_whatever_they_have_queued():
    talk = Conversation(workers=1)
    talk.submit(4, ALICE)
    talk.submit(2, BOB)
    assert held_order(talk) == [0, 1, 4, 2, 5, 3]


@pytest.mark.parametrize(
    ("priorities", "order"),
    [((0, 1, 2), [2, 1, 0]), ((0, -1, 5, 0), [2, 0, 3, 1]), ((1, 1, 1), [0, 1, 2])],
)
def test_higher_priorities_go_first_and_equal_ones_in_order(priorities, order):
    talk = Conversation()
    for priority in priorities:
        talk.submit(priority=priority)
    assert held_order(talk, workers=[0]) == order


def test_a_priority_goes_before_the_turn_of_another_client():
    talk = Conversation(workers=1)
    talk.submit(2, ALICE)
    talk.submit(1, BOB)
    talk.submit(1, ALICE, priority=1)
    assert held_order(talk) == [0, 3, 1, 2] or held_order(talk) == [0, 3, 2, 1]


def test_nothing_is_held_ahead_before_the_run_time_was_measured():
    talk = Conversation(workers=2)
    talk.submit(10)
    assert [len(talk.leases_of(worker)) for worker in (0, 1)] == [1, 1]


def test_short_tasks_are_held_ahead_and_shared_fairly():
    talk = Conversation(workers=2)
    measure(talk, 0.0001)
    ids = talk.submit(10)
    assert [len(talk.leases_of(worker)) for worker in (0, 1)] == [5, 5]
    assert talk.farm.tasks[ids[0]].lease
    talk.submit(1000)
    talk.finish(0, talk.leases_of(0), seconds=0.0001)
    assert len(talk.leases_of(0)) == 40, "4 ms of work"


def test_one_task_of_a_few_milliseconds_is_sent_ahead():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    talk.submit(7)
    effects = talk.finish(0, seconds=0.02)
    ended = end_of(talk, 1, worker=0)
    assert effects == Effects(
        records=(ended, Leased(6, (5,), 0)),
        sends=(
            ClientSend(ALICE, ended),
            WorkerSend(0, Committed(2)),
            WorkerSend(0, Run(spec=spec(), first_lease=6, ids=(5,), bodies=(b"body 5",))),
        ),
    )


@pytest.mark.parametrize(("n", "held"), [(2, [1, 1]), (3, [1, 1]), (4, [1, 1]), (5, [2, 1]), (6, [2, 2]), (60, [2, 2])])
def test_a_task_is_sent_ahead_while_one_is_left_for_each_worker(n, held):
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    talk.submit(n)
    assert [len(talk.leases_of(worker)) for worker in (0, 1)] == held


def test_no_task_is_sent_ahead_before_each_idle_worker_has_one():
    talk = Conversation(workers=3)
    measure(talk, 0.02)
    talk.submit(6)
    assert [len(talk.leases_of(worker)) for worker in (0, 1, 2)] == [1, 1, 1]
    assert len(talk.farm.queue.ids()) == 3, "one is left for each worker"
    talk.submit(1)
    assert [len(talk.leases_of(worker)) for worker in (0, 1, 2)] == [2, 1, 1]


def test_tasks_that_were_aborted_in_the_queue_are_not_counted():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    ids = talk.submit(7)
    for taskid in ids[-3:]:
        talk.ask(Abort, taskid=taskid)
    talk.finish(0, seconds=0.02)
    assert len(talk.leases_of(0)) == 1


def test_tasks_of_a_longer_mean_are_not_sent_ahead():
    talk = Conversation(workers=2)
    measure(talk, 1.01 * LONGEST_AHEAD)
    talk.submit(60)
    assert [len(talk.leases_of(worker)) for worker in (0, 1)] == [1, 1]


def test_a_worker_with_many_tasks_gets_no_more_when_they_turn_out_longer():
    talk = Conversation(workers=1)
    measure(talk, 0.0001)
    talk.submit(100)
    held = talk.leases_of(0)
    assert dispatched_in(talk.finish(0, held[:3], seconds=0.06)) == []
    assert talk.leases_of(0) == held[3:]


@pytest.mark.parametrize("n_held", [1, 2, 3, 4])
def test_a_longer_task_waits_for_the_only_worker_however_many_short_ones_it_holds(n_held):
    talk = Conversation(workers=1)
    talk.client(ALICE, Define(OTHER, b"other code"))
    talk.farm.mean_seconds.update({CODE: 0.0001, OTHER: 0.02})
    held = talk.submit(n_held, code=CODE)
    (longer,) = talk.submit(1, code=OTHER)
    assert [*talk.farm.workers[0].leases.values()] == held
    talk.finish(0, talk.leases_of(0), seconds=0.0001)
    assert [*talk.farm.workers[0].leases.values()] == [longer]


@pytest.mark.parametrize("first", [CODE, OTHER])
def test_short_tasks_do_not_pile_up_behind_longer_ones(first):
    talk = Conversation()
    talk.client(ALICE, Define(OTHER, b"other code"))
    talk.submit(1, code=first)
    for _ in range(3):
        talk.submit(1, code=CODE)
        talk.submit(20, code=OTHER)
    talk.farm.mean_seconds.update({CODE: 0.02, OTHER: 0.0001})
    talk.join(0)
    assert len(talk.leases_of(0)) == 2


def test_short_tasks_do_not_pile_up_behind_a_longer_one_and_a_short_one():
    talk = Conversation()
    talk.client(ALICE, Define(OTHER, b"other code"))
    talk.submit(1, code=CODE)
    talk.submit(20, code=OTHER)
    talk.farm.mean_seconds.update({CODE: 0.02, OTHER: 0.0001})
    talk.join(0)
    assert len(talk.leases_of(0)) == 2


def test_a_worker_is_asked_once_for_what_waits_behind_its_task_when_another_is_idle():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    *_, waiting, third = one_ahead(talk)
    lease = talk.lease_of(waiting)
    effects = talk.finish(1, seconds=0.02)
    ended = end_of(talk, third, worker=1)
    assert effects == Effects(
        records=(ended,),
        sends=(
            ClientSend(ALICE, ended),
            WorkerSend(1, Committed(talk.finished_seq[1])),
            WorkerSend(0, Return(lease)),
        ),
        wake_at=talk.now + REVOKE_AFTER,
    )
    assert orders_to(talk.wait(1.0), 0) == []
    assert dispatched_in(talk.give_back(0, [lease])) == [(1, waiting)]


def test_a_worker_is_asked_again_on_a_new_connection():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    one_ahead(talk)
    talk.finish(1, seconds=0.02)
    held = tuple(talk.leases_of(0))
    assert Return(held[-1]) in orders_to(talk.ready(0, held), 0)


def test_a_worker_is_not_asked_before_it_is_ready():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    one_ahead(talk)
    talk.finish(1, seconds=0.02)
    talk.restart(alive=(0, 1))
    assert orders_to(talk.ready(1), 0) == []


def get_stuck(talk: Conversation, n: int = 3) -> tuple[int, ...]:
    """Let worker 0 hold `n` tasks and answer nothing, while worker 1 is idle; return its leases."""
    measure(talk, 0.0001)
    talk.submit(2 * n)
    while talk.leases_of(1):
        talk.finish(1, seconds=0.0001)
    return tuple(talk.leases_of(0))


def test_what_a_worker_does_not_give_back_is_revoked_and_goes_to_another():
    talk = Conversation(workers=2)
    running, *behind = get_stuck(talk)
    held = talk.farm.workers[0].leases
    waiting = [held[lease] for lease in behind]
    assert to_supervisor(talk.wait(0.99 * REVOKE_AFTER)) == []
    assert talk.wait(0.02 * REVOKE_AFTER).sends == (SupervisorSend(Revoke(0, behind[-1])),)
    assert to_supervisor(talk.wait(10 * REVOKE_AFTER)) == [], "it is revoked once"
    assert dispatched_in(talk.revoked(0, behind[-1], started=running)) == [(1, taskid) for taskid in waiting]
    assert talk.leases_of(0) == [running]
    stale = talk.farm.stale
    assert talk.give_back(0, behind).records == (), "the worker gives it back as well, and that changes nothing"
    assert talk.farm.stale == stale + len(behind)
    (other,) = talk.submit(1)
    assert talk.leases_of(0) == [running], "it gets no others"
    talk.finish(0, [running], seconds=0.0001)
    (last,) = talk.submit(1)
    assert {talk.farm.tasks[taskid].worker for taskid in (other, last)} == {0, 1}


def test_what_was_sent_after_a_worker_was_asked_is_revoked_once_with_the_rest():
    talk = Conversation(workers=2)
    held = get_stuck(talk)
    talk.submit(4)
    last = talk.leases_of(0)[-1]
    assert last > held[-1]
    assert talk.wait(1.01 * REVOKE_AFTER).sends == (
        WorkerSend(0, Return(last)),
        SupervisorSend(Revoke(0, last)),
    )
    while talk.leases_of(1):
        talk.finish(1, seconds=0.0001)
    assert to_supervisor(talk.wait(1.01 * REVOKE_AFTER)) == []


def test_only_what_had_not_started_goes_back():
    talk = Conversation(workers=2)
    first, second, *behind = get_stuck(talk)
    talk.wait(1.01 * REVOKE_AFTER)
    assert dispatched_in(talk.revoked(0, second, started=second)) == [], "what comes behind it was not revoked"
    assert len(dispatched_in(talk.revoked(0, behind[-1], started=second))) == len(behind)
    assert talk.leases_of(0) == [first, second]
    assert talk.revoked(7, behind[-1], started=0).records == (), "a worker that has ended in the meantime"


def test_results_that_a_stuck_worker_cannot_send_are_ends():
    talk = Conversation(workers=2)
    held = get_stuck(talk, 5)
    first, second, third, *behind = held
    ids = list(talk.farm.workers[0].leases.values())
    talk.ask(Abort, taskid=ids[1])
    talk.wait(1.01 * REVOKE_AFTER)
    talk.revoked(0, held[-1], started=third, kept=(99, first, second))
    assert [talk.farm.end_of(taskid) for taskid in ids[:4]] == ["", "aborted", None, None]
    assert talk.leases_of(0) == [third]
    assert len(talk.leases_of(1)) == len(behind)
    stale = talk.farm.stale
    talk.finish(0, [first, second, third], seconds=0.0001)
    assert (talk.farm.end_of(ids[2]), talk.farm.stale) == ("", stale + 2), "the worker's own report of them is late"


def test_a_worker_that_gets_on_is_given_time_again():
    talk = Conversation(workers=2)
    _, second, *behind = get_stuck(talk)
    talk.wait(0.5 * REVOKE_AFTER)
    talk.finish(0, seconds=0.0001)
    assert to_supervisor(talk.wait(0.51 * REVOKE_AFTER)) == []
    assert to_supervisor(talk.wait(1.01 * REVOKE_AFTER)) == [Revoke(0, behind[-1])]
    assert talk.leases_of(0)[0] == second


def test_a_worker_that_has_given_back_all_is_not_revoked():
    talk = Conversation(workers=2)
    _, *behind = get_stuck(talk)
    talk.start(0)
    talk.give_back(0, behind)
    assert to_supervisor(talk.wait(1.01 * REVOKE_AFTER)) == []


def test_a_worker_that_has_ended_all_is_not_checked_any_more():
    talk = Conversation(workers=2)
    talk.finish(0, get_stuck(talk), seconds=0.0001)
    effects = talk.wait(1.01 * REVOKE_AFTER)
    assert (effects.sends, effects.wake_at) == ((), None)
    assert not talk.farm.workers[0].may_be_stuck


def test_a_worker_that_connects_again_while_none_is_idle_is_not_revoked():
    talk = Conversation(workers=2)
    held = get_stuck(talk)
    talk.submit(1)
    assert talk.leases_of(1), "it is not idle any more"
    talk.ready(0, held)
    assert to_supervisor(talk.wait(1.01 * REVOKE_AFTER)) == []


def test_what_a_worker_holds_that_does_not_connect_to_a_new_controller_is_revoked():
    talk = Conversation(workers=2)
    running, *behind = get_stuck(talk)
    talk.restart(alive=(0, 1))
    assert orders_to(talk.ready(1), 0) == []
    assert to_supervisor(talk.wait(1.01 * REVOKE_AFTER)) == [Revoke(0, behind[-1])]
    assert dispatched_in(talk.revoked(0, behind[-1], started=running))[0][0] == 1
    talk.ready(0, (running, *behind))
    assert talk.leases_of(0) == [running], "what it holds and may not start is not its own any more"


def test_a_worker_that_has_not_begun_gives_back_all_and_gets_others():
    talk = Conversation(workers=2)
    held = get_stuck(talk)
    talk.wait(1.01 * REVOKE_AFTER)
    talk.revoked(0, held[-1], started=held[0] - 1)
    talk.submit(100)
    assert talk.leases_of(0) == [], "it has not found out yet"
    talk.worker(0, Returned(held, is_busy=False))
    assert min(talk.leases_of(0)) > held[-1]


def test_what_a_new_controller_is_not_told_to_be_revoked_is_returned():
    talk = Conversation(workers=2)
    running, *behind = get_stuck(talk)
    talk.restart(alive=(0, 1))
    talk.ready(0, (running, *behind))
    talk.finish(0, [running], seconds=0.0001)
    talk.worker(0, Returned(tuple(behind), is_busy=False))
    assert set(talk.leases_of(0)).isdisjoint(behind)
    talk.submit(100)
    assert talk.leases_of(0), "it is free"


def test_the_death_of_a_worker_is_not_blamed_on_what_was_revoked():
    talk = Conversation(workers=2)
    running, *behind = get_stuck(talk)
    waiting = [talk.farm.workers[0].leases[lease] for lease in behind]
    talk.wait(1.01 * REVOKE_AFTER)
    talk.revoked(0, behind[-1], started=running)
    talk.die(0, started=behind[0])  # it died between the two words
    assert [talk.farm.tasks[taskid].past().deaths for taskid in waiting] == [0] * len(waiting)


def test_a_worker_whose_task_waits_is_asked_for_what_is_behind_it():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    talk.submit(20)
    talk.start(0)
    talk.hello("e" * 16, 0)
    last = talk.leases_of(0)[-1]
    effects = talk.ask(Barrier, "e" * 16, taskids=(10,))
    assert [orders_to(effects, worker) for worker in (0, 1)] == [[Return(last)], []]


def test_a_task_given_back_is_not_sent_ahead_to_that_worker_again():
    talk = Conversation(workers=2)
    measure(talk, 0.02)
    running, waiting, *_ = talk.submit(20)
    talk.start(0)
    assert dispatched_in(talk.give_back(0, [talk.lease_of(waiting)])) == []
    assert dispatched_in(talk.finish(1, seconds=0.02)) == [(1, waiting)]
    assert list(talk.farm.workers[0].leases.values()) == [running]


def test_one_task_for_two_idle_workers_goes_to_one():
    talk = Conversation(workers=3)
    measure(talk, 0.0001)
    talk.submit(2)
    assert sorted(len(talk.leases_of(worker)) for worker in range(3)) == [0, 1, 1]


def test_credit_has_a_ceiling():
    talk = Conversation(workers=1)
    measure(talk, 1e-9)
    talk.submit(1000)
    assert len(talk.leases_of(0)) == MAX_CREDIT


def test_long_tasks_are_held_one_at_a_time_again():
    talk = Conversation(workers=1)
    measure(talk, 0.0001)
    talk.submit(100)
    for _ in range(12):
        talk.finish(0, talk.leases_of(0), seconds=10.0 * len(talk.leases_of(0)))
    assert len(talk.leases_of(0)) == 1


@pytest.mark.parametrize(
    "options",
    [{"timeout": 9.0}, {"depend": CODE}, {"on_lost": OnLost.FAIL}, {"kind": Kind.STRING}, {"kind": Kind.CELL}],
)
def test_some_tasks_are_never_held_ahead(options):
    talk = Conversation(workers=1)
    measure(talk, 0.0001)
    talk.submit(10, **options)
    assert len(talk.leases_of(0)) == 1


def test_nothing_is_queued_behind_a_task_that_stands_alone():
    talk = Conversation(workers=1)
    measure(talk, 0.0001)
    talk.submit(1, timeout=9.0)
    talk.submit(5)
    assert len(talk.leases_of(0)) == 1


def test_a_busy_worker_gets_nothing_more():
    talk = Conversation(workers=1)
    measure(talk, 0.0001)
    talk.submit(1)
    talk.start(0)
    assert dispatched_in(talk.ask(Submit, spec=spec(), bodies=(b"x",))) == []
    effects = talk.finish(0)
    assert dispatched_in(effects) == [(0, 2)]


def test_a_task_given_back_goes_first_again_free_of_charge():
    talk = Conversation(workers=1)
    measure(talk, 0.0001)
    first, *rest = talk.submit(5)
    talk.submit(2)
    talk.start(0, talk.lease_of(first))
    assert dispatched_in(talk.give_back(0, reversed(talk.leases_of(0)[1:]))) == []
    assert [talk.farm.tasks[taskid].attempts for taskid in rest] == [0] * 4
    assert held_order(talk)[:5] == [first, *rest]


def test_tasks_that_two_workers_give_back_are_in_order_again():
    talk = Conversation(workers=2)
    measure(talk, 0.0001)
    ids = talk.submit(10)
    for worker in (0, 1):
        talk.start(worker)
        talk.give_back(worker, talk.leases_of(worker)[1:])
    assert talk.farm.queue.ids() == [*ids[1:5], *ids[6:]]


def test_equal_tasks_travel_together_and_others_do_not():
    talk = Conversation()
    measure(talk, 0.0001, worker=0)
    talk.die(0)
    first = talk.submit(3)
    second = talk.submit(2)
    other = talk.submit(1, retries=2)
    runs = runs_to(talk.join(1), 1)
    assert [run.ids for run in runs] == [(*first, *second), tuple(other)], "equal ones of several submissions too"
    assert [run.first_lease for run in runs] == sorted(run.first_lease for run in runs)


def test_nothing_is_dispatched_to_a_worker_that_is_not_ready():
    talk = Conversation()
    talk.submit(1)
    talk.up(0)
    assert talk.leases_of(0) == []
    assert dispatched_in(talk.ready(0)) == [(0, 0)]


def test_a_started_of_a_void_lease_does_not_make_a_worker_busy():
    talk = Conversation(workers=1)
    talk.worker(0, Started(77))
    assert talk.farm.stale == 1
    talk.submit(1)
    assert talk.leases_of(0)


def test_a_batch_of_several_codes_is_measured_by_the_last_one():
    talk = Conversation(workers=1)
    measure(talk, 0.25)
    assert talk.farm.mean_seconds == {CODE: 0.25}
    talk.submit(1)
    talk.finish(0, seconds=0.75)
    assert talk.farm.mean_seconds == {CODE: 0.5}


def test_the_queue_skips_what_is_not_ready_and_forgets_empty_lines():
    gone = {1, 2}
    queue = ReadyQueue(lambda taskid: taskid not in gone)
    queue.push(0, "a", [1, 2, 3])
    queue.push(5, "a", [2])
    assert queue.peek() == (0, 3)
    assert queue.take(9, lambda taskid: True) == [3]
    assert queue.peek() is None
    assert not queue
    assert queue.n_at_most(5) == 0


def test_the_queue_has_as_many_as_are_ready():
    queue = ReadyQueue(lambda taskid: taskid not in {1, 12})
    queue.push(0, "a", range(3))
    queue.push(0, "b", [10])
    queue.push(5, "b", [11, 12])
    assert [n for n in range(1, 7) if queue.has(n)] == [1, 2, 3, 4]


def test_the_queue_counts_no_further_than_asked():
    queue = ReadyQueue(lambda taskid: True)
    queue.push(0, "a", range(10))
    queue.push(1, "b", range(10, 15))
    assert [queue.n_at_most(limit) for limit in (3, 15, 100)] == [3, 15, 15]
    assert queue.ids() == [*range(10, 15), *range(10)]


def test_returned_tasks_go_to_the_front_sorted_among_each_other():
    queue = ReadyQueue(lambda taskid: True)
    queue.push(0, "a", [9, 10])
    queue.push_front(0, "a", [7, 8])
    queue.push_front(0, "a", [5, 3])
    queue.push_front(0, "a", [4])
    assert queue.ids() == [3, 4, 5, 7, 8, 9, 10]


def one_ahead(talk: Conversation) -> list[int]:
    """Let worker 0 hold two tasks and worker 1 the last one; return these."""
    first, second, *others = talk.submit(5)
    while len(others) > 1:
        talk.finish(1, seconds=0.02)
        others.pop(0)
    assert [list(talk.farm.workers[worker].leases.values()) for worker in (0, 1)] == [[first, second], others]
    return [first, second, *others]


def end_of(talk: Conversation, taskid: int, worker: int) -> Ended:
    """Return the end of a task that succeeded now, after 0.02 s."""
    return Ended(
        ids=(taskid,),
        reasons=("",),
        values=(b"value",),
        workers=(worker,),
        attempts=(1,),
        submitted=(talk.time.wall,),
        completed=talk.time.wall,
        seconds=(0.02,),
    )


def measure(talk: Conversation, seconds: float, worker: int = 0) -> None:
    """Let the farm measure that `f` takes `seconds`."""
    if worker not in talk.farm.workers:
        talk.join(worker)
    talk.submit(1)
    holder = next(w for w in talk.farm.workers if talk.leases_of(w))
    talk.finish(holder, seconds=seconds, outcome=Outcome.OK)
