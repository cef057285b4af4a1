"""Requests of clients besides tasks: barriers, clear, lists, results. Every request has one answer."""

from __future__ import annotations

import pytest

from taskfc_ext.core.effects import (
    ClientSend,
    Effects,
    SendDetails,
    SendEnded,
    SendList,
    SendLog,
    SendOutputs,
    SendSubmission,
    SendUnfinished,
    SupervisorSend,
)
from taskfc_ext.core.events import FromClient, Now
from taskfc_ext.core.handlers.lending import refuse_wait
from taskfc_ext.core.scheduler import FORGET_SESSION_AFTER
from taskfc_ext.core.state.sessions import MAX_ANSWERS, ClientSession
from taskfc_ext.core.views.listing import list_tasks
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.client_messages import ErrorKind, Refused, Reply, Stopping
from taskfc_ext.protocol.infos import BarrierCounts, TaskInfo, TaskProgress, WorkerInfo
from taskfc_ext.protocol.limits import MAX_AWAITED, MAX_SESSIONS, MAX_WAITS
from taskfc_ext.protocol.outputs import MAX_DISPLAYS
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.records import AbortAsked, Cleared, Dropped, Requeued, StopAsked, Why
from taskfc_ext.protocol.spec import Kind, OnLost
from taskfc_ext.protocol.supervisor_messages import SetWorkers, Shutdown
from taskfc_ext.protocol.worker_messages import Displayed, Finished, Output, Progress
from tests.core.conversation import (
    ALICE,
    BOB,
    CODE,
    ERROR,
    Conversation,
    dispatched_in,
    messages_to,
    spec,
    to_supervisor,
)


def finish_tasks(n: int = 1, outcome: Outcome = Outcome.OK) -> Conversation:
    talk = Conversation(workers=1)
    talk.submit(n)
    for _ in range(n):
        talk.finish(0, outcome=outcome)
    return talk


# barrier


@pytest.mark.parametrize("taskids", [None, (0, 1), (1, 0, 0)])
def test_a_barrier_is_answered_when_all_have_ended_whatever_they_ended_in(taskids):
    talk = Conversation(workers=1)
    talk.submit(2)
    asked = talk.ask(messages.Barrier, taskids=taskids)
    answer = talk.reply()
    assert asked == Effects()
    assert answer not in messages_to(talk.finish(0, outcome=Outcome.ERROR))
    effects = talk.ask(messages.Abort, taskid=1)
    assert answer not in messages_to(effects)
    assert messages_to(talk.finish(0))[-1] == answer


def test_a_barrier_of_none_is_about_those_unfinished_at_the_call():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(messages.Barrier)
    answer = talk.reply()
    talk.submit(1)
    assert answer in messages_to(talk.finish(0))


@pytest.mark.parametrize("taskids", [None, (), (0,)])
def test_a_barrier_on_nothing_unfinished_is_answered_at_once(taskids):
    talk = finish_tasks()
    assert messages_to(talk.ask(messages.Barrier, taskids=taskids)) == [talk.reply()]


@pytest.mark.parametrize("taskids", [(7,), (0, 7), (-1,)])
def test_a_barrier_on_an_unknown_task_is_refused(taskids):
    talk = Conversation()
    talk.submit(1)
    (refusal,) = messages_to(talk.ask(messages.Barrier, taskids=taskids))
    assert (refusal.error, refusal.value) == (ErrorKind.UNKNOWN_TASK, {"taskids": [min(taskids, key=lambda t: t == 0)]})
    assert not talk.farm.barriers


@pytest.mark.parametrize("kind", [messages.Barrier, messages.AwaitBroadcast])
def test_a_client_that_waits_for_too_much_is_refused_and_others_are_not(kind):
    talk = Conversation()
    talk.submit(1)
    for _ in range(MAX_WAITS):
        assert messages_to(talk.ask(messages.Barrier)) == []
    fields = {"number": 1} if kind is messages.AwaitBroadcast else {}
    (refusal,) = messages_to(talk.ask(kind, **fields))
    assert (refusal.error, f"{MAX_WAITS:,} open waits" in refusal.message) == (ErrorKind.TOO_MUCH, True)
    assert messages_to(talk.ask(messages.Barrier, BOB)) == []
    talk.ask(messages.Unwait, barrier=2)
    assert messages_to(talk.ask(messages.Barrier)) == [], "there is room again"


