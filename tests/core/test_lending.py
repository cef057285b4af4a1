"""Tasks that wait for tasks: places lent and taken, order, and the end of a wait."""

from __future__ import annotations

import pytest

from taskfc_ext.core.handlers.lending import KEEP
from taskfc_ext.core.scheduler import FORGET_SESSION_AFTER
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.supervisor_messages import SetWorkers, StopAttempt
from taskfc_ext.protocol.worker_messages import SetUp
from tests.core.conversation import ALICE, BOB, CODE, Conversation, dispatched_in, messages_to, to_supervisor

NESTED = ["1" * 16, "2" * 16, "3" * 16, "4" * 16]


def parent_on(talk: Conversation, worker: int, **options) -> int:
    """Let a task of Alice's run on `worker`, and a client of it say hello; return the task."""
    (taskid,) = talk.submit(1, **options)
    assert talk.farm.workers[worker].leases
    talk.start(worker)
    talk.hello(NESTED[worker], worker)
    return taskid


def wait_for(talk: Conversation, worker: int, *taskids: int):
    return talk.ask(messages.Barrier, NESTED[worker], taskids=taskids)


def info_of(talk: Conversation, taskid: int):
    (answer,) = messages_to(talk.ask(messages.ListTasks, taskids=(taskid,)))
    return answer.live[0]


def worker_states(talk: Conversation) -> dict[int, tuple[str, bool]]:
    (answer,) = messages_to(talk.ask(messages.GetWorkers))
    return {worker.worker: (worker.state, worker.is_substitute) for worker in answer.value}


@pytest.fixture
def talk() -> Conversation:
    return Conversation(workers=1)


def test_a_substitute_runs_the_task_waited_for_and_ends_when_it_is_not_needed(talk):
    parent = parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    effects = wait_for(talk, 0, child)
    assert to_supervisor(effects) == [SetWorkers(1, (), 1)]
    assert dispatched_in(talk.join(1)) == [(1, child)]
    effects = talk.finish(1)
    assert messages.Reply(talk.seqs[NESTED[0]]) in messages_to(effects, NESTED[0])
    assert to_supervisor(effects) == []  # it may be needed again soon
    talk.finish(0)
    assert talk.state(parent) == "succeeded"
    assert to_supervisor(talk.wait(KEEP)) == [SetWorkers(1, (1,), 0)]
    talk.die(1, planned=True)
    assert worker_states(talk) == {0: ("idle", False)}


def test_no_substitute_is_started_where_a_worker_is_idle():
    talk = Conversation(workers=2)
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    assert talk.leases_of(1) == [talk.lease_of(child)]
    assert to_supervisor(wait_for(talk, 0, child)) == []
    (another,) = talk.submit()
    assert talk.state(another) == "scheduled"  # one waits, one runs: there is room for one more
    assert dispatched_in(talk.join(2)) == [(2, another)]


def test_a_substitute_ends_if_the_work_for_it_is_sent_ahead_to_another_worker():
    talk = Conversation(workers=2)
    parent_on(talk, 0)
    children = talk.submit(2, NESTED[0])
    talk.farm.mean_seconds[CODE] = 0.0001
    effects = wait_for(talk, 0, *children)
    assert [*talk.farm.workers[1].leases.values()] == children
    assert to_supervisor(effects) == [SetWorkers(2, (), 1)]
    assert to_supervisor(talk.wait(KEEP)) == [SetWorkers(2, (), 0)]


def test_work_that_comes_later_starts_a_substitute():
    talk = Conversation(workers=2)
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    assert to_supervisor(talk.ask(messages.Submit, BOB, spec=talk.farm.tasks[child].spec, bodies=(b"b",))) == [
        SetWorkers(2, (), 1)
    ]


