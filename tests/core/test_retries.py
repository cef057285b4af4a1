"""Consequences of a failed attempt: retries, back-off, the recovery task, and its own retries."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, WorkerSend
from taskfc_ext.core.journal.retry_policy import LONGEST_BACKOFF, Verdict, after_failure, backoff_before
from taskfc_ext.core.state.task import Batch, History, Task
from taskfc_ext.protocol.client_messages import Ended, ListTasks
from taskfc_ext.protocol.payloads import Outcome, Reason, decode_failure
from taskfc_ext.protocol.records import Leased, Requeued, Why
from taskfc_ext.protocol.spec import OnLost, Recovery
from taskfc_ext.protocol.supervisor_messages import Step, StopAttempt
from taskfc_ext.protocol.worker_messages import Committed, Run
from tests.core.conversation import ALICE, CODE, ERROR, Conversation, dispatched_in, messages_to, spec, to_supervisor

OTHER = b"o" * 16


def recovery(**options) -> Recovery:
    return Recovery(spec(**{"code": CODE, "label": "plan b", **options}), b"recovery body")


def test_a_success_ends_a_task_with_the_report_of_the_worker():
    talk = Conversation(workers=1)
    talk.submit(1)
    ended = Ended(
        ids=(0,), reasons=("",), values=(b"value",), workers=(0,), attempts=(1,), submitted=(talk.time.wall,),
        completed=talk.time.wall, seconds=(0.5,),
    )  # fmt: skip
    assert talk.finish(0) == Effects(records=(ended,), sends=(ClientSend(ALICE, ended), WorkerSend(0, Committed(1))))


def test_lists_show_the_rest_of_a_back_off():
    talk = Conversation(workers=1)
    talk.submit(1, retries=3, backoff=4.0)
    talk.finish(0, outcome=Outcome.ERROR)

    def info():
        (listed,) = messages_to(talk.ask(ListTasks))
        return listed.live[0]

    until = talk.time.wall + 4.0
    assert (info().state, info().message, info().not_before) == ("scheduled", "retry 1 of 3 in 4 s", until)
    talk.wait(1.5)
    assert (info().message, info().not_before) == ("retry 1 of 3 in 3 s", until)
    talk.wait(2.5)
    assert (info().message, info().not_before) == ("", None)
    talk.finish(0, outcome=Outcome.ERROR)
    assert info().message == "retry 2 of 3 in 8 s"


def test_an_error_without_retries_is_the_end():
    talk = Conversation(workers=1)
    talk.submit(1)
    effects = talk.finish(0, outcome=Outcome.ERROR)
    assert [(r.reasons, r.values) for r in effects.records] == [(("error",), (ERROR,))]


def test_a_retry_is_stored_and_dispatched_in_one_event():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1)
    effects = talk.finish(0, outcome=Outcome.ERROR)
    assert effects == Effects(
        records=(Requeued((0,), Why.RETRY), Leased(2, (0,), 0)),
        sends=(
            WorkerSend(0, Committed(1)),
            WorkerSend(0, Run(spec=spec(retries=1), first_lease=2, ids=(0,), bodies=(b"body 0",))),
        ),
    )


def test_one_worker_with_retries_comes_to_an_end():
    talk = Conversation(workers=1)
    talk.submit(1, retries=3)
    for attempt in range(1, 4):
        talk.finish(0, outcome=Outcome.ERROR)
        assert talk.state(0) == "scheduled", attempt
    effects = talk.finish(0, outcome=Outcome.ERROR)
    assert talk.state(0) == "error"
    assert effects.records[0].attempts == (4,)


@pytest.mark.parametrize("n_workers", [2, 3])
def test_a_retry_goes_to_another_idle_worker(n_workers):
    talk = Conversation(workers=n_workers)
    talk.submit(1, retries=1)
    assert dispatched_in(talk.finish(0, outcome=Outcome.ERROR)) == [(1, 0)]


def test_a_retry_does_not_wait_for_another_worker():
    talk = Conversation(workers=2)
    talk.submit(2, retries=1)
    assert dispatched_in(talk.finish(0, outcome=Outcome.ERROR)) == [(0, 0)]


def test_the_worker_that_is_avoided_gets_other_work_instead():
    talk = Conversation(workers=2)
    talk.submit(3, retries=1)
    talk.finish(1)
    assert dispatched_in(talk.finish(0, outcome=Outcome.ERROR)) == [(0, 0)], "worker 1 has task 2 by now"
    talk.finish(1)
    assert dispatched_in(talk.finish(0, outcome=Outcome.ERROR)) == []


def test_a_retry_that_others_refused_goes_to_another_idle_worker_too():
    talk = Conversation(workers=4)
    talk.submit(1, retries=1, depend=CODE)
    talk.finish(0, outcome=Outcome.REFUSED)
    assert talk.farm.tasks[0].worker == 1
    assert dispatched_in(talk.finish(1, outcome=Outcome.ERROR)) == [(2, 0)]


def test_failures_that_retry_on_does_not_cover_are_not_retried():
    talk = Conversation(workers=1)
    talk.submit(1, retries=5)
    talk.finish(0, outcome=Outcome.FINAL_ERROR)
    assert talk.state(0) == "error"


def test_back_off_doubles_and_is_kept():
    talk = Conversation(workers=1)
    talk.submit(1, retries=3, backoff=2.0)
    for pause in (2.0, 4.0, 8.0):
        effects = talk.finish(0, outcome=Outcome.ERROR)
        assert dispatched_in(effects) == []
        assert effects.wake_at == talk.now + pause
        assert dispatched_in(talk.wait(pause - 0.01)) == []
        assert dispatched_in(talk.wait(0.01)) == [(0, 0)]


def test_others_run_while_a_task_backs_off():
    talk = Conversation(workers=1)
    talk.submit(2, retries=1, backoff=2.0)
    assert dispatched_in(talk.finish(0, outcome=Outcome.ERROR)) == [(0, 1)]


@pytest.mark.parametrize(
    ("spent", "pause"), [(1, 3.0), (2, 6.0), (3, 12.0), (50, LONGEST_BACKOFF), (5000, LONGEST_BACKOFF)]
)
def test_back_off_has_a_ceiling(spent, pause):
    assert backoff_before(spec(backoff=3.0), spent) == pause
    assert backoff_before(spec(), spent) == 0.0


# recovery


def test_the_recovery_task_runs_under_the_same_id_with_its_own_code_and_body():
    talk = Conversation(workers=1)
    plan_b = recovery(retries=0)
    talk.submit(1, recovery=plan_b)
    effects = talk.finish(0, outcome=Outcome.ERROR)
    assert effects == Effects(
        records=(Requeued((0,), Why.RECOVERY), Leased(2, (0,), 0)),
        sends=(
            WorkerSend(0, Committed(1)),
            WorkerSend(0, Run(spec=plan_b.spec, first_lease=2, ids=(0,), bodies=(b"recovery body",))),
        ),
    )
    talk.finish(0)
    assert talk.state(0) == "succeeded"


def test_retries_come_first_then_the_recovery_with_its_own_and_then_it_ends():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1, recovery=recovery(retries=2))
    labels = []
    while 0 in talk.farm.tasks and len(labels) < 9:
        labels.append(talk.farm.tasks[0].spec.label)
        talk.finish(0, outcome=Outcome.ERROR)
    assert labels == ["f", "f", "plan b", "plan b", "plan b"]
    assert talk.state(0) == "error"


def test_the_recovery_of_a_recovery_never_runs():
    talk = Conversation(workers=1)
    talk.submit(1, recovery=Recovery(spec(label="plan b", recovery=recovery(label="plan c")), b"b"))
    talk.finish(0, outcome=Outcome.ERROR)
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.state(0) == "error"


def test_a_recovery_is_dispatched_to_workers_that_refused_the_task():
    talk = Conversation(workers=2)
    talk.submit(1, depend=CODE, recovery=recovery())
    talk.finish(0, outcome=Outcome.REFUSED)
    talk.submit(1)
    talk.finish(1, outcome=Outcome.ERROR)
    assert talk.farm.refusals.reasons_of(0) == {}


@pytest.mark.parametrize("reason", list(Reason))
def test_which_failures_are_recovered(reason):
    task = Task(0, Batch(0, 1, "a", "", 0.0, spec(recovery=recovery())), b"")
    recovered = reason in (Reason.ERROR, Reason.TIMEOUT, Reason.LOST, Reason.POISONED, Reason.MEMORY)
    assert after_failure(task, reason, retryable=True) is (Verdict.RECOVER if recovered else Verdict.END)
    task.history = History(recovering=True)
    assert after_failure(task, reason, retryable=True) is Verdict.END


@pytest.mark.parametrize("reason", list(Reason))
def test_which_failures_are_retried(reason):
    task = Task(0, Batch(0, 1, "a", "", 0.0, spec(retries=1)), b"")
    retried = reason in (Reason.ERROR, Reason.TIMEOUT, Reason.MEMORY)
    assert after_failure(task, reason, retryable=True) is (Verdict.RETRY if retried else Verdict.END)
    assert after_failure(task, reason, retryable=False) is Verdict.END
    task.history = History(retries=1)
    assert after_failure(task, reason, retryable=True) is Verdict.END


def test_a_lost_task_is_recovered_and_the_recovery_has_its_own_on_lost():
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=OnLost.FAIL, recovery=recovery(on_lost=OnLost.RETRY))
    talk.start(0)
    assert talk.die(0).records == (Requeued((0,), Why.RECOVERY),)
    talk.join(1)
    talk.start(1)
    assert talk.die(1).records == (Requeued((0,), Why.DEATH),)
    talk.join(2)
    talk.finish(2)
    assert talk.state(0) == "succeeded"


def test_a_recovery_that_may_run_only_once_does():
    talk = Conversation(workers=1)
    talk.submit(1, recovery=recovery(on_lost=OnLost.FAIL))
    talk.finish(0, outcome=Outcome.ERROR)
    talk.start(0)
    talk.die(0)
    assert talk.state(0) == "lost"


def test_deaths_are_counted_again_from_zero_in_the_recovery():
    talk = Conversation(max_deaths=2)
    talk.submit(1, recovery=recovery())
    for worker in range(4):
        talk.join(worker)
        talk.start(worker)
        talk.die(worker)
    assert talk.state(0) == "poisoned"


# timeouts


def test_a_timeout_stops_the_attempt_and_consumes_a_retry():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0, retries=1)
    lease = talk.lease_of(0)
    assert talk.start(0).wake_at == talk.now + 5.0
    assert to_supervisor(talk.wait(4.99)) == []
    assert to_supervisor(talk.wait(0.01)) == [StopAttempt(0, lease, Step.INTERRUPT)]
    effects = talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert effects.records[0] == Requeued((0,), Why.RETRY)
    talk.start(0)
    talk.wait(5.0)
    effects = talk.finish(0, outcome=Outcome.INTERRUPTED, seconds=5.1)
    failure = decode_failure(effects.records[0].values[0])
    assert (failure.reason, effects.records[0].reasons) == (Reason.TIMEOUT, ("timeout",))
    assert "5 s" in failure.message


def test_the_timeout_runs_from_the_start_and_not_from_the_queue():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0)
    assert to_supervisor(talk.wait(60.0)) == []


def test_a_result_that_comes_after_its_timeout_is_dropped():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0)
    talk.start(0)
    talk.wait(5.0)
    talk.finish(0)
    assert talk.state(0) == "timeout"


def test_the_timer_of_an_attempt_that_has_ended_does_nothing():
    talk = Conversation(workers=1)
    talk.submit(2, timeout=5.0)
    talk.start(0)
    talk.finish(0)
    effects = talk.wait(5.0)
    assert (effects.records, effects.sends) == ((), ())


def test_timeouts_are_not_retried_where_retry_on_does_not_name_them():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0, retries=3, retry_timeouts=False)
    talk.start(0)
    talk.wait(5.0)
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "timeout"


def test_a_worker_that_was_killed_for_a_timeout_is_no_death():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0, retries=1)
    talk.start(0)
    talk.wait(5.0)
    assert talk.die(0).records == (Requeued((0,), Why.RETRY),)
    assert talk.farm.tasks[0].past().deaths == 0


def test_an_interrupt_that_an_earlier_controller_asked_for_was_a_timeouts():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0, on_lost=OnLost.FAIL)
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "timeout"


def test_a_stray_interrupt_is_free_of_charge():
    talk = Conversation(workers=1)
    talk.submit(1)
    assert talk.finish(0, outcome=Outcome.INTERRUPTED).records[0] == Requeued((0,), Why.RETURNED)


def test_what_may_run_only_once_does_not_run_again_after_a_stray_interrupt():
    talk = Conversation(workers=1)
    talk.submit(1, on_lost=OnLost.FAIL)
    talk.finish(0, outcome=Outcome.INTERRUPTED)
    assert talk.state(0) == "lost"


def test_the_deadline_counts_what_had_run_before_a_reconnect():
    talk = Conversation(workers=1)
    talk.submit(1, timeout=5.0)
    lease = talk.lease_of(0)
    talk.restart(alive=[0])
    talk.ready(0, (lease,))
    effects = talk.start(0, lease, elapsed=3.0)
    assert effects.wake_at == talk.now + 2.0
    assert to_supervisor(talk.wait(2.0)) == [StopAttempt(0, lease, Step.INTERRUPT)]