def test_the_tasks_that_a_client_waits_for_are_counted_over_all_its_waits():
    talk = Conversation()
    talk.submit(1)
    client = talk.farm.sessions[ALICE]
    talk.ask(messages.Barrier)
    (barrier,) = talk.farm.barriers.values()
    assert refuse_wait(talk.farm, client, 9, MAX_AWAITED - len(barrier.remaining)) is None
    assert refuse_wait(talk.farm, client, 9, MAX_AWAITED).error is ErrorKind.TOO_MUCH


def test_a_barrier_that_is_asked_again_after_a_restart_does_not_mind_what_was_cleared():
    talk = finish_tasks()
    talk.submit(1)
    talk.ask(messages.Barrier, taskids=(0, 1))
    barrier = messages.Barrier(seq=talk.seqs[ALICE], taskids=(0, 1))
    talk.ask(messages.Clear, taskids=(0,))
    talk.restart()
    assert messages_to(talk.client(ALICE, barrier)) == []
    talk.join(5)
    assert Reply(barrier.seq) in messages_to(talk.finish(5))


def test_a_resent_barrier_stays_one_and_is_answered_once():
    talk = Conversation(workers=1)
    talk.submit(1)
    barrier = messages.Barrier(seq=2)
    assert [talk.client(ALICE, barrier) for _ in range(2)] == [Effects(), Effects()]
    assert messages_to(talk.finish(0)).count(Reply(2)) == 1
    assert messages_to(talk.client(ALICE, barrier)) == [Reply(2)]


def test_a_barrier_without_a_waiting_client_is_not_answered():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(messages.Barrier)
    seq = talk.seqs[ALICE]
    assert messages_to(talk.ask(messages.Unwait, barrier=seq)) == [talk.reply()]
    assert Reply(seq) not in messages_to(talk.finish(0))


def test_an_open_barrier_counts_its_tasks():
    def counts(session=ALICE):
        (reply,) = messages_to(talk.ask(messages.GetBarrier, session, barrier=barrier), session)
        return reply.value

    talk = Conversation(workers=1)
    talk.submit(9)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.ask(messages.Barrier, taskids=(0, 1, 2, 8))
    barrier = talk.seqs[ALICE]
    assert counts() == BarrierCounts(total=3, left=3)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.ask(messages.AbortTasks, taskids=(7, 8))  # one record of two ends, for one of which the barrier waits
    assert counts() == BarrierCounts(total=3, left=1, failed=2)
    assert counts(BOB) is None, "his barriers have numbers of their own"
    talk.finish(0)
    assert counts() is None


def test_barriers_of_several_clients_fall_together():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(messages.Barrier, ALICE)
    talk.ask(messages.Barrier, BOB)
    effects = talk.finish(0)
    assert talk.reply() in messages_to(effects)
    assert talk.reply(session=BOB) in messages_to(effects, BOB)


# clear


def test_clear_forgets_what_is_finished_and_nothing_else():
    talk = Conversation(workers=1)
    talk.submit(3)
    talk.finish(0), talk.finish(0, outcome=Outcome.ERROR)
    effects = talk.ask(messages.Clear)
    assert effects == Effects(
        records=(Cleared((0, 1), ALICE, 2),), sends=(ClientSend(ALICE, Reply(2, 2)),), wake_at=effects.wake_at
    )
    assert [talk.farm.knows(taskid) for taskid in range(3)] == [False, False, True]
    assert messages_to(talk.ask(messages.Clear)) == [talk.reply(0)]


def test_clear_of_unfinished_ones_does_nothing():
    talk = Conversation(workers=1)
    talk.submit(2)
    assert messages_to(talk.ask(messages.Clear, taskids=(0, 1))) == [talk.reply(0)]
    assert (talk.state(0), talk.state(1)) == ("scheduled", "scheduled")


@pytest.mark.parametrize("restart", [False, True])
def test_clear_of_unknown_ids_clears_the_rest_and_then_names_them(restart):
    talk = finish_tasks(3)
    message = messages.Clear(seq=9, taskids=(0, 77, 1, -5, 77, 0))
    (refusal,) = messages_to(talk.client(ALICE, message))
    assert refusal == Refused(
        9, ErrorKind.UNKNOWN_TASKS, "unknown task ids: 77, -5; the 2 others were cleared",
        value={"taskids": [77, -5], "n_cleared": 2},
    )  # fmt: skip
    assert [talk.farm.knows(taskid) for taskid in range(3)] == [False, False, True]
    if restart:
        talk.restart()
    effects = talk.client(ALICE, message)
    assert (messages_to(effects), effects.records) == ([refusal], ())