def test_at_most_n_workers_run_tasks_when_a_wait_is_over(talk):
    parent_on(talk, 0)
    children = talk.submit(3, NESTED[0])
    wait_for(talk, 0, children[0])
    assert dispatched_in(talk.join(1)) == [(1, children[0])]
    assert dispatched_in(talk.finish(1)) == []  # the parent runs again
    assert worker_states(talk) == {0: ("busy", False), 1: ("idle", True)}
    assert dispatched_in(wait_for(talk, 0, *children)) == [(1, children[1])]
    assert worker_states(talk) == {0: ("waiting", False), 1: ("busy", True)}
    assert dispatched_in(talk.finish(1)) == [(1, children[2])]


def test_two_wait_and_two_run(talk):
    talk = Conversation(workers=2)
    for worker in (0, 1):
        parent_on(talk, worker)
    children = [talk.submit(2, NESTED[worker]) for worker in (0, 1)]
    wait_for(talk, 0, *children[0])
    assert to_supervisor(wait_for(talk, 1, *children[1])) == [SetWorkers(2, (), 2)]
    assert len(dispatched_in(talk.join(2))) == 1
    assert len(dispatched_in(talk.join(3))) == 1
    assert dispatched_in(talk.join(4)) == []  # a worker beyond the number asked for gets nothing
    assert 4 not in talk.farm.live_workers()


@pytest.mark.parametrize("priority", [0, 5])
def test_tasks_waited_for_go_first_and_the_deepest_before_all(talk, priority):
    parent_on(talk, 0)
    others = talk.submit(2, BOB, priority=priority)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    assert dispatched_in(talk.join(1)) == [(1, child)]
    talk.start(1)
    talk.hello(NESTED[1], 1)
    (grandchild,) = talk.submit(1, NESTED[1])
    (another_child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 1, grandchild)
    assert talk.farm.queue.ids() == [grandchild, another_child, *others]
    assert [info_of(talk, taskid).priority for taskid in (grandchild, others[0])] == [0, priority]
    assert dispatched_in(talk.join(2)) == [(2, grandchild)]
    assert dispatched_in(talk.finish(2)) == []
    assert dispatched_in(talk.finish(1)) == []
    assert dispatched_in(talk.finish(0)) == [(0, another_child)]
    assert dispatched_in(talk.finish(0)) == [(0, others[0])]


def test_tasks_of_others_that_a_task_waits_for_go_first_and_their_dependencies_too(talk):
    parent_on(talk, 0)
    before = talk.submit(3, BOB)
    (first,) = talk.submit(1, BOB)
    (second,) = talk.submit(1, BOB, after=(first,))
    wait_for(talk, 0, second)
    assert talk.farm.queue.ids() == [first, *before]
    talk.join(1)
    assert dispatched_in(talk.finish(1)) == [(1, second)]


def test_held_and_refused_ones_keep_their_ways(talk):
    parent_on(talk, 0)
    held, refused = talk.submit(2, NESTED[0])
    talk.ask(messages.Hold, taskids=(held,))
    wait_for(talk, 0, held, refused)
    assert dispatched_in(talk.join(1)) == [(1, refused)]
    talk.finish(1, outcome=Outcome.REFUSED)
    wait_for(talk, 0, refused)
    assert talk.farm.refusals.waiting
    assert dispatched_in(talk.ask(messages.Hold, taskids=(held,), held=False)) == [(1, held)]


@pytest.mark.parametrize(
    "end",
    [
        lambda talk, seq: talk.ask(messages.Unwait, NESTED[0], barrier=seq),
        lambda talk, seq: talk.lose_client(NESTED[0]),
        lambda talk, seq: talk.finish(0),
        lambda talk, seq: talk.die(0),
        lambda talk, seq: talk.finish(0, outcome=Outcome.ERROR),
    ],
    ids=["unwait", "the client is lost", "the task ends", "the worker dies", "the task fails"],
)
def test_a_wait_that_ends_gives_the_place_back(talk, end):
    parent = parent_on(talk, 0, retries=1)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    talk.join(1)
    assert talk.farm.waits.lending == {0}
    assert info_of(talk, parent).waits_for == (child,)
    end(talk, talk.seqs[NESTED[0]])
    assert talk.farm.waits.lending == set()
    if talk.state(parent) in ("running", "scheduled"):
        assert info_of(talk, parent).waits_for == ()


