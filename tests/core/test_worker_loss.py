"""Workers that die with leases, controllers that restart, and the attempt to blame."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import Effects, SupervisorSend, WorkerSend
from taskfc_ext.core.events import FromParent
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol.client_messages import Abort, Ended, Ping, Scale, Scaled, Submit
from taskfc_ext.protocol.payloads import Outcome, Reason, decode_failure
from taskfc_ext.protocol.records import Leased, Requeued, Why
from taskfc_ext.protocol.spec import OnLost
from taskfc_ext.protocol.states import State
from taskfc_ext.protocol.supervisor_messages import Farm, Noted, SetWorkers, WorkerDown, WorkerUp
from taskfc_ext.protocol.worker_messages import Committed, Displayed, Finished, Output, Returned, Run, Started
from tests.core.conversation import BOB, Conversation, dispatched_in, messages_to, spec, to_supervisor


def with_held(n: int, **options) -> Conversation:
    """Return a farm whose worker 0 holds `n` tasks, leases 2 to n + 1."""
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.finish(0, seconds=0.0001)
    talk.submit(n, **options)
    assert talk.leases_of(0) == list(range(2, n + 2))
    return talk


def test_the_attempt_it_was_in_is_repeated_and_the_rest_goes_back_free_of_charge():
    talk = with_held(3)
    effects = talk.die(0, started=2, running=True)
    assert effects == Effects(
        records=(Requeued((1,), Why.DEATH), Requeued((2, 3), Why.RETURNED)),
        sends=(SupervisorSend(Noted((0,))),),
    )
    assert [talk.farm.tasks[taskid].attempts for taskid in (1, 2, 3)] == [1, 0, 0]
    assert talk.farm.queue.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    ("started", "running", "deaths"),
    [(0, False, [0, 0, 0]), (2, True, [1, 0, 0]), (2, False, [1, 0, 0]), (3, True, [0, 1, 0]), (4, True, [0, 0, 1])],
)
def test_only_the_last_attempt_that_started_is_blamed(started, running, deaths):
    talk = with_held(3)
    talk.die(0, started=started, running=running)
    assert [talk.farm.tasks[taskid].past().deaths for taskid in (1, 2, 3)] == deaths


@pytest.mark.parametrize(
    ("started", "running", "planned", "state"),
    [
        (0, False, False, "scheduled"),
        (1, True, False, "lost"),
        (1, False, False, "lost"),
        (1, True, True, "lost"),
        (5, False, True, "lost"),
        (0, False, True, "scheduled"),
    ],
)
def test_what_may_run_only_once_is_lost_if_it_may_have_started(started, running, planned, state):
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=OnLost.FAIL, retries=3)
    effects = talk.die(0, started=started, running=running, planned=planned)
    assert talk.state(0) == state
    if state == "lost":
        failure = decode_failure(effects.records[0].values[0])
        assert (failure.reason, failure.note) == (Reason.LOST, "SIGKILL")


@pytest.mark.parametrize("how", ["lost", "poisoned", "aborted", "timeout"])
def test_an_attempt_that_died_with_its_worker_has_lasted_until_then(how):
    talk = Conversation(workers=1, max_deaths=1)
    options = {"lost": {"on_lost": OnLost.FAIL}, "timeout": {"timeout": 3.0}}
    talk.submit(1, **options.get(how, {}))
    talk.start(0)
    if how == "aborted":
        talk.ask(Abort, taskid=0)
    talk.wait(4.0)
    (ended,) = talk.die(0).records
    assert (ended.reasons, ended.seconds) == ((how,), (4.0,))


def test_an_attempt_without_a_report_has_no_run_time():
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=OnLost.FAIL)
    talk.wait(4.0)
    (ended,) = talk.die(0).records
    assert (ended.reasons, ended.seconds) == (("lost",), (0.0,))


def test_the_third_death_poisons():
    talk = Conversation()
    talk.submit(1, retries=5)
    for worker in range(2):
        talk.join(worker)
        assert talk.die(worker).records == (Requeued((0,), Why.DEATH),)
    talk.join(2)
    (ended,) = talk.die(2).records
    assert (ended.reasons, ended.attempts) == (("poisoned",), (3,))
    assert "3 workers" in decode_failure(ended.values[0]).message


def test_the_live_output_of_a_lost_attempt_is_kept():
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=OnLost.FAIL)
    talk.start(0)
    talk.worker(0, Output(1, ("last ", "words")))
    talk.worker(0, Displayed(1, 1, 0, (b"figure",)))
    (ended,) = [record for record in talk.die(0).records if isinstance(record, Ended)]
    assert (ended.outputs, ended.displays) == ({0: ("last ", "words")}, {0: (b"figure",)})


def test_deaths_and_retries_are_counted_apart():
    talk = Conversation()
    talk.submit(1, retries=1)
    for worker in range(2):
        talk.join(worker)
        talk.die(worker)
    talk.join(2)
    talk.finish(2, outcome=Outcome.ERROR)
    assert talk.state(0) == "scheduled"
    talk.finish(2, outcome=Outcome.ERROR)
    assert talk.state(0) == "error"


def test_a_planned_end_is_free_however_often():
    talk = Conversation()
    talk.submit(1)
    for worker in range(5):
        talk.join(worker)
        talk.start(worker)
        talk.die(worker, planned=True)
    assert talk.state(0) == "scheduled"
    assert talk.farm.tasks[0].attempts == 0
    assert talk.farm.tasks[0].past().deaths == 0


def test_a_running_task_is_scheduled_again_after_a_death():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.start(0)
    assert talk.state(0) == "running"
    talk.die(0)
    assert talk.state(0) == "scheduled"


def test_the_death_of_an_idle_or_unknown_worker_is_noted_and_nothing_else():
    talk = Conversation(workers=1)
    for worker in (0, 77):
        effects = talk.die(worker)
        assert (effects.records, to_supervisor(effects)) == ((), [Noted((worker,))])


def test_messages_of_a_dead_worker_are_ignored():
    talk = Conversation(workers=1)
    talk.submit(1)
    lease = talk.lease_of(0)
    talk.die(0)
    for message in (Started(lease), Returned((lease,)), Output(lease, ("x",))):
        assert talk.worker(0, message) == Effects()
    assert talk.finish(0, [lease]) == Effects()
    assert talk.ready(0, (lease,)) == Effects()


# late reports


def test_a_report_under_a_void_lease_changes_nothing_and_is_committed():
    talk = Conversation(workers=2)
    talk.submit(1)
    lease = talk.lease_of(0)
    talk.give_back(0, [lease])
    assert talk.lease_of(0) != lease
    holder = talk.farm.tasks[0].worker
    stale = talk.farm.stale
    effects = talk.finish(0, [lease])
    assert effects == Effects(sends=(WorkerSend(0, Committed(1)),))
    assert talk.farm.stale == stale + 1
    assert talk.farm.tasks[0].worker == holder


def test_a_lease_of_another_worker_is_void_too():
    talk = Conversation(workers=2)
    talk.submit(2)
    lease = talk.lease_of(1)
    talk.finish(0, [lease])
    assert talk.state(1) == "scheduled"


def test_a_report_that_comes_twice_counts_once():
    talk = Conversation(workers=1)
    talk.submit(1)
    lease = talk.lease_of(0)
    talk.finish(0, [lease])
    effects = talk.worker(0, Finished(seq=1, leases=(lease,), outcomes=(1,), values=(b"",), seconds=(1.0,)))
    assert effects == Effects(sends=(WorkerSend(0, Committed(1)),))
    assert talk.farm.stale == 0, "it is a repeat, not a stranger"


def test_a_report_whose_columns_do_not_agree_is_illegal_and_changes_nothing():
    talk = Conversation(workers=1)
    talk.submit(1)
    lease = talk.lease_of(0)
    for bad in (
        Finished(seq=1, leases=(lease, lease), outcomes=(4, 0), values=(b"", b""), seconds=(1.0, 1.0)),
        Finished(seq=1, leases=(lease,), outcomes=(4, 0), values=(b"",), seconds=(1.0,)),
        Finished(seq=1, leases=(lease,), outcomes=(4,), values=(), seconds=(1.0,)),
        Finished(seq=1, leases=(lease,), outcomes=(4,), values=(b"",), seconds=()),
    ):
        with pytest.raises(ProtocolError):
            talk.worker(0, bad)
    assert talk.lease_of(0) == lease
    assert talk.farm.tasks[0].history is None
    talk.finish(0)
    assert talk.state(0) == "succeeded"


def test_a_lease_given_back_twice_in_one_message_goes_back_once():
    talk = with_held(2)
    talk.give_back(0, [3, 3])
    assert talk.farm.tasks[2].attempts == 0
    assert talk.farm.queue.ids() == [2]


# reconnects


def test_leases_that_a_ready_worker_does_not_report_go_back():
    talk = with_held(3)
    effects = talk.ready(0, (2, 99))
    assert effects.records[0] == Requeued((2, 3), Why.RETURNED)
    assert talk.lease_of(1) == 2


def test_a_result_that_was_ready_before_the_restart_counts_after_it():
    talk = with_held(2)
    talk.restart(alive=[0])
    assert talk.ready(0, (2, 3)).records == ()
    talk.finished_seq[0] = 0
    effects = talk.finish(0, [2, 3])
    assert effects.records[0].ids == (1, 2)
    assert WorkerSend(0, Committed(1)) in effects.sends


def test_a_reconnect_keeps_what_runs_running():
    talk = Conversation(workers=1)
    talk.submit(2)
    lease = talk.lease_of(0)
    talk.start(0)
    assert dispatched_in(talk.ready(0, (lease,))) == []
    assert talk.farm.tasks[0].state is State.RUNNING


def test_nothing_is_asked_of_a_worker_before_it_is_ready_again():
    talk = Conversation(workers=1)
    talk.restart(alive=[0])
    assert dispatched_in(talk.ask(Submit, spec=spec(), bodies=(b"x",))) == []
    assert dispatched_in(talk.ready(0)) == [(0, 0)]


@pytest.mark.parametrize(("on_lost", "state"), [(OnLost.RETRY, "scheduled"), (OnLost.FAIL, "lost")])
def test_a_worker_that_vanished_with_its_farm_leaves_no_page(on_lost, state):
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=on_lost)
    effects = talk.restart()
    assert to_supervisor(effects) == [Noted((0,))]
    assert talk.state(0) == state
    assert talk.farm.workers == {}


def test_an_end_that_the_last_controller_did_not_note_is_reported_again():
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=OnLost.FAIL)
    down = WorkerDown(worker=0, pid=1, started=0, running=False, note="")
    talk.restart(dead=[down])
    assert talk.state(0) == "scheduled", "its page proves that it had not started"


def test_an_end_that_was_noted_may_be_reported_again():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.die(0)
    effects = talk.restart(dead=[WorkerDown(worker=0, pid=1, started=1, running=True, note="")])
    assert (effects.records, set(to_supervisor(effects))) == ((), {Noted((0,))})
    assert talk.farm.tasks[0].past().deaths == 1


def test_leases_are_never_used_again_after_a_restart():
    talk = with_held(3)
    talk.restart(alive=[0])
    effects = talk.ready(0, ())
    (leased,) = [record for record in effects.records if isinstance(record, Leased)]
    assert leased.first_lease == 5


def test_a_restart_keeps_counts_of_retries_deaths_and_attempts():
    talk = Conversation(workers=1)
    talk.submit(1, retries=2)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.die(0)
    talk.restart()
    past = talk.farm.tasks[0].past()
    assert (past.retries, past.deaths, past.avoid, talk.farm.tasks[0].attempts) == (1, 1, 0, 2)


# scaling


def test_fewer_workers_retire_the_idle_at_once_and_the_busy_when_they_are_done():
    talk = Conversation(workers=3)
    talk.submit(2)
    effects = talk.ask(Scale, n=1)
    assert messages_to(effects) == [Scaled(1), talk.reply(3)]
    assert to_supervisor(effects) == [SetWorkers(1, (2,))]
    retiring = next(worker for worker in (0, 1) if talk.farm.workers[worker].retiring)
    talk.submit(3)
    effects = talk.finish(retiring)
    assert to_supervisor(effects) == [SetWorkers(1, (retiring,))]
    assert talk.leases_of(retiring) == []


@pytest.mark.parametrize("how", ["given back", "reconnect"])
def test_a_retiring_worker_that_loses_its_last_lease_otherwise_ends_too(how):
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(Scale, n=0)
    effects = talk.give_back(0, talk.leases_of(0)) if how == "given back" else talk.ready(0)
    assert to_supervisor(effects) == [SetWorkers(0, (0,))]


def test_a_wish_for_fewer_workers_survives_the_controller():
    talk = Conversation(workers=2)
    talk.submit(1)
    effects = talk.restart(alive=[0, 1], n_workers=1)
    assert to_supervisor(effects) == [SetWorkers(1, (1,))]
    talk.ready(0, (1,))
    assert dispatched_in(talk.ready(1)) == []


def test_more_workers_are_asked_for():
    talk = Conversation(workers=1)
    effects = talk.ask(Scale, BOB, n=4)
    assert messages_to(effects, BOB) == [Scaled(4), talk.reply(1, BOB)]
    assert to_supervisor(effects) == [SetWorkers(4, ())]


def test_every_connected_client_is_informed_of_another_size_and_no_one_of_the_same():
    talk = Conversation(workers=1)
    talk.ask(Ping, BOB)
    talk.ask(Ping)
    effects = talk.ask(Scale, n=2)
    assert messages_to(effects, BOB) == [Scaled(2)]
    assert messages_to(talk.ask(Scale, n=2), BOB) == []
    size = Farm(
        supervisor_pid=1, n_workers=3, alive=tuple(WorkerUp(worker, 1) for worker in talk.farm.workers), dead=()
    )
    effects = talk.handle(FromParent(size))
    assert (messages_to(effects), messages_to(effects, BOB)) == ([Scaled(3)], [Scaled(3)])
    talk.lose_client(BOB)
    assert messages_to(talk.ask(Scale, n=4), BOB) == []


def test_a_run_carries_the_leases_that_the_record_says():
    talk = Conversation(workers=1)
    talk.submit(1)
    effects = talk.give_back(0, [1])
    assert effects.records == (Requeued((0,), Why.RETURNED),)
    effects = talk.finish(0, [1])
    assert effects.records == (Leased(2, (0,), 0),)
    assert effects.sends[-1].message == Run(spec=spec(), first_lease=2, ids=(0,), bodies=(b"body 0",))


def test_a_task_that_a_worker_died_of_runs_alone():
    talk = with_held(3)
    talk.die(0, started=2, running=False)
    talk.submit(5)
    talk.join(1)
    first = [talk.farm.leases[lease].taskid for lease in talk.leases_of(1)]
    assert first == [1]
    talk.finish(1, seconds=0.0001)
    assert len(talk.leases_of(1)) > 1
    talk.finish(1, talk.leases_of(1), seconds=0.0001)


def test_a_task_whose_results_never_leave_is_poisoned():
    talk = Conversation(workers=1)
    talk.submit(1)
    for worker in range(3):
        talk.die(worker, running=False)
        talk.join(worker + 1)
    assert talk.state(0) == "poisoned"