def test_cleared_tasks_are_unknown_to_clear():
    talk = finish_tasks()
    talk.ask(messages.Clear)
    (refusal,) = messages_to(talk.ask(messages.Clear, taskids=(0,)))
    assert refusal.value == {"taskids": [0], "n_cleared": 0}


def test_many_unknown_ids_are_counted_and_not_all_shown():
    talk = Conversation()
    (refusal,) = messages_to(talk.ask(messages.Clear, taskids=tuple(range(100))))
    assert refusal.message.endswith("8, 9, ...; nothing was cleared")
    assert refusal.value["taskids"] == list(range(100))


def test_ids_are_not_used_again_after_clear():
    talk = finish_tasks(2)
    talk.ask(messages.Clear)
    assert talk.submit(1) == [2]
    talk.restart()
    assert talk.submit(1) == [3]


# status and lists


def test_queue_status_counts_every_state():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.submit(4)
    talk.submit(2, after=(4,))
    talk.finish(0)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.start(0)
    talk.ask(messages.Abort, taskid=3)
    counts = {"waiting": 2, "scheduled": 1, "pending": 1, "succeeded": 1, "failed": 1, "aborted": 1}
    ids = {"waiting": [5, 6], "scheduled": [4], "pending": [2], "succeeded": [0], "failed": [1], "aborted": [3]}
    assert messages_to(talk.ask(messages.QueueStatus)) == [talk.reply(counts)]
    assert messages_to(talk.ask(messages.QueueStatus, verbose=True)) == [talk.reply(ids)]
    talk.ask(messages.Clear)
    counts |= {"succeeded": 0, "failed": 0, "aborted": 0}
    assert messages_to(talk.ask(messages.QueueStatus)) == [talk.reply(counts)]


def test_every_reason_of_failure_counts_as_failed():
    talk = finish_tasks(1, Outcome.ERROR)
    talk.submit(1, after=(0,))
    (answer,) = messages_to(talk.ask(messages.QueueStatus, verbose=True))
    assert answer.value["failed"] == [0, 1]


def test_the_list_shows_what_is_known_of_live_tasks():
    talk = Conversation(workers=1)
    talk.submit(1, name="fit", priority=4, retries=1)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.start(0, elapsed=2.0)
    (listed,) = messages_to(talk.ask(messages.ListTasks))
    info = TaskInfo(
        taskid=0, name="fit", label="f", state="running", worker=0, attempts=2, priority=4,
        submitted=talk.time.wall, elapsed=2.0, owner="a",
    )  # fmt: skip
    assert listed == SendList(2, (info,), None, None, None, None, 1000)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, [0, 1, 2, 3]),
        ({"limit": 2}, [2, 3]),
        ({"taskids": (1, 3, 9)}, [1, 3]),
        ({"states": ("waiting",)}, [2]),
        ({"states": ("running", "waiting")}, [0, 2]),
        ({"name": "fit"}, [3]),
        ({"owner": "b"}, [3]),
        ({"owner": "b", "states": ("running",)}, []),
    ],
)
def test_lists_are_filtered(filters, ids):
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.start(0)
    talk.submit(1, after=(0,))
    talk.submit(1, BOB, name="fit")
    (listed,) = messages_to(talk.ask(messages.ListTasks, **filters))
    assert [info.taskid for info in listed.live] == ids


def test_a_list_by_ids_looks_at_no_other_task():
    class WithoutScan(dict):
        def values(self):
            raise AssertionError("there may be a million")

    talk = Conversation(workers=1)
    talk.submit(3)
    talk.farm.tasks = WithoutScan(talk.farm.tasks)
    listing = messages.ListTasks(9, 0, taskids=(2, 0, 2, 7))
    assert [info.taskid for info in list_tasks(talk.farm, listing, Now(0.0, 0.0)).live] == [0, 2]


def test_the_log_of_a_live_task_is_what_it_printed_so_far():
    talk = Conversation(workers=1)
    talk.submit(1)
    assert messages_to(talk.ask(messages.GetLog, taskid=0)) == [talk.reply(())]
    talk.worker(0, Output(1, ("one ",)))
    talk.worker(0, Output(1, ("two",)))
    talk.worker(0, Output(99, ("nobody's",)))
    assert messages_to(talk.ask(messages.GetLog, taskid=0)) == [talk.reply(("one two",))]
    talk.worker(0, Output(1, ("x" * 70_000,)))
    assert len(messages_to(talk.ask(messages.GetLog, taskid=0))[0].value[0]) == 64 * 1024