def test_what_a_task_has_left_behind_does_not_wait_for_the_next_one(talk):
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    talk.ask(messages.Hold, taskids=(child,))
    wait_for(talk, 0, child)
    talk.finish(0)
    (next_one,) = talk.submit()
    talk.start(0)
    assert talk.state(next_one) == "running"
    assert talk.farm.waits.lending == set()
    assert worker_states(talk)[0] == ("busy", False)
    wait_for(talk, 0, child)
    assert talk.farm.waits.lending == {0}


def test_clients_elsewhere_lend_nothing(talk):
    (taskid,) = talk.submit()
    talk.start(0)
    for worker in (-1, 77):
        talk.hello(BOB, worker)
        assert to_supervisor(talk.ask(messages.Barrier, BOB, taskids=(taskid,))) == []
    assert talk.farm.waits is None


def test_an_abort_reaches_a_task_that_waits(talk):
    parent = parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    assert any(isinstance(order, StopAttempt) for order in to_supervisor(talk.ask(messages.Abort, taskid=parent)))
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert (talk.state(parent), talk.state(child)) == ("aborted", "scheduled")
    assert talk.farm.waits.lending == set()


# impossible waits


def test_a_task_that_waits_for_itself_is_refused(talk):
    (parent,) = talk.submit()
    talk.hello(NESTED[0], 0)
    assert messages_to(wait_for(talk, 0, parent), NESTED[0]) == []  # its start was not reported
    (refusal,) = messages_to(talk.start(0), NESTED[0])
    assert (refusal.error, refusal.value) == (messages.ErrorKind.NOT_ALLOWED, {"taskids": [parent]})
    assert "wait for its own end" in refusal.message
    assert not talk.farm.barriers
    again = messages.Barrier(seq=talk.seqs[NESTED[0]], taskids=(parent,))
    assert messages_to(talk.client(NESTED[0], again), NESTED[0]) == [refusal]


def test_a_task_that_waits_for_all_leaves_itself_out_and_what_waits_for_it():
    talk = Conversation(workers=2)
    parents = [parent_on(talk, worker) for worker in (0, 1)]
    (after,) = talk.submit(1, after=(parents[0],))
    (child,) = talk.submit(1, NESTED[0])
    assert messages_to(talk.ask(messages.Barrier, NESTED[1]), NESTED[1]) == []
    (barrier,) = talk.farm.barriers.values()
    assert barrier.remaining == {parents[0], after, child}
    talk.ask(messages.Barrier, NESTED[0])
    assert [each.remaining for each in talk.farm.barriers.values()][1] == {child}
    talk.join(2)
    assert talk.reply(session=NESTED[0]) in messages_to(talk.finish(2), NESTED[0])


def test_a_task_that_alone_is_left_waits_for_nothing(talk):
    parent_on(talk, 0)
    assert messages_to(talk.ask(messages.Barrier, NESTED[0]), NESTED[0]) == [talk.reply(session=NESTED[0])]


def test_lists_show_the_tasks_that_a_task_waits_for(talk):
    parent = parent_on(talk, 0)
    children = talk.submit(7, NESTED[0], name="step")
    wait_for(talk, 0, children[0])
    info = info_of(talk, parent)
    assert (info.state, info.waits_for) == ("running", (children[0],))
    assert info.message == f"waiting for task {children[0]} (step)"
    wait_for(talk, 0, *children)
    info = info_of(talk, parent)
    assert info.waits_for == tuple(children)
    assert info.message == f"waiting for tasks {', '.join(map(str, children[:5]))}, ... (step)"


