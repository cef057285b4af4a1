"""Resources of tasks: the account, whose turn it is, and what each waits for."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from taskfc_ext.core.effects import Effects, SendSnapshot
from taskfc_ext.core.state.sharing import free_amounts
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.limits import MAX_AMOUNT
from taskfc_ext.protocol.payloads import Outcome, decode_failure
from taskfc_ext.protocol.records import Leased
from taskfc_ext.protocol.resources import Needs, Totals, slot_totals
from taskfc_ext.protocol.spec import OnLost
from taskfc_ext.protocol.supervisor_messages import LimitMemory, WorkerDown
from tests.core.conversation import (
    BOB,
    CODE,
    Conversation,
    dispatched_in,
    live_in,
    messages_to,
    runs_to,
    spec,
    to_supervisor,
)

TOTALS = Totals(cores=4, memory=16_000_000_000, gpus=("3", "GPU-b"), others={"licence": 1})
GB = 10**9


def talk_with(workers: int = 4, **totals: object) -> Conversation:
    return Conversation(workers=workers, totals=Totals(**totals) if totals else TOTALS)


def gpu(n: int = 1, **more: object) -> dict[str, Needs]:
    return {"needs": Needs(gpus=n, **more)}


def running(talk: Conversation) -> dict[int, int]:
    """Return task -> worker of all leases."""
    return {task.taskid: task.worker for task in talk.farm.leases.values()}


def messages_of(talk: Conversation) -> dict[int, str]:
    """Return what each unfinished task waits for, as lists show it."""
    effects = talk.ask(messages.ListTasks)
    return {info.taskid: info.message for send in messages_to(effects) for info in live_in(send) if info.message}


# the account


def test_each_attempt_has_gpus_of_its_own_which_are_recorded_and_sent():
    talk = talk_with()
    effects = [talk.ask(messages.Submit, spec=spec(**gpu()), bodies=(b"body",)) for _ in range(3)]
    assert [r for each in effects for r in each.records if isinstance(r, Leased)] == [
        Leased(1, (0,), 0, ("3",)),
        Leased(2, (1,), 1, ("GPU-b",)),
    ]
    assert runs_to(effects[1], 1)[0].gpus == ("GPU-b",)
    effects = talk.finish(0)
    assert dispatched_in(effects) == [(0, 2)]
    assert runs_to(effects, 0)[0].gpus == ("3",)


def test_a_restarted_controller_knows_what_running_attempts_hold():
    talk = talk_with()
    talk.submit(3, **gpu())
    before = dict(talk.farm.resources.held)
    talk.restart(alive=range(4))
    assert talk.farm.resources.held == before
    for worker, lease in ((0, 1), (1, 2), (2, 0), (3, 0)):
        talk.ready(worker, (lease,) if lease else ())
    assert running(talk) == {0: 0, 1: 1}
    talk.finish(1)
    assert talk.farm.resources.free_gpus() == ()


@pytest.mark.parametrize(
    "end",
    [
        lambda talk: talk.finish(0),
        lambda talk: talk.die(0),
        lambda talk: talk.ready(0),
        lambda talk: (talk.ask(messages.Abort, taskid=0), talk.finish(0)),
    ],
    ids=["end", "death", "reconnect", "abort"],
)
def test_an_attempt_that_is_over_frees_what_it_held(end):
    talk = talk_with(workers=1)
    [first] = talk.submit(1, **gpu(2, memory=GB))
    [second] = talk.submit(1, **gpu(2), session=BOB)
    end(talk)
    if 0 not in talk.farm.workers:
        talk.join(1)
    [held] = talk.farm.resources.held.values()
    assert len(held.gpus) == 2
    assert list(running(talk)) in ([first], [second])


def test_a_task_without_needs_takes_the_usual_path():
    talk = talk_with()
    talk.submit(8)
    assert not talk.farm.resources.in_use
    assert talk.farm.resources.queues == {}


def test_a_task_that_needs_resources_is_never_sent_ahead():
    talk = talk_with(workers=1)
    talk.submit(1, **gpu())
    talk.finish(0, seconds=0.0001)
    talk.submit(4, **gpu())
    ordinary = talk.submit(4)
    assert len(talk.leases_of(0)) == 1
    talk.finish(0, seconds=0.0001)
    assert running(talk).keys().isdisjoint(ordinary)


def test_nothing_is_sent_ahead_behind_a_task_that_needs_resources():
    talk = talk_with(workers=1)
    talk.submit(1, **gpu())
    talk.finish(0, seconds=0.0001)
    talk.submit(1, **gpu())
    talk.submit(9)
    assert len(talk.leases_of(0)) == 1


# cores


def test_cores_are_shared_with_tasks_that_name_none():
    talk = talk_with()
    [wide] = talk.submit(1, needs=Needs(cores=3))
    small = talk.submit(3)
    assert running(talk) == {wide: 0, small[0]: 1}  # the others would be a fifth and a sixth core
    talk.finish(0)
    assert list(running(talk)) == small


def test_a_wide_task_gets_its_cores_although_small_ones_come_after_it():
    talk = talk_with()
    talk.submit(4)
    [wide] = talk.submit(1, needs=Needs(cores=4))
    talk.submit(4, session=BOB)
    for worker in range(4):
        assert dispatched_in(talk.finish(worker))[:1] == ([(0, wide)] if worker == 3 else [])
    assert dispatched_in(talk.finish(0))


def test_a_farm_with_more_workers_than_cores_has_a_core_for_each():
    talk = talk_with(workers=3, cores=1, gpus=("0",))
    talk.submit(2)
    [task] = talk.submit(1, **gpu())
    assert task in running(talk)


def test_a_task_that_waits_for_others_lends_its_cores_and_keeps_the_rest():
    talk = talk_with(workers=2, cores=2, gpus=("0",))
    talk.submit(1, needs=Needs(cores=2, gpus=1))
    talk.start(0)
    talk.hello(session := "e" * 16, worker=0)
    [child] = talk.submit(1, session)
    assert child not in running(talk)
    talk.ask(messages.Barrier, session, taskids=(child,))
    assert child in running(talk)
    assert free_amounts(talk.farm) == {"cores": 1, "memory": 0, "gpus": 0}


# turns


def test_tasks_that_need_nothing_of_it_pass_a_task_that_waits():
    talk = talk_with()
    talk.submit(1, **gpu(2))
    [waits] = talk.submit(1, **gpu(1))
    others = talk.submit(2)
    assert waits not in running(talk)
    assert running(talk).keys() > set(others)


def test_what_a_waiting_task_needs_is_kept_for_it():
    talk = talk_with()
    talk.submit(1, **gpu(1))
    [large] = talk.submit(1, **gpu(2, memory=10 * GB))
    [one_gpu] = talk.submit(1, **gpu(1), session=BOB)
    [less] = talk.submit(1, needs=Needs(memory=5 * GB), session=BOB)
    [memory] = talk.submit(1, needs=Needs(memory=8 * GB), session=BOB)
    assert running(talk).keys() == {0, less}
    assert dispatched_in(talk.finish(0)) == [(0, large)]
    assert one_gpu not in running(talk)
    assert memory not in running(talk)
    talk.finish(0)
    assert {one_gpu, memory} <= running(talk).keys()


def test_memory_is_kept_for_a_task_for_which_no_gpu_is_free():
    talk = talk_with()
    talk.submit(1, **gpu(2))
    [first] = talk.submit(1, **gpu(1, memory=10 * GB))
    [second] = talk.submit(1, needs=Needs(memory=8 * GB))
    assert second not in running(talk)
    assert dispatched_in(talk.finish(0)) == [(0, first)]


def test_an_aborted_task_at_the_head_of_its_line_makes_room():
    talk = talk_with()
    talk.submit(1, **gpu(2))
    first, second, third = talk.submit(3, **gpu(2))
    talk.ask(messages.Abort, taskid=first)
    talk.ask(messages.Abort, taskid=third)
    assert messages_of(talk) == {second: "waits for 2 GPUs (none free)"}
    assert dispatched_in(talk.finish(0)) == [(0, second)]
    [last] = talk.submit(1, **gpu(2))
    talk.ask(messages.Abort, taskid=last)
    assert talk.farm.resources.queues == {}


def test_a_stream_of_small_tasks_does_not_starve_a_large_one():
    talk = talk_with()
    talk.submit(2, **gpu(1))
    [large] = talk.submit(1, **gpu(2))
    for worker in range(2):
        talk.submit(3, BOB, **gpu(1))
        talk.finish(worker)
    assert large in running(talk)


def test_clients_take_turns_also_among_tasks_of_other_needs():
    talk = talk_with(workers=1)
    talk.submit(1, **gpu())
    many = talk.submit(3)
    [bobs] = talk.submit(1, BOB, **gpu())
    order = [taskid for _ in range(4) for _, taskid in dispatched_in(talk.finish(0))]
    assert order == [many[0], bobs, *many[1:]]


def test_a_higher_priority_goes_first_whatever_it_needs():
    talk = talk_with(workers=1)
    talk.submit(1)
    [low] = talk.submit(1, **gpu())
    [high] = talk.submit(1, priority=1)
    [highest] = talk.submit(1, priority=2, **gpu())
    order = [taskid for _ in range(3) for _, taskid in dispatched_in(talk.finish(0))]
    assert order == [highest, high, low]


def test_a_rejected_task_waits_for_what_it_needs():
    talk = talk_with(workers=2)
    talk.submit(1, **gpu(2))
    [task] = talk.submit(1, needs=Needs(gpus=1), depend=None, priority=1)
    talk.finish(0, outcome=Outcome.REFUSED)  # worker 0 rejects the first one
    assert running(talk) == {task: 0}
    assert dispatched_in(talk.finish(0)) == [(1, 0)]


# the cost


def count_calls(n: int, needs_of: Callable[[int], Needs]) -> int:
    """Return the number of calls in the core for `n` tasks with such needs, from their submission to their end."""
    talk = talk_with(workers=2, cores=2, memory=16 * GB)
    talk.checked = False
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for i in range(n):
            talk.submit(1, needs=needs_of(i))
        while talk.farm.leases:
            talk.finish(0 if talk.leases_of(0) else 1)
    finally:
        sys.setprofile(before)
    assert not talk.farm.tasks
    return calls


@pytest.mark.parametrize("memory", [GB, 10 * GB], ids=["two at a time", "one at a time"])
def test_tasks_of_many_different_needs_cost_about_as_much_as_equal_ones(memory):
    equal = count_calls(400, lambda i: Needs(memory=memory))
    different = count_calls(400, lambda i: Needs(memory=memory + i))
    assert different < 2 * equal
    assert count_calls(800, lambda i: Needs(memory=memory + i)) < 2.2 * different


# tasks that some workers have rejected


def rejected(talk: Conversation, worker: int = 0, **options: object) -> int:
    """Submit a task that `worker` rejects; return it. The other workers are busy, or cannot run it now."""
    [taskid] = talk.submit(1, depend=CODE, **options)
    assert running(talk)[taskid] == worker
    talk.finish(worker, outcome=Outcome.REFUSED)
    assert taskid not in running(talk)
    return taskid


def test_what_a_rejected_task_needs_is_kept_for_it():
    talk = talk_with(workers=3)
    busy = talk.submit(2)
    large = rejected(talk, worker=2, priority=5, **gpu(2))
    small = talk.submit(3, **gpu(1))
    assert running(talk).keys() == {*busy}, "worker 2 would take the GPUs one by one"
    assert messages_of(talk)[large] == "refused by worker 2"
    assert messages_of(talk)[small[0]] == f"waits behind task {large} (f)"
    assert dispatched_in(talk.finish(0)) == [(0, large)]


def test_a_rejected_task_waits_for_what_it_needs_and_says_so():
    talk = talk_with(workers=3)
    talk.submit(1, **gpu(1))
    talk.submit(1)
    task = talk.submit(1, depend=CODE, needs=Needs(memory=GB))[0]
    talk.submit(1, needs=Needs(memory=16 * GB), priority=1)
    talk.finish(2, outcome=Outcome.REFUSED)
    assert messages_of(talk)[task] == "refused by worker 2; waits for 1 GB of memory (none free)"


def test_rejected_tasks_do_not_pass_a_wide_one_of_higher_priority():
    talk = talk_with(workers=3, cores=3)
    talk.submit(2)
    small = [rejected(talk, worker=2) for _ in range(2)]
    [wide] = talk.submit(1, needs=Needs(cores=3), priority=10)
    assert dispatched_in(talk.finish(0)) == []
    assert dispatched_in(talk.finish(1)) == [(0, wide)]
    assert dispatched_in(talk.finish(0)) == [(0, small[0]), (1, small[1])]


def test_cores_are_kept_for_a_rejected_task_once_a_worker_that_may_take_it_is_idle():
    talk = talk_with(workers=3, cores=3)
    first = talk.submit(2)
    wide = talk.submit(1, depend=CODE, needs=Needs(cores=1))[0]
    talk.finish(2, outcome=Outcome.REFUSED)
    assert wide not in running(talk)
    [other] = talk.submit(1)
    assert running(talk)[other] == 2, "no worker that may take the rejected one is idle, so its core is not kept"
    assert dispatched_in(talk.finish(0)) == [(0, wide)]
    assert first[1] in running(talk)


def test_a_stream_of_small_tasks_does_not_starve_a_large_one_that_a_worker_has_rejected():
    talk = talk_with()
    talk.submit(3)
    large = rejected(talk, worker=3, **gpu(2))
    [first] = talk.submit(1, priority=1, **gpu(1))
    assert running(talk)[first] == 3
    talk.submit(2, BOB, **gpu(1))
    assert dispatched_in(talk.finish(0)) == [], "the second GPU is kept"
    assert messages_of(talk)[large] == "refused by worker 3; waits for 2 GPUs (1 free)"
    assert dispatched_in(talk.finish(3)) == [(0, large)]


def test_a_core_is_kept_for_a_rejected_task_that_starts_on_another_worker():
    talk = talk_with(workers=3, cores=3)
    talk.submit(1, needs=Needs(cores=2))
    [task] = talk.submit(1, depend=CODE)
    talk.submit(1)
    assert running(talk)[task] == 1
    assert dispatched_in(talk.finish(1, outcome=Outcome.REFUSED)) == [(2, task)]


def test_one_idle_worker_has_a_core_kept_for_one_rejected_task_only():
    talk = talk_with(workers=3, cores=4)
    talk.submit(1, needs=Needs(cores=2))
    talk.submit(2)
    talk.finish(1)
    tasks = [rejected(talk, worker=1), rejected(talk, worker=1, needs=Needs(cores=1))]
    talk.ask(messages.Hold, taskids=tuple(tasks), held=True)
    _, ordinary = talk.submit(2)
    tasks.append(ordinary)
    talk.ask(messages.Hold, taskids=(ordinary,), held=True)
    talk.finish(1)
    talk.finish(2)
    assert running(talk) == {0: 0}
    effects = talk.ask(messages.Hold, taskids=tuple(tasks), held=False)
    assert dispatched_in(effects) == [(1, ordinary), (2, tasks[0])]


def test_no_core_is_kept_for_a_rejected_task_where_the_worker_that_was_idle_has_got_another():
    talk = talk_with(workers=3, cores=4)
    talk.submit(1, needs=Needs(cores=2))
    talk.submit(1)
    tasks = [rejected(talk, worker=2)]
    talk.submit(1)
    tasks += talk.submit(1, priority=1) + talk.submit(1)
    talk.ask(messages.Hold, taskids=tuple(tasks), held=True)
    talk.finish(1)
    talk.finish(2)
    assert running(talk) == {0: 0}
    effects = talk.ask(messages.Hold, taskids=tuple(tasks), held=False)
    assert dispatched_in(effects) == [(1, tasks[1]), (2, tasks[2])]


def test_nothing_is_kept_for_a_task_that_all_workers_have_rejected():
    talk = talk_with(workers=1)
    task = rejected(talk, priority=5, **gpu(2))
    [small] = talk.submit(1, **gpu(1))
    assert running(talk) == {small: 0}
    assert talk.state(task) == "scheduled"


def test_a_rejected_task_keeps_its_place_among_those_of_other_clients():
    talk = talk_with(workers=2)
    [busy] = talk.submit(1, BOB)
    task = rejected(talk, worker=1)
    talk.submit(3, BOB, needs=Needs(memory=GB))
    assert dispatched_in(talk.finish(running(talk)[busy])) == [(0, task)]


def test_a_moved_task_keeps_its_needs():
    talk = talk_with(workers=1)
    talk.submit(1)
    first, second = talk.submit(2, **gpu())
    talk.ask(messages.Move, taskids=(second,), priority=3)
    talk.ask(messages.Hold, taskids=(first,), held=True)
    assert dispatched_in(talk.finish(0)) == [(0, second)]
    assert dispatched_in(talk.finish(0)) == []
    assert dispatched_in(talk.ask(messages.Hold, taskids=(first,), held=False)) == [(0, first)]


# the limit of memory


def over_memory(talk: Conversation, used: int) -> None:
    from taskfc_ext.core.events import FromParent

    down = WorkerDown(
        worker=0, pid=1, started=talk.leases_of(0)[0], running=True, note="", planned=True, over_memory=used
    )
    talk.handle(FromParent(down))


def test_the_supervisor_gets_the_limit_before_the_worker_gets_the_task():
    talk = talk_with(workers=1)
    effects = talk.ask(messages.Submit, spec=spec(needs=Needs(memory=8 * GB)), bodies=(b"",))
    assert to_supervisor(effects) == [LimitMemory(0, 1, 8 * GB)]


def test_a_task_over_its_memory_fails_with_the_figure():
    talk = talk_with(workers=1)
    talk.submit(1, name="fit", needs=Needs(memory=8 * GB))
    over_memory(talk, 9_240_000_000)
    [ended] = [record for record in talk.records if isinstance(record, messages.Ended)]
    assert ended.reasons == ("memory",)
    text = "task 0 (fit) used 9.24 GB, over its limit of 8 GB, and was ended"
    assert decode_failure(ended.values[0]).message == text


@pytest.mark.parametrize("on_lost", list(OnLost))
def test_memory_costs_a_retry_and_no_death(on_lost):
    talk = talk_with(workers=1)
    [task] = talk.submit(1, retries=1, needs=Needs(memory=8 * GB), on_lost=on_lost)
    over_memory(talk, 9 * GB)
    past = talk.farm.tasks[task].past()
    assert (past.retries, past.deaths, talk.farm.resources.held) == (1, 0, {})


def test_memory_costs_no_retry_where_retry_on_does_not_cover_it():
    talk = talk_with(workers=1)
    [task] = talk.submit(1, retries=1, retry_memory=False, needs=Needs(memory=8 * GB))
    over_memory(talk, 9 * GB)
    assert talk.state(task) == "memory"


# refusals and messages


@pytest.mark.parametrize(
    ("needs", "text"),
    [
        (Needs(cores=64), "cores=64: this farm has 4"),
        (Needs(gpus=3), "gpus=3: this farm has 2"),
        (Needs(memory=32 * GB), "memory=32 GB: this farm has 16 GB"),
        (Needs(others=(("licence", 2),)), "licence=2: this farm has 1"),
        (Needs(others=(("tape", 1),)), "tape=1: this farm has none"),
    ],
)
def test_what_can_never_start_is_refused_by_name(needs, text):
    talk = talk_with()
    [refused, _] = messages_to(talk.ask(messages.Submit, spec=spec(needs=needs), bodies=(b"",)))
    assert (refused.error, refused.message) == (messages.ErrorKind.RESOURCES, text)
    assert talk.farm.next_id == 0


def test_a_retry_that_can_never_start_is_refused():
    talk = talk_with(workers=1)
    [task] = talk.submit(1, **gpu(2))
    talk.finish(0)
    talk.options["totals"] = Totals(cores=4)
    talk.restart(alive=[0])
    [refused] = messages_to(talk.retry(task))
    assert refused.message == "gpus=2: this farm has none"


def test_lists_say_what_a_task_waits_for():
    talk = talk_with()
    talk.submit(1, **gpu(1, memory=10 * GB))
    [gpus] = talk.submit(1, **gpu(2))
    [both] = talk.submit(1, **gpu(2, memory=8 * GB))
    [cores] = talk.submit(1, needs=Needs(cores=4), priority=-1)
    assert messages_of(talk) == {
        gpus: "waits for 2 GPUs (1 free)",
        both: "waits for 8 GB of memory (6 GB free), 2 GPUs (1 free)",
        cores: "waits for 4 cores (3 free)",
    }


def test_lists_name_the_task_that_others_stand_behind():
    talk = talk_with()
    talk.submit(1, **gpu(1))
    [large] = talk.submit(1, name="large", **gpu(2, memory=10 * GB))
    small = talk.submit(2, BOB, **gpu(1))
    memory = talk.submit(1, BOB, needs=Needs(memory=8 * GB))
    assert messages_of(talk) == {
        large: "waits for 2 GPUs (1 free)",
        **dict.fromkeys([*small, *memory], f"waits behind task {large} (large)"),
    }


def test_lists_say_that_tasks_stand_behind_one_that_waits_for_cores():
    talk = talk_with()
    talk.submit(2)
    [wide] = talk.submit(1, name="wide", needs=Needs(cores=3))
    behind = [*talk.submit(2), *talk.submit(1, needs=Needs(cores=1)), *talk.submit(1, priority=-1, **gpu())]
    [first] = talk.submit(1, priority=1, **gpu())
    assert messages_of(talk) == {
        wide: "waits for 3 cores (1 free)",
        **dict.fromkeys(behind, f"waits behind task {wide} (wide)"),
    }
    assert first in running(talk)


def test_lists_say_that_an_ordinary_task_waits_for_a_core_where_a_worker_is_idle():
    talk = talk_with()
    talk.submit(2, needs=Needs(cores=2))
    [small] = talk.submit(1)
    assert messages_of(talk) == {small: "waits for 1 core (none free)"}


def test_lists_say_no_resource_for_tasks_that_wait_for_a_worker_only():
    talk = talk_with(workers=2)
    talk.submit(1, **gpu(1))
    talk.submit(3)
    talk.submit(1, **gpu(1))
    assert messages_of(talk) == {2: "behind 2 tasks", 3: "behind 3 tasks"}


def test_lists_say_that_a_task_can_not_start_any_more():
    talk = talk_with(workers=1)
    [task] = talk.submit(2, **gpu(2))[1:]
    talk.options["totals"] = Totals(cores=4, gpus=("0",))
    talk.restart(alive=[0])
    talk.ready(0, (1,))
    assert messages_of(talk) == {task: "needs 2 GPUs, and this farm has 1"}


def test_what_can_not_start_any_more_holds_up_nothing():
    talk = talk_with(workers=1)
    [_, wide] = talk.submit(2, needs=Needs(cores=4))
    talk.options["totals"] = Totals(cores=2)
    talk.restart(alive=[])
    talk.join(1)
    [small] = talk.submit(1, needs=Needs(cores=1))
    assert messages_of(talk)[wide] == "needs 4 cores, and this farm has 2"
    assert running(talk) == {small: 1}


# farms on an engine


def test_each_worker_on_an_engine_has_what_its_slot_holds():
    talk = Conversation(workers=3, totals=slot_totals({"GPU": 1, "cpu": 4.0, "tape": 2}))
    tasks = talk.submit(3, needs=Needs(cores=4, gpus=1, memory=100 * GB, others=(("tape", 2),)))
    assert sorted(running(talk)) == list(tasks)
    refused, *_ = messages_to(talk.ask(messages.Submit, spec=spec(**gpu(2)), bodies=(b"",)))
    assert refused.message == "gpus=2: each worker of this farm has 1"


@pytest.mark.parametrize(
    ("held", "totals"),
    [
        ({}, {"cores": 1, "memory": MAX_AMOUNT, "gpus": 0}),
        ({"memory": 8e9}, {"cores": 1, "memory": 8 * GB, "gpus": 0}),
        ({"gpus": 2, "CPUS": 8}, {"cores": 8, "memory": MAX_AMOUNT, "gpus": 2}),
        ({"CPU": 0.5, "GPUS": 1, "MEMORY": 1e9}, {"cores": 1, "memory": GB, "gpus": 1}),
        ({"FAST": 1.5}, {"cores": 1, "memory": MAX_AMOUNT, "gpus": 0, "FAST": 1}),
    ],
)
def test_the_names_that_engines_use_mean_the_same(held, totals):
    assert slot_totals(held).amounts(12) == totals


# subscribers


def notes_in(effects: Effects) -> dict[int, str]:
    """Return the notes of the rows in deltas and in snapshots."""
    sent = messages_to(effects)
    deltas = [message.delta for message in sent if isinstance(message, messages.Changed)]
    snapshots = [message.snapshot for message in sent if isinstance(message, SendSnapshot)]
    notes = [note for each in (*deltas, *snapshots) for note in each.rows.notes.items()]
    return {taskid: note.message for taskid, note in notes if note is not None and note.message}


def test_subscribers_get_what_the_first_task_of_each_line_waits_for():
    talk = talk_with()
    talk.ask(messages.Watch)
    _, second, third = talk.submit(3, **gpu(2))
    assert notes_in(talk.wait(1.0)) == {second: "waits for 2 GPUs (none free)"}
    talk.finish(0)
    assert notes_in(talk.wait(1.0)) == {third: "waits for 2 GPUs (none free)"}
    talk.finish(0)
    talk.finish(0)
    talk.wait(1.0)
    assert talk.farm.resources.shown == {}
    assert not talk.farm.resources.in_use


def test_a_dispatch_that_leaves_others_without_is_sent_to_subscribers():
    talk = talk_with(workers=1)
    talk.submit(1)
    one, two = talk.submit(2, **gpu(2))
    talk.ask(messages.Watch)
    assert dispatched_in(talk.finish(0)) == [(0, one)]
    assert notes_in(talk.wait(1.0)) == {two: "waits for 2 GPUs (none free)"}


def test_a_new_snapshot_has_what_tasks_wait_for():
    talk = talk_with()
    talk.submit(1, needs=Needs(cores=2, gpus=2))
    [gpus] = talk.submit(1, **gpu(1))
    [wide] = talk.submit(1, name="wide", needs=Needs(cores=4))
    [small] = talk.submit(2)[:1]
    expected = {
        gpus: "waits for 1 GPU (none free)",
        wide: "waits for 4 cores (2 free)",
        small: "waits behind task 2 (wide)",
    }
    assert notes_in(talk.ask(messages.Watch)) == expected
    assert messages_of(talk) == {**expected, small + 1: expected[small]}


def test_subscribers_get_notes_of_the_first_lines_only():
    talk = talk_with(workers=1)
    talk.submit(1, **gpu(1))
    for i in range(150):
        talk.submit(1, needs=Needs(gpus=2, memory=GB + i))
    assert len(notes_in(talk.ask(messages.Watch))) == 100
    assert len(messages_of(talk)) == 150