def progress_of(talk, taskid=0):
    (listed,) = messages_to(talk.ask(messages.ListTasks, taskids=(taskid,)))
    return [info.progress for info in listed.live]


def test_the_progress_of_an_attempt_is_kept_while_it_runs():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1)
    talk.start(0)
    assert progress_of(talk) == [None]
    before = list(talk.records)
    effects = talk.worker(0, Progress(1, 4, 10, "fit"))
    assert (effects.records, effects.sends, talk.records) == ((), (), before)
    assert progress_of(talk) == [TaskProgress(4, 10, "fit")]
    talk.worker(0, Progress(99, 5))
    assert progress_of(talk) == [TaskProgress(4, 10, "fit")], "a stale lease has no effect"
    talk.finish(0, outcome=Outcome.ERROR)
    talk.start(0)
    assert progress_of(talk) == [None], "a new attempt starts without"
    talk.worker(0, Progress(1, 9))
    assert progress_of(talk) == [None]


def test_a_progress_bar_that_is_drawn_again_does_not_fill_the_log():
    talk = Conversation(workers=1)
    talk.submit(1)
    for text in ("one\n", "\r10%", "\r50%", "\r90%"):
        talk.worker(0, Output(1, (text,)))
    assert messages_to(talk.ask(messages.GetLog, taskid=0)) == [talk.reply(("one\n\r90%",))]


def test_each_attempt_has_a_new_log():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1)
    talk.worker(0, Output(1, ("first",)))
    talk.finish(0, outcome=Outcome.ERROR)
    assert messages_to(talk.ask(messages.GetLog, taskid=0)) == [talk.reply(())]


def test_the_log_of_a_finished_task_comes_from_the_store():
    talk = finish_tasks()
    assert messages_to(talk.ask(messages.GetLog, taskid=0)) == [SendLog(talk.seqs[ALICE], 0)]
    (refusal,) = messages_to(talk.ask(messages.GetLog, taskid=1))
    assert refusal.error is ErrorKind.UNKNOWN_TASK


def shown_to(talk, known=""):
    (answer,) = messages_to(talk.ask(messages.GetOutputs, taskid=0, known=known))
    return answer.value["version"], answer.value["outputs"]


def test_displays_of_a_running_task_are_sent_once():
    talk = Conversation(workers=1)
    talk.submit(1)
    assert shown_to(talk) == ("", None), "nothing is what every client has already"
    before = list(talk.records)
    effects = talk.worker(0, Displayed(1, 1, 0, (b"a", b"b")))
    assert (effects.records, effects.sends, talk.records) == ((), (), before)
    assert shown_to(talk) == ("1.1", (b"a", b"b"))
    assert shown_to(talk, "1.1") == ("1.1", None)
    talk.worker(0, Displayed(1, 2, 1, (b"c",)))
    assert shown_to(talk, "1.1") == ("1.2", (b"a", b"c"))
    talk.worker(0, Displayed(99, 3, 0, (b"nobody's",)))
    talk.worker(0, Displayed(1, 3, 3, (b"what came before was never heard",)))
    assert shown_to(talk, "1.2") == ("1.2", None)
    talk.worker(0, Displayed(1, 3, 0, ()))
    assert shown_to(talk, "1.2") == ("1.3", ())
    talk.worker(0, Displayed(1, 4, 0, (b"x",) * MAX_DISPLAYS))
    talk.worker(0, Displayed(1, 5, MAX_DISPLAYS, (b"y",)))
    assert shown_to(talk)[1] == (*(b"x",) * (MAX_DISPLAYS - 1), b"y")


def test_details_of_a_running_task_are_one_answer():
    talk = Conversation(workers=1)
    talk.submit(1)
    (answer,) = messages_to(talk.ask(messages.GetDetails, taskid=0))
    assert (answer.value.task.taskid, answer.value.printed, answer.value.outputs) == (0, (), None)
    talk.start(0)
    talk.worker(0, Output(1, ("one ", "two")))
    talk.worker(0, Progress(1, 4, 10, "fit"))
    talk.worker(0, Displayed(1, 1, 0, (b"a", b"b")))
    (answer,) = messages_to(talk.ask(messages.GetDetails, taskid=0, tail=5))
    details = answer.value
    assert (details.task.state, details.task.progress) == ("running", TaskProgress(4, 10, "fit"))
    assert (details.printed, details.n_cut) == (("e ", "two"), 2)
    assert (details.version, details.outputs, details.failure) == ("1.1", (b"a", b"b"), None)
    (answer,) = messages_to(talk.ask(messages.GetDetails, taskid=0, known="1.1"))
    assert (answer.value.printed, answer.value.outputs) == (("one ", "two"), None)