def test_lists_show_that_tasks_wait_for_each_other():
    talk = Conversation(workers=2)
    parents = [parent_on(talk, worker) for worker in (0, 1)]
    wait_for(talk, 0, parents[1])
    assert "cannot end" not in info_of(talk, parents[0]).message
    wait_for(talk, 1, parents[0])
    for parent, other in zip(parents, reversed(parents), strict=True):
        expected = f"waiting for task {other} (f); task {other} cannot end before this one: abort one of them"
        assert info_of(talk, parent).message == expected


def test_lists_show_that_a_task_waits_for_its_own_dependant(talk):
    parent = parent_on(talk, 0)
    (after,) = talk.submit(1, NESTED[0], after=(parent,))
    wait_for(talk, 0, after)
    assert f"task {after} cannot end before this one" in info_of(talk, parent).message


def test_a_task_that_only_the_waiting_worker_takes_is_unreachable():
    talk = Conversation(workers=1, unreachable_after=30.0)
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    talk.join(1)
    talk.finish(1, outcome=Outcome.REFUSED)
    talk.wait(29.0)
    assert talk.state(child) == "scheduled"
    effects = talk.wait(1.5)
    assert talk.state(child) == "unreachable"
    assert talk.reply(session=NESTED[0]) in messages_to(effects, NESTED[0])


# the farm


def test_scaling_counts_without_substitutes(talk):
    parent_on(talk, 0)
    children = talk.submit(4, NESTED[0])
    wait_for(talk, 0, *children)
    talk.join(1)
    assert SetWorkers(2, (), 1) in to_supervisor(talk.ask(messages.Scale, n=2))
    assert [worker for worker, _ in dispatched_in(talk.join(2))] == [2]
    assert worker_states(talk) == {0: ("waiting", False), 1: ("busy", False), 2: ("busy", True)}
    assert SetWorkers(1, (), 1) in to_supervisor(talk.ask(messages.Scale, n=1))
    assert sum(worker.retiring for worker in talk.farm.workers.values()) == 1


def test_a_broadcast_from_a_task_does_not_wait_for_its_own_worker():
    talk = Conversation(workers=2)
    parent_on(talk, 0)
    talk.ask(messages.Broadcast, NESTED[0], code_kind=Kind.STRING, label="b", code=b"x", body=b"names")
    assert messages_to(talk.ask(messages.AwaitBroadcast, NESTED[0], number=1), NESTED[0]) == []
    assert messages_to(talk.ask(messages.AwaitBroadcast, ALICE, number=1)) == []
    effects = talk.worker(1, SetUp(1))
    assert [answer.value.ran for answer in messages_to(effects, NESTED[0])] == [1]
    assert messages_to(effects) == []


def test_a_new_controller_learns_who_waits_from_the_clients(talk):
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    lease = talk.leases_of(0)[0]
    barrier = messages.Barrier(seq=talk.seqs[NESTED[0]], taskids=(child,))
    talk.restart(alive=(0, 1), n_workers=1)
    assert talk.farm.waits is None
    talk.hello(NESTED[0], 0)
    assert to_supervisor(talk.client(NESTED[0], barrier)) == [SetWorkers(1, (), 1)]
    talk.ready(0, (lease,))
    assert talk.farm.waits.lending == {0}
    talk.ready(1)
    talk.start(0, lease)
    assert worker_states(talk)[0] == ("waiting", False)


def test_subscribers_are_told(talk):
    parent = parent_on(talk, 0)
    children = talk.submit(2, NESTED[0])
    talk.ask(messages.Watch, BOB)
    wait_for(talk, 0, *children)
    effects = talk.wait(0.3)
    (changed,) = [message for message in messages_to(effects, BOB) if isinstance(message, messages.Changed)]
    assert changed.delta.rows.notes[parent].message == f"waiting for tasks {children[0]}, {children[1]} (f)"
    assert [worker.state for worker in changed.delta.workers] == ["waiting"]
    talk.join(1)
    talk.wait(0.3)
    talk.finish(1)
    effects = talk.wait(0.3)
    (changed,) = [message for message in messages_to(effects, BOB) if isinstance(message, messages.Changed)]
    assert changed.delta.rows.notes[parent].message == f"waiting for task {children[1]} (f)"


