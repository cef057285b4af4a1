"""Farms whose workers run on an engine: lost places, demand, distance, broadcasts, and what waits for more workers."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SupervisorSend
from taskfc_ext.core.events import FromParent
from taskfc_ext.core.handlers.dispatch import LONGEST_AHEAD, LONGEST_AHEAD_AWAY, LONGEST_SEVERAL
from taskfc_ext.core.handlers.engines import MOST_AHEAD
from taskfc_ext.core.state.engine import AHEAD
from taskfc_ext.protocol.client_messages import (
    Abort,
    AwaitBroadcast,
    Broadcast,
    Ended,
    GetEngine,
    GetWorkers,
    Hold,
    Scale,
    Stop,
    Watch,
)
from taskfc_ext.protocol.infos import BroadcastReport, EngineInfo
from taskfc_ext.protocol.options import MAX_PLACE_LOSSES
from taskfc_ext.protocol.payloads import Outcome, Reason, decode_failure
from taskfc_ext.protocol.records import BroadcastDeath, Requeued, Why
from taskfc_ext.protocol.resources import Needs, slot_totals
from taskfc_ext.protocol.spec import Kind, OnLost, Recovery
from taskfc_ext.protocol.supervisor_messages import Demand, EngineState, Noted, SetWorkers, WorkerUp
from taskfc_ext.protocol.worker_messages import Output, SetUp
from tests.core.conversation import BOB, CODE, Conversation, dispatched_in, messages_to, spec, to_supervisor

ENGINE = EngineState(kind="dask", url="tcp://head:8786", state="connected", n_places=3)


def on_engine(workers: int = 0, limit: int = 40, **options) -> Conversation:
    return Conversation(workers=workers, limit=limit, engine=ENGINE, **options)


def demands_in(effects: Effects) -> list[int]:
    return [message.n for message in to_supervisor(effects) if isinstance(message, Demand)]


def with_held(n: int) -> Conversation:
    """Return a farm whose worker 0 holds tasks 1 to n, leases 2 to n + 1."""
    talk = on_engine(1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    talk.submit(n)
    assert talk.leases_of(0) == list(range(2, n + 2))
    return talk


# lost places


@pytest.mark.parametrize(("started", "counted"), [((), 1), ((0,), 1), ((1,), 2), ((2,), 3), ((0, 1), 2)])
def test_one_attempt_is_counted_the_one_that_is_known_to_run_or_the_first(started, counted):
    talk = with_held(3)
    for place in started:
        talk.start(0, talk.leases_of(0)[place])
    effects = talk.lose_place(0)
    back = tuple(taskid for taskid in (1, 2, 3) if taskid != counted)
    assert {record.why: record.ids for record in effects.records} == {Why.PLACE_LOST: (counted,), Why.RETURNED: back}
    assert effects.sends == (SupervisorSend(Noted((0,))),)
    assert [talk.farm.tasks[taskid].past().place_losses for taskid in (1, 2, 3)] == [t == counted for t in (1, 2, 3)]
    assert [talk.farm.tasks[taskid].past().deaths for taskid in (1, 2, 3)] == [0, 0, 0]
    assert talk.farm.queue.ids() == [1, 2, 3]


def test_a_lost_place_costs_no_retry_and_no_death_until_the_last():
    talk = on_engine()
    talk.submit(1, retries=2)
    for worker in range(MAX_PLACE_LOSSES - 1):
        talk.join(worker)
        talk.start(worker)
        assert talk.lose_place(worker).records == (Requeued((0,), Why.PLACE_LOST),)
    past = talk.farm.tasks[0].past()
    assert (past.retries, past.deaths, past.place_losses) == (0, 0, MAX_PLACE_LOSSES - 1)
    talk.join(99)
    (ended,) = talk.lose_place(99).records
    failure = decode_failure(ended.values[0])
    assert (ended.reasons, failure.note) == (("poisoned",), "node lost")
    assert failure.message == "task 0 (f) was on the last 10 places that were lost, and may have ended them"


def test_deaths_and_lost_places_are_counted_apart():
    talk = on_engine()
    talk.submit(1)
    for worker in range(4):
        talk.join(worker)
        if worker < 2:
            talk.die(worker)
        else:
            talk.lose_place(worker)
    past = talk.farm.tasks[0].past()
    assert (past.deaths, past.place_losses) == (2, 2)


def test_a_restarted_controller_knows_lost_places_and_a_recovery_task_begins_without():
    talk = on_engine(1)
    talk.submit(1, recovery=Recovery(spec(), b"recovery"))
    talk.lose_place(0)
    talk.restart(n_workers=40)
    assert talk.farm.tasks[0].past().place_losses == 1
    talk.join(1)
    talk.finish(1, outcome=Outcome.ERROR)
    past = talk.farm.tasks[0].past()
    assert (past.recovering, past.place_losses) == (True, 0)


@pytest.mark.parametrize("reported", [False, True])
def test_what_may_run_only_once_is_lost_with_its_place(reported):
    talk = on_engine(1)
    talk.submit(2, on_lost=OnLost.FAIL, retries=3)
    if reported:
        talk.start(0)
        talk.worker(0, Output(1, ("last words",)))
    talk.wait(4.0)
    effects = talk.lose_place(0)
    (ended,) = [record for record in effects.records if isinstance(record, Ended)]
    failure = decode_failure(ended.values[0])
    assert (talk.state(0), talk.state(1)) == ("lost", "scheduled"), "only one was at risk"
    assert (failure.reason, failure.note) == (Reason.LOST, "node lost")
    assert failure.message == "the place of worker 0 was lost with task 0 (f), which may run only once"
    assert (ended.seconds, ended.outputs) == (((4.0,), {0: ("last words",)}) if reported else ((0.0,), {}))


def test_the_end_of_an_aborted_attempt_is_its_abort():
    talk = on_engine(1)
    talk.submit(1)
    talk.start(0)
    talk.ask(Abort, taskid=0)
    talk.lose_place(0)
    assert talk.state(0) == "aborted"


def test_a_planned_end_whose_place_is_gone_counts_nothing():
    talk = on_engine(1)
    talk.submit(1)
    assert talk.lose_place(0, planned=True).records == (Requeued((0,), Why.RETURNED),)


def test_a_task_that_lost_a_place_runs_alone():
    talk = with_held(3)
    talk.lose_place(0)
    talk.join(1)
    assert len(talk.leases_of(1)) == 1
    talk.finish(1, seconds=0.0001)
    assert len(talk.leases_of(1)) == 2


# demand


def test_the_demand_is_sent_when_it_changes_and_is_at_most_the_limit():
    talk = Conversation(limit=3, engine=ENGINE)
    assert talk.farm.engine.demand == 0
    assert demands_in(talk.ask(Hold, taskids=(), held=True)) == []
    talk.submit(2)
    assert talk.farm.engine.demand == 2
    talk.submit(5, BOB)
    assert talk.farm.engine.demand == 3
    assert demands_in(talk.join(0)) == [], "it runs or can run, as before"
    assert demands_in(talk.ask(Scale, n=2)) == [2]
    talk.restart(alive=[0], n_workers=2)
    assert talk.farm.engine.demand == 2, "the next controller sends it as well"


@pytest.mark.parametrize("how", ["held", "aborted", "waiting"])
def test_what_cannot_run_is_no_demand(how):
    talk = on_engine()
    (first,) = talk.submit(1)
    if how == "waiting":
        talk.submit(3, after=(first,))
        assert talk.farm.engine.demand == 1
        return
    kind, fields = (Hold, {"taskids": (first,), "held": True}) if how == "held" else (Abort, {"taskid": first})
    assert demands_in(talk.ask(kind, **fields)) == [0]


def test_tasks_that_can_never_start_are_no_demand():
    talk = on_engine(limit=3, totals=slot_totals({"cpu": 2}))
    talk.submit(2, needs=Needs(cores=2))
    [rejected] = talk.submit(1, needs=Needs(cores=2, memory=1), depend=CODE, priority=1)
    assert talk.farm.engine.demand == 3
    talk.join(0)
    talk.finish(0, outcome=Outcome.REFUSED)
    assert (talk.farm.engine.demand, talk.state(rejected)) == (3, "scheduled")
    talk.options["totals"] = slot_totals({})
    talk.restart(n_workers=3)
    assert talk.farm.engine.demand == 0, "each of them needs two cores"
    talk.submit(1)
    assert talk.farm.engine.demand == 1


def test_a_stopped_farm_and_a_farm_at_home_send_no_demand():
    talk = on_engine()
    talk.submit(3)
    assert demands_in(talk.ask(Stop)) == []
    home = Conversation(workers=1)
    home.submit(3)
    assert home.farm.engine is None
    assert demands_in(home.finish(0)) == []


# distance


def measure(talk: Conversation, round_trip: float, seconds: float) -> None:
    """Let worker 0 run a task of `seconds` that comes back after `round_trip` more."""
    talk.submit(1)
    talk.now += round_trip + seconds
    talk.finish(0, seconds=seconds)


@pytest.mark.parametrize(("round_trip", "ahead"), [(0.0, AHEAD), (0.0032, 0.02), (0.005, 0.029), (0.1, MOST_AHEAD)])
def test_a_worker_holds_as_much_ahead_as_its_distance_needs(round_trip, ahead):
    talk = on_engine(1)
    measure(talk, round_trip, 1.0)
    assert talk.farm.workers[0].ahead == pytest.approx(ahead)


def test_only_the_first_task_sent_to_an_idle_worker_is_measured_and_once():
    talk = with_held(3)
    worker = talk.farm.workers[0]
    talk.now += 0.002
    talk.submit(1)
    assert talk.leases_of(0) == [2, 3, 4, 5]
    talk.now += 0.002
    talk.finish(0, [2], seconds=0.001)
    assert worker.distance.round_trip == pytest.approx(0.000375)
    talk.now += 1.0
    talk.finish(0, [3], seconds=0.001)
    talk.finish(0, [5], seconds=0.001)
    assert worker.distance.round_trip == pytest.approx(0.000375)


def test_a_shorter_round_trip_counts_at_once_and_a_longer_one_slowly():
    talk = on_engine(1)
    found = []
    for round_trip in (0.010, 0.002, 0.010):
        measure(talk, round_trip, 0.5)
        found.append(talk.farm.workers[0].distance.round_trip)
    assert found == pytest.approx([0.010, 0.002, 0.003])


def test_a_new_connection_begins_the_measurement_again():
    talk = on_engine(1)
    talk.submit(1)
    talk.ready(0, (1,))
    talk.now += 30.0
    talk.finish(0)
    assert talk.farm.workers[0].distance is None
    assert talk.farm.workers[0].ahead == AHEAD


@pytest.mark.parametrize(
    ("seconds", "at_home", "away"),
    [
        (0.0001, 40, 202),
        (0.005, 2, 4),
        (LONGEST_SEVERAL * 1.01, 2, 2),
        (0.02, 2, 2),
        (LONGEST_AHEAD * 1.01, 1, 2),
        (LONGEST_AHEAD_AWAY * 1.01, 1, 1),
    ],
)
@pytest.mark.parametrize("is_away", [False, True])
def test_how_many_tasks_a_worker_holds(seconds, at_home, away, is_away):
    talk = on_engine(1) if is_away else Conversation(workers=1)
    measure(talk, 0.00325, seconds)
    talk.submit(500)
    assert len(talk.leases_of(0)) == (away if is_away else at_home)


# the number of workers is a limit


def test_workers_up_to_the_limit_are_not_surplus():
    talk = on_engine(3, limit=3)
    effects = talk.ask(Scale, n=8)
    assert to_supervisor(effects) == [SetWorkers(8, ())]
    assert not any(worker.retiring for worker in talk.farm.workers.values())
    effects = talk.ask(Scale, n=1)
    assert to_supervisor(effects) == [SetWorkers(1, (2, 1))]


# broadcasts


def broadcast(talk: Conversation) -> None:
    talk.ask(Broadcast, code_kind=Kind.STRING, label="b", code=b"x", body=b"", context=None)


def test_a_broadcast_waits_for_the_workers_that_are_there_and_newcomers_run_it_first():
    talk = on_engine(2)
    broadcast(talk)
    assert messages_to(talk.ask(AwaitBroadcast, number=1)) == []
    talk.worker(0, SetUp(1))
    assert messages_to(talk.worker(1, SetUp(1))) == [talk.reply(BroadcastReport(2))]
    talk.submit(3)
    assert [worker for worker, _ in dispatched_in(talk.join(2))] == []
    assert [worker for worker, _ in dispatched_in(talk.worker(2, SetUp(1)))] == [2]


def test_a_broadcast_without_any_worker_is_answered_at_once():
    talk = on_engine()
    broadcast(talk)
    assert messages_to(talk.ask(AwaitBroadcast, number=1)) == [talk.reply(BroadcastReport(0))]


@pytest.mark.parametrize("how", ["died", "place lost"])
def test_a_wait_for_a_broadcast_is_not_for_replacements(how):
    talk = on_engine(2)
    broadcast(talk)
    talk.ask(AwaitBroadcast, number=1)
    talk.worker(0, SetUp(1))
    effects = talk.die(1, started=0, running=False) if how == "died" else talk.lose_place(1)
    assert messages_to(effects) == [talk.reply(BroadcastReport(1))]
    assert effects.records == ((BroadcastDeath(1),) if how == "died" else ()), "a lost place is no death"


# unreachable


def refused(talk: Conversation, worker: int) -> None:
    talk.finish(worker, outcome=Outcome.REFUSED)


def test_a_task_is_not_unreachable_while_workers_are_coming():
    talk = on_engine(1, unreachable_after=10.0)
    talk.submit(1, depend=CODE)
    talk.submit(1)
    refused(talk, 0)
    assert talk.farm.engine.demand == 2, "one is refused, and one runs"
    talk.wait(11.0)
    talk.wait(11.0)
    assert talk.state(0) == "scheduled", "a second worker may take it"
    talk.finish(0)
    assert talk.farm.engine.demand == 1
    talk.wait(1.0)
    talk.wait(11.0)
    assert talk.state(0) == "unreachable"


def test_a_task_is_not_unreachable_without_any_worker():
    talk = on_engine(1, unreachable_after=10.0)
    talk.submit(1, depend=CODE)
    refused(talk, 0)
    talk.lose_place(0)
    talk.wait(11.0)
    assert talk.state(0) == "scheduled"


# the engine's state


def test_a_state_lasts_since_its_first_report():
    talk = on_engine()
    began = talk.time.wall
    assert (talk.farm.engine.report, talk.farm.engine.since) == (ENGINE, began)
    talk.now += 5.0
    more = EngineState(kind="dask", url="tcp://head:8786", state="connected", n_places=4)
    talk.handle(FromParent(more))
    assert (talk.farm.engine.report, talk.farm.engine.since) == (more, began)
    lost = EngineState(kind="dask", url="tcp://head:8786", state="lost", text="connection refused")
    talk.handle(FromParent(lost))
    assert (talk.farm.engine.report, talk.farm.engine.since) == (lost, began + 5.0)


def test_lists_have_the_engine_and_the_places_of_workers():
    talk = on_engine()
    talk.handle(FromParent(WorkerUp(0, 100, "node7")))
    (reply,) = messages_to(talk.ask(GetWorkers))
    assert [worker.place for worker in reply.value] == ["node7"]
    since = talk.time.wall
    info = EngineInfo(kind="dask", url="tcp://head:8786", state="connected", since=since, n_places=3, limit=40)
    assert messages_to(talk.ask(GetEngine)) == [talk.reply(info)]
    assert messages_to(Conversation().ask(GetEngine))[0].value is None


def test_subscribers_receive_the_engine_with_each_message():
    talk = on_engine()
    watching = next(send.message for send in talk.ask(Watch, BOB).sends if isinstance(send, ClientSend))
    assert watching.snapshot.engine.state == "connected"
    talk.now += 10.0
    lost = EngineState(kind="dask", url="tcp://head:8786", state="lost", text="connection refused")
    (changed,) = messages_to(talk.handle(FromParent(lost)), BOB)
    assert (changed.delta.engine.state, changed.delta.engine.since) == ("lost", talk.time.wall)
    assert changed.delta.workers is None


# idle workers


def retired_in(effects: Effects) -> tuple[int, ...]:
    return tuple([worker for each in to_supervisor(effects) if isinstance(each, SetWorkers) for worker in each.retire])


def test_idle_workers_end_as_far_as_they_are_not_needed():
    talk = on_engine(3, engine_idle=60.0)
    talk.submit(1)
    assert retired_in(talk.wait(61.0)) == (), "the clock was started before all of them had joined"
    assert retired_in(talk.wait(61.0)) == (1, 2), "worker 0 runs the task"
    talk.finish(0)
    assert retired_in(talk.wait(59.0)) == ()
    assert retired_in(talk.wait(2.0)) == (0,)
    assert [worker.retiring for worker in talk.farm.workers.values()] == [True, True, True]


def test_a_worker_that_was_busy_meanwhile_is_not_idle():
    talk = on_engine(1, engine_idle=60.0)
    talk.now += 30.0
    talk.submit(1)
    talk.finish(0)
    assert retired_in(talk.wait(31.0)) == ()


def test_workers_are_kept_without_a_clock():
    talk = on_engine(1, engine_idle=0.0)
    assert retired_in(talk.wait(1e6)) == ()