def test_details_of_a_finished_task_come_from_the_store():
    talk = finish_tasks()
    (send,) = messages_to(talk.ask(messages.GetDetails, taskid=0, known="1.1", tail=9, source=5))
    asked = messages.GetDetails(talk.seqs[ALICE], 0, taskid=0, known="1.1", tail=9, source=5)
    assert send == SendDetails(asked)
    (refusal,) = messages_to(talk.ask(messages.GetDetails, taskid=1))
    assert refusal.error is ErrorKind.UNKNOWN_TASK


def test_the_source_of_a_running_task_comes_from_the_store():
    talk = Conversation(workers=1)
    talk.submit(1, kind=Kind.CELL)
    (send,) = messages_to(talk.ask(messages.GetDetails, taskid=0, source=9))
    assert (send.asked.source, send.live.task.taskid) == (9, 0)
    (answer,) = messages_to(talk.ask(messages.GetDetails, taskid=0))
    assert answer.value == send.live, "without a wish for its source, the core has all"


def test_an_attempt_shows_nothing_of_the_one_before():
    talk = Conversation(workers=1)
    talk.submit(1, retries=1)
    talk.worker(0, Displayed(1, 1, 0, (b"first",)))
    talk.finish(0, outcome=Outcome.ERROR)
    assert shown_to(talk, "1.1") == ("", ())
    talk.worker(0, Displayed(2, 1, 0, (b"second",)))
    assert shown_to(talk, "1.1") == ("2.1", (b"second",))


def test_displays_of_a_finished_task_come_from_the_store():
    talk = finish_tasks()
    assert messages_to(talk.ask(messages.GetOutputs, taskid=0, known="1.1")) == [
        SendOutputs(talk.seqs[ALICE], 0, "1.1")
    ]
    (refusal,) = messages_to(talk.ask(messages.GetOutputs, taskid=1))
    assert refusal.error is ErrorKind.UNKNOWN_TASK


def test_workers_are_listed():
    talk = Conversation(workers=2)
    talk.up(2)
    talk.submit(1)
    talk.start(0)
    info = WorkerInfo
    assert messages_to(talk.ask(messages.GetWorkers)) == [
        talk.reply(
            [
                info(worker=0, pid=100, state="busy", running=0, held=1),
                info(worker=1, pid=101, state="idle"),
                info(worker=2, pid=102, state="starting"),
            ]
        )
    ]
    talk.ask(messages.Scale, n=0)
    assert messages_to(talk.ask(messages.GetWorkers))[0].value[1].state == "retiring"


def test_client_names():
    talk = Conversation()
    assert messages_to(talk.ask(messages.GetClientName)) == [talk.reply(ALICE)]
    talk.client(ALICE, messages.Hello(1, "0", "3.11", ALICE, label="my notebook"))
    assert messages_to(talk.ask(messages.GetClientName)) == [talk.reply("my notebook")]


# results and their subscribers


def test_results_of_finished_tasks_come_before_the_answer():
    talk = finish_tasks(2)
    talk.submit(1)
    effects = talk.ask(messages.GetResults, taskids=(0, 2, 1))
    assert messages_to(effects) == [SendEnded((0, 1)), SendUnfinished(talk.seqs[ALICE], (2,), (0, 1))]


@pytest.mark.parametrize("taskids", [(9,), (0, 9), (-1,)])
def test_results_of_unknown_tasks_are_refused_all_together(taskids):
    talk = finish_tasks()
    (refusal,) = messages_to(talk.ask(messages.GetResults, taskids=taskids, watch=True))
    assert refusal.error is ErrorKind.UNKNOWN_TASK
    assert talk.farm.result_subscribers == {}


def test_another_session_watches_a_task():
    talk = Conversation(workers=1)
    talk.submit(2)
    talk.ask(messages.GetResults, BOB, taskids=(0,), watch=True)
    effects = talk.finish(0)
    (ended,) = messages_to(effects, BOB)
    assert messages_to(effects, ALICE) == [ended]
    assert messages_to(talk.finish(0), BOB) == []


def test_without_watch_nothing_comes_later():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.ask(messages.GetResults, BOB, taskids=(0,))
    assert messages_to(talk.finish(0), BOB) == []