def test_waiting_costs_nothing_without_a_wait(talk):
    talk.submit(3)
    assert talk.farm.waits is None
    assert talk.farm.tasks[0].batch.spec.code == CODE


def test_a_worker_whose_task_waits_gets_no_task_before_it_reports_the_start(talk):
    talk.submit(1)
    talk.finish(0, seconds=0.0001)  # so that tasks would be dispatched ahead
    talk.submit(1)
    talk.hello(NESTED[0], 0)
    (ahead,) = talk.submit(1, NESTED[0])
    assert talk.lease_of(ahead) in talk.leases_of(0)
    wait_for(talk, 0, ahead)
    (child,) = talk.submit(1, NESTED[0])
    assert not talk.lease_of(child)


def test_a_substitute_that_never_came_is_not_wanted_for_ever(talk):
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    assert to_supervisor(wait_for(talk, 0, child)) == [SetWorkers(1, (), 1)]
    talk.ask(messages.Unwait, NESTED[0], barrier=talk.seqs[NESTED[0]])
    assert to_supervisor(talk.wait(KEEP)) == [SetWorkers(1, (), 0)]


def test_a_substitute_that_comes_too_late_ends(talk):
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    talk.ask(messages.Unwait, NESTED[0], barrier=talk.seqs[NESTED[0]])
    talk.wait(KEEP)
    assert to_supervisor(talk.up(1)) == [SetWorkers(1, (1,), 0)]


def test_a_task_that_was_refused_before_it_is_waited_for_is_unreachable():
    talk = Conversation(workers=2, unreachable_after=30.0)
    parent_on(talk, 0)
    (first,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, first)
    talk.finish(1)
    (child,) = talk.submit(1, NESTED[0])
    talk.finish(1, outcome=Outcome.REFUSED)
    talk.wait(100.0)
    assert talk.state(child) == "scheduled"  # worker 0 may take it
    wait_for(talk, 0, child)
    talk.wait(30.0)
    assert talk.state(child) == "unreachable"


def test_tasks_of_a_forgotten_client_go_no_longer_before_others(talk):
    parent_on(talk, 0)
    (other,) = talk.submit(1, BOB)
    held, child = talk.submit(2, NESTED[0])
    wait_for(talk, 0, held, child)
    assert talk.farm.queue.ids() == [held, child, other]
    talk.lose_client(NESTED[0])
    talk.wait_with_ticks(FORGET_SESSION_AFTER + 10.0)
    assert NESTED[0] not in talk.farm.sessions
    talk.ask(messages.Hold, taskids=(held,))
    assert talk.farm.queue.ids() == [other, child]
    assert dispatched_in(talk.finish(0)) == [(0, other)]
    assert dispatched_in(talk.finish(0)) == [(0, child)]
    assert dispatched_in(talk.finish(0)) == []
    assert dispatched_in(talk.ask(messages.Hold, taskids=(held,), held=False)) == [(0, held)]


def test_a_refused_task_of_a_forgotten_client_can_be_aborted(talk):
    parent_on(talk, 0)
    (child,) = talk.submit(1, NESTED[0])
    wait_for(talk, 0, child)
    assert dispatched_in(talk.join(1)) == [(1, child)]
    talk.finish(1, outcome=Outcome.REFUSED)
    assert talk.farm.refusals.waiting
    talk.lose_client(NESTED[0])
    talk.wait_with_ticks(FORGET_SESSION_AFTER + 10.0)
    assert NESTED[0] not in talk.farm.sessions
    assert talk.farm.refusals.waiting
    talk.ask(messages.Abort, taskid=child)
    assert talk.state(child) == "aborted"
    assert not talk.farm.refusals.waiting