def test_parts_of_a_report_keep_their_columns_together():
    talk = finish_tasks(1)
    talk.farm.mean_seconds[spec().code] = 0.0001
    talk.submit(2, ALICE)
    talk.submit(2, BOB)
    leases = talk.leases_of(0)
    assert len(leases) == 4
    report = Finished(
        seq=99, leases=tuple(leases), outcomes=(0, 1, 0, 1), values=(b"w", ERROR, b"y", ERROR),
        seconds=(1.0, 2.0, 3.0, 4.0), outputs={leases[2]: ("hello",), leases[0]: ("hi",)},
        displays={leases[2]: (b"figure",)},
    )  # fmt: skip
    effects = talk.worker(0, report)
    (mine,) = messages_to(effects, ALICE)
    (theirs,) = messages_to(effects, BOB)
    assert (mine.ids, mine.reasons, mine.values, mine.seconds, mine.outputs) == (
        (1, 2), ("", "error"), (b"w", ERROR), (1.0, 2.0), {1: ("hi",)},
    )  # fmt: skip
    assert (theirs.ids, theirs.reasons, theirs.values, theirs.seconds, theirs.outputs) == (
        (3, 4), ("", "error"), (b"y", ERROR), (3.0, 4.0), {3: ("hello",)},
    )  # fmt: skip
    assert (mine.displays, theirs.displays) == ({}, {3: (b"figure",)})


@pytest.mark.parametrize(("field", "value"), [("outputs", ("hi",)), ("displays", (b"figure",))])
def test_successes_alone_keep_their_output(field, value):
    talk = finish_tasks(1)
    talk.farm.mean_seconds[spec().code] = 0.0001
    talk.submit(2)
    first, second = talk.leases_of(0)
    report = Finished(
        seq=99, leases=(first, second), outcomes=(0, 0), values=(b"x", b"y"), seconds=(1.0, 1.0),
        **{field: {second: value}},
    )  # fmt: skip
    (ended,) = messages_to(talk.worker(0, report), ALICE)
    assert (ended.ids, ended.reasons, getattr(ended, field)) == ((1, 2), ("", ""), {2: value})


# one answer each


def requests_that_change() -> list[messages.Request]:
    return [
        messages.Submit(seq=5, spec=spec(), bodies=(b"x", b"y"), name="twice"),
        messages.Abort(seq=5, taskid=1),
        messages.Abort(seq=5, taskid=2),
        messages.Clear(seq=5),
        messages.Clear(seq=5, taskids=(0, 9)),
    ]


@pytest.mark.parametrize("message", requests_that_change(), ids=repr)
@pytest.mark.parametrize("restart", [False, True])
def test_a_repeat_gets_the_first_answer_and_changes_nothing(message, restart):
    talk = finish_tasks()
    talk.submit(2)
    answers = messages_to(talk.client(ALICE, message))[:1]
    durable = [type(record) for record in talk.records]
    if restart:
        talk.restart()
        durable = [type(record) for record in talk.records]
    effects = talk.client(ALICE, message)
    assert messages_to(effects) == answers
    assert effects.records == ()
    assert [type(record) for record in talk.records] == durable


def test_answers_are_of_one_session():
    talk = Conversation()
    talk.submit(1, ALICE)
    talk.submit(1, BOB)
    assert messages_to(talk.client(BOB, messages.Submit(seq=1, spec=spec(), bodies=(b"x",))), BOB) == [
        messages.Accepted(1, 1)
    ]
    assert talk.farm.next_id == 2


def test_reads_are_answered_again_from_the_present_state():
    talk = Conversation(workers=1)
    talk.submit(1)
    question = messages.QueueStatus(seq=7)
    first = messages_to(talk.client(ALICE, question))
    talk.finish(0)
    assert messages_to(talk.client(ALICE, question)) != first


def test_acknowledged_answers_are_forgotten():
    talk = Conversation()
    talk.submit(3)
    for _ in range(5):
        talk.ask(messages.Spin)
    client = talk.farm.sessions[ALICE]
    assert list(client.answers) == [1, 2, 3, 4, 5, 6]
    talk.client(ALICE, messages.Ping(seq=20, acked=4))
    assert list(client.answers) == [4, 5, 6]
    assert talk.client(ALICE, messages.Spin(seq=2)) == Effects()


def test_a_copy_that_was_overtaken_changes_nothing():
    talk = Conversation()
    talk.client(ALICE, messages.Ping(seq=9, acked=9))
    assert talk.client(ALICE, messages.Submit(seq=3, spec=spec(), bodies=(b"x",))) == Effects()
    assert talk.farm.next_id == 0


def test_answers_are_bounded():
    client = ClientSession(ALICE)
    for seq in range(1, MAX_ANSWERS + 10):
        client.remember(Reply(seq))
    assert len(client.answers) == MAX_ANSWERS
    assert 9 not in client.answers
    assert 10 in client.answers


# sessions


def test_a_session_without_a_hello_is_asked_for_one():
    talk = Conversation()
    stranger = "c" * 16
    (refusal,) = messages_to(talk.client(stranger, messages.Ping(seq=3)), stranger)
    assert (refusal.seq, refusal.error) == (3, ErrorKind.SAY_HELLO)
    (refusal,) = messages_to(talk.client(stranger, messages.Define(b"x" * 16, b"")), stranger)
    assert refusal.seq == 0


def test_after_a_lost_connection_a_session_says_hello_again_and_keeps_its_answers():
    talk = Conversation()
    talk.submit(1)
    talk.lose_client()
    submit = messages.Submit(seq=1, spec=spec(), bodies=(b"x",))
    (refusal,) = messages_to(talk.client(ALICE, submit))
    assert refusal.error is ErrorKind.SAY_HELLO
    talk.hello()
    assert messages_to(talk.client(ALICE, submit)) == [messages.Accepted(1, 0)]


def test_a_lost_client_takes_its_barriers_and_watches_along_and_nothing_else():
    talk = Conversation(workers=1)
    talk.submit(1, ALICE)
    talk.ask(messages.Barrier, BOB)
    talk.ask(messages.GetResults, BOB, taskids=(0,), watch=True)
    talk.ask(messages.Barrier, ALICE)
    talk.lose_client(BOB)
    assert list(talk.farm.barriers) == [(ALICE, 2)]
    assert talk.farm.result_subscribers == {}
    assert messages_to(talk.finish(0), BOB) == []
    assert talk.state(0) == "succeeded"


def test_a_session_that_stays_away_is_forgotten_and_a_connected_one_is_not():
    talk = Conversation()
    talk.submit(1, BOB)
    talk.lose_client(BOB)
    talk.wait_with_ticks(FORGET_SESSION_AFTER)
    assert BOB in talk.farm.sessions
    talk.wait(1.0)
    assert BOB not in talk.farm.sessions
    assert ALICE in talk.farm.sessions


@pytest.mark.parametrize("has_begun", [True, False])
def test_time_in_which_the_controller_was_stopped_does_not_count_against_its_clients(has_begun):
    """A client that was stopped with it repeats the submission that was not answered, and it is accepted once."""
    talk = Conversation()
    talk.submit(1, BOB)
    talk.lose_client(BOB)
    if has_begun:
        talk.wait_with_ticks(10.0)
    talk.wait(FORGET_SESSION_AFTER + 100.0)
    assert BOB in talk.farm.sessions
    talk.wait_with_ticks(FORGET_SESSION_AFTER + 10.0)
    assert BOB not in talk.farm.sessions


def test_a_session_that_has_only_read_is_forgotten_with_its_connection():
    talk = Conversation()
    talk.ask(messages.Ping, BOB)
    talk.lose_client(BOB)
    assert set(talk.farm.sessions) == {ALICE}


def test_a_farm_takes_so_many_clients_and_says_so():
    talk = Conversation()
    known = talk.farm.sessions
    for number in range(MAX_SESSIONS - len(known)):
        known[f"{number:016x}"] = ClientSession(f"{number:016x}")
    hello = messages.Hello(1, "0", "3.11", "f" * 16)
    (refusal,) = messages_to(talk.client("f" * 16, hello), "f" * 16)
    assert (refusal.seq, refusal.error) == (0, ErrorKind.TOO_MUCH)
    assert len(known) == MAX_SESSIONS
    assert messages_to(talk.client(ALICE, messages.Hello(1, "0", "3.11", ALICE))) == [], "a known one may come back"


def test_sessions_of_the_store_have_time_to_come_back():
    talk = Conversation()
    talk.submit(1)
    talk.now += 10**6
    talk.restart()
    talk.lose_client(ALICE)
    talk.wait(1.0)
    assert ALICE in talk.farm.sessions


def test_the_same_code_is_stored_once():
    talk = Conversation()
    define = messages.Define(b"n" * 16, b"code")
    assert talk.client(ALICE, define).records == (define,)
    assert talk.client(BOB, define) == Effects()
    talk.submit(code=b"n" * 16)
    talk.restart()
    assert talk.client(ALICE, define) == Effects()


# stop


def test_stop_is_answered_recorded_and_sent_to_all_connected_clients():
    talk = Conversation(workers=1)
    talk.lose_client(BOB)
    effects = talk.ask(messages.Stop)
    assert effects == Effects(
        records=(StopAsked(talk.time.wall), Dropped((CODE,))),
        sends=(ClientSend(ALICE, Reply(1)), ClientSend(ALICE, Stopping()), SupervisorSend(Shutdown())),
        exit=False,
    )


def test_after_stop_nothing_is_dispatched_or_answered_and_results_still_count():
    talk = Conversation(workers=2)
    talk.submit(3)
    talk.ask(messages.Stop)
    assert talk.ask(messages.Submit, spec=spec(), bodies=(b"x",)) == Effects()
    effects = talk.finish(0)
    assert dispatched_in(effects) == []
    assert talk.state(0) == "succeeded"
    assert messages_to(talk.hello(BOB), BOB) == [Stopping()]


def test_the_farm_ends_with_its_last_worker():
    talk = Conversation(workers=2)
    talk.submit(2)
    assert not talk.ask(messages.Stop).exit
    assert not talk.die(0, planned=True).exit
    assert talk.die(1, planned=True).exit


def test_a_farm_without_workers_ends_at_once():
    talk = Conversation()
    assert talk.ask(messages.Stop).exit


def test_a_farm_is_not_stopped_twice():
    talk = Conversation(workers=1)
    talk.scheduler.stop(talk.time)
    assert talk.scheduler.stop(Now(2000.0, 0.0)).records == ()


def test_stop_returns_what_runs_free_of_charge_and_loses_what_may_run_only_once():
    talk = Conversation(workers=2)
    talk.submit(1)
    talk.submit(1, on_lost=OnLost.FAIL)
    talk.start(0), talk.start(1)
    talk.ask(messages.Stop)
    assert talk.die(0, planned=True).records == (Requeued((0,), Why.RETURNED),)
    talk.die(1, planned=True)
    assert talk.state(1) == "lost"
    talk.restart()
    assert not talk.farm.stop_asked
    assert dispatched_in(talk.join(7)) == [(7, 0)]


def test_everything_that_waits_is_there_after_a_restart_in_order():
    talk = Conversation()
    talk.submit(2, ALICE, name="a")
    talk.submit(1, BOB, priority=1)
    talk.submit(1, after=(0,))
    talk.ask(messages.Abort, taskid=1)
    talk.restart()
    assert talk.farm.queue.ids() == [2, 0]
    assert [talk.state(taskid) for taskid in range(4)] == ["scheduled", "aborted", "scheduled", "waiting"]
    assert talk.farm.names == {"a": 1}
    assert talk.farm.incarnation == 2
    assert any(isinstance(record, AbortAsked) for record in talk.records)


def test_an_end_after_a_restart_is_sent_to_the_session_that_submitted():
    talk = Conversation(workers=1)
    talk.submit(1, BOB)
    talk.restart(alive=[0])
    talk.ready(0, (1,))
    assert [message.ids for message in messages_to(talk.finish(0, [1]), BOB)] == [(0,)]


def test_a_request_without_a_handler_is_a_bug():
    talk = Conversation()
    with pytest.raises(AssertionError, match="without a handler"):
        talk.scheduler.handle(FromClient(ALICE, messages.Request(seq=1)), talk.time)


def test_reads_send_nothing_to_the_supervisor():
    talk = finish_tasks()
    for kind in (messages.QueueStatus, messages.ListTasks, messages.GetWorkers, messages.Ping, messages.Spin):
        assert to_supervisor(talk.ask(kind)) == []


def test_the_submission_of_a_task_is_in_the_store():
    talk = Conversation()
    talk.submit(1)
    assert talk.ask(messages.GetSubmission, taskid=0) == Effects(sends=(ClientSend(ALICE, SendSubmission(2, 0)),))
    (refusal,) = messages_to(talk.ask(messages.GetSubmission, taskid=1))
    assert refusal.error is messages.ErrorKind.UNKNOWN_TASK


def test_workers_that_were_started_before_fewer_were_wanted_end_again():
    talk = Conversation(workers=1)
    talk.ask(messages.Scale, n=4)
    talk.ask(messages.Scale, n=1)
    for worker in (1, 2, 3):
        assert to_supervisor(talk.up(worker)) == []
    assert to_supervisor(talk.wait(1.0)) == [SetWorkers(1, (3, 2, 1), 0)]
    assert to_supervisor(talk.wait(1.0)) == []
