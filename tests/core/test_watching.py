"""Subscriptions to the queue: contents, receivers and times of the messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskfc_ext.core.effects import ClientSend, Effects, SendSnapshot
from taskfc_ext.core.events import Tick
from taskfc_ext.core.views.rows import N_FINISHED
from taskfc_ext.core.views.subscriptions import PAUSE
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.client_messages import (
    Abort,
    Changed,
    Clear,
    Hold,
    Move,
    Reply,
    Scale,
    Spin,
    Submit,
    Unwatch,
    Watch,
)
from taskfc_ext.protocol.infos import TaskProgress, WorkerInfo
from taskfc_ext.protocol.payloads import Failure, Outcome, Reason, encode_failure
from taskfc_ext.protocol.snapshots import (
    MAX_BATCHES,
    MAX_ROWS,
    Batch,
    Counts,
    Note,
    QueueDelta,
    QueueSnapshot,
    Rows,
    Run,
)
from taskfc_ext.protocol.spec import Recovery
from taskfc_ext.protocol.states import StateCode
from taskfc_ext.protocol.worker_messages import Progress, PropertiesChanged
from tests.core.conversation import ALICE, BOB, Conversation, messages_to, spec
from tests.core.subscriber import Subscriber

CAROL, DAVE = "c" * 16, "d" * 16
WALL = 1_700_000_000.0
START = WALL + 1000.0  # the wall-clock time at which a conversation begins


def deltas(effects: Effects, session: str = BOB) -> list[QueueDelta]:
    return [message.delta for message in messages_to(effects, session) if isinstance(message, Changed)]


def snapshot(effects: Effects, session: str = BOB) -> QueueSnapshot:
    (found,) = [message.snapshot for message in messages_to(effects, session) if isinstance(message, SendSnapshot)]
    return found


def start_watching(**options) -> Conversation:
    """Return a conversation in which BOB has subscribed."""
    talk = Conversation(**options)
    talk.ask(Watch, BOB)
    talk.now += 10.0
    return talk


def deltas_after(talk: Conversation, effects: Effects) -> list[QueueDelta]:
    """Return the deltas that BOB received, or receives when the pause is over."""
    return deltas(effects) + deltas(talk.wait(PAUSE))


# the snapshot


def test_a_snapshot_has_the_whole_queue_and_no_more():
    talk = Conversation(workers=1, name="farm")
    talk.submit(3, name="fit", priority=2)
    talk.start(0)
    talk.submit(2, session=BOB)
    assert talk.ask(Watch, BOB) == Effects(
        sends=(
            ClientSend(
                BOB,
                SendSnapshot(
                    2,
                    QueueSnapshot(
                        seq=0,
                        farm="farm",
                        incarnation=1,
                        wall=START,
                        counts=Counts(scheduled=4, running=1),
                        n_workers=1,
                        workers=(WorkerInfo(worker=0, pid=100, state="busy", running=0, held=1),),
                        batches=(
                            Batch(first=0, n=3, label="f", name="fit", owner="a", submitted=START, priority=2),
                            Batch(first=3, n=2, label="f", owner="b", submitted=START),
                        ),
                        runs=(Run(1, 4, StateCode.SCHEDULED),),
                        rows=Rows(
                            ids=(0,),
                            states=(StateCode.RUNNING,),
                            workers=(0,),
                            attempts=(1,),
                            started=(START,),
                            completed=(0.0,),
                            seconds=(0.0,),
                        ),
                    ),
                ),
            ),
        )
    )


def test_a_repeated_watch_gets_a_new_snapshot_and_its_numbers_go_on():
    talk = start_watching()
    talk.submit(1)
    again = snapshot(talk.client(BOB, Watch(seq=1)))
    assert (again.seq, again.counts) == (1, Counts(scheduled=1))
    talk.submit(1)
    (delta,) = deltas(talk.wait(PAUSE))
    assert (delta.seq, delta.counts) == (2, Counts(scheduled=2))


# deltas


def test_after_a_quiet_while_a_change_is_sent_at_once():
    talk = start_watching(name="farm")
    talk.submit(1, session=ALICE)
    talk.now += 1.0
    effects = talk.ask(Submit, spec=spec(), bodies=(b"x", b"y"))
    counts = Counts(scheduled=3)
    batch = Batch(first=1, n=2, label="f", owner="a", submitted=START + 11.0)
    run = Run(1, 2, StateCode.SCHEDULED)
    delta = QueueDelta(seq=2, farm="farm", wall=START + 11.0, counts=counts, n_workers=0, batches=(batch,), runs=(run,))
    assert deltas(effects) == [delta]
    assert effects.wake_at is None


def test_changes_wait_for_the_pause_and_are_sent_with_the_newest_state():
    talk = start_watching()
    assert len(deltas(talk.ask(Submit, spec=spec(), bodies=(b"x",)))) == 1
    talk.now += PAUSE / 2
    effects = talk.ask(Hold, taskids=(0,))
    assert deltas(effects) == []
    assert effects.wake_at == START - WALL + 10.0 + PAUSE
    talk.ask(Move, taskids=(0,), priority=7)
    assert len(talk.farm.timers) == 1
    talk.ask(Hold, taskids=(0,), held=False)
    (delta,) = deltas(talk.wait(PAUSE))
    assert delta.rows.notes == {0: Note(priority=7)}
    assert talk.wait(PAUSE) == Effects()


def test_the_pause_is_over_when_its_timer_fires():
    """Rounding of the sum must not set the timer for the present time again and again."""
    talk = start_watching()
    for now in (0.1, 0.7, 1234.5678, 98765.4321):
        talk.now = now + 10_000.0
        talk.ask(Submit, spec=spec(), bodies=(b"x",))
        effects = talk.ask(Submit, spec=spec(), bodies=(b"x",))
        talk.now = effects.wake_at
        effects = talk.handle(Tick())
        assert len(deltas(effects)) == 1
        assert effects.wake_at is None


def test_reads_cause_no_delta():
    talk = start_watching(workers=1)
    assert deltas(talk.ask(messages.ListTasks)) == []
    assert deltas(talk.ask(Hold, taskids=(99, -1))) == []
    assert talk.wait(1.0) == Effects()


def test_an_end_is_sent_with_everything_that_lists_show():
    talk = start_watching(workers=1)
    talk.submit(1)
    talk.now += 1.0
    effects = talk.finish(0, outcome=Outcome.ERROR, value=encode_failure(Failure(Reason.ERROR, f" {'x' * 300}\nmore")))
    (delta,) = deltas(effects)
    assert delta.rows == Rows(
        ids=(0,),
        states=(StateCode.FAILED,),
        workers=(0,),
        attempts=(1,),
        started=(0.0,),
        completed=(talk.time.wall,),
        seconds=(0.5,),
        notes={0: Note(reason="error", message="x" * 200)},
    )
    assert (delta.runs, delta.batches, delta.cleared) == ((), (), ())
    assert delta.counts == Counts(failed=1, n_ended=1)
    assert delta.workers == (WorkerInfo(worker=0, pid=100, state="idle"),)


def test_a_task_cleared_before_its_end_was_sent_is_sent_as_cleared_only():
    talk = start_watching(workers=1)
    talk.submit(3)
    talk.now += PAUSE / 2
    talk.finish(0)
    talk.finish(0)
    talk.ask(Clear, taskids=(0, 77))
    (delta,) = deltas(talk.wait(PAUSE))
    assert (delta.rows.ids, delta.runs, delta.cleared) == ((1,), (), ((0, 1),))
    talk.ask(Clear)
    (delta,) = deltas(talk.wait(PAUSE))
    assert (delta.rows, delta.runs, delta.cleared) == (Rows(), (), ((1, 1),))


def test_workers_are_sent_only_when_they_have_changed():
    talk = start_watching(workers=1)
    (delta,) = deltas_after(talk, talk.ask(Submit, spec=spec(), bodies=(b"x",)))
    assert [worker.state for worker in delta.workers] == ["busy"]
    (delta,) = deltas_after(talk, talk.ask(Submit, spec=spec(), bodies=(b"x",)))
    assert delta.workers is None
    (delta,) = deltas_after(talk, talk.ask(Scale, n=3))
    assert (delta.workers, delta.n_workers) == (None, 3)


# receivers


def test_each_subscriber_has_numbers_of_its_own_and_a_new_one_waits_for_nothing():
    talk = start_watching(name="farm")
    talk.submit(1)
    talk.submit(1)
    talk.hello(CAROL)
    effects = talk.ask(Watch, CAROL)
    assert [delta.seq for delta in deltas(effects, BOB)] == [2]
    assert snapshot(effects, CAROL).seq == 0
    effects = talk.ask(Scale, n=4)
    assert deltas(effects) == []
    effects = talk.wait(PAUSE)
    (bobs,), (carols,) = deltas(effects, BOB), deltas(effects, CAROL)
    assert (bobs.seq, carols.seq) == (3, 1)
    assert (bobs.n_workers, bobs.counts) == (carols.n_workers, carols.counts) == (4, Counts(scheduled=2))


@pytest.mark.parametrize(
    "end",
    [
        lambda talk: talk.ask(Unwatch, BOB),
        lambda talk: talk.lose_client(BOB),
        lambda talk: talk.hello(BOB),
    ],
    ids=["unwatch", "lost", "on a new connection"],
)
def test_after_an_unwatch_nothing_is_sent_or_kept(end):
    talk = start_watching()
    end(talk)
    assert talk.farm.subscribers is None
    assert deltas(talk.ask(Scale, n=5)) == []


def test_the_end_of_watching_is_answered():
    talk = start_watching()
    assert talk.ask(Unwatch, BOB) == Effects(sends=(ClientSend(BOB, Reply(2)),))
    assert talk.client(BOB, Unwatch(seq=2)) == Effects(sends=(ClientSend(BOB, Reply(2)),))


def test_a_resent_end_of_watching_ends_it_again():
    """On a new connection a client repeats both, in order."""
    talk = start_watching()
    talk.ask(Unwatch, BOB)
    talk.hello(BOB)
    talk.client(BOB, Watch(seq=1))
    talk.client(BOB, Unwatch(seq=2))
    assert talk.farm.subscribers is None


# many tasks


def test_of_very_many_ends_the_newest_have_rows_and_the_others_stand_in_runs():
    talk = start_watching(workers=1)
    talk.checked = False
    n = MAX_ROWS + 500
    talk.submit(n, on_lost="fail")
    talk.wait(1.0)
    for i in range(n):
        talk.finish(0, outcome=Outcome.ERROR if i == 7 else Outcome.OK, seconds=1.0)
    (delta,) = deltas(talk.wait(PAUSE))  # the first end was sent at once
    assert delta.rows.ids == tuple(range(500, n))
    assert delta.runs == (
        Run(1, 6, StateCode.SUCCEEDED),
        Run(7, 1, StateCode.FAILED),
        Run(8, 492, StateCode.SUCCEEDED),
    )


def test_running_tasks_get_a_row_before_newer_ones():
    talk = Conversation(workers=1)
    talk.submit(1)
    talk.start(0)
    n = MAX_ROWS
    talk.submit(n)
    talk.ask(Hold, taskids=tuple(range(1, n + 1)))
    seen = snapshot(talk.ask(Watch, BOB))
    room = MAX_ROWS - N_FINISHED
    assert seen.rows.ids == (0, *range(n + 2 - room, n + 1))
    assert seen.runs == (Run(1, n + 1 - room, StateCode.SCHEDULED, held=True),)


def test_held_tasks_of_any_number_are_sent_as_runs():
    talk = start_watching()
    n = MAX_ROWS + 500
    talk.submit(n)
    talk.wait(1.0)
    every = tuple(range(n))
    (delta,) = deltas(talk.ask(Hold, taskids=every))
    assert delta.runs == (Run(0, 500, StateCode.SCHEDULED, held=True),)
    assert delta.rows.ids == every[500:]
    talk.wait(1.0)
    (delta,) = deltas(talk.ask(Hold, taskids=every, held=False))
    assert (delta.runs, delta.rows.ids) == ((Run(0, n, StateCode.SCHEDULED),), ())


def test_many_submissions_are_sent_in_several_messages_without_a_gap():
    talk = start_watching()
    talk.checked = False
    talk.ask(Scale, n=1)
    n = MAX_BATCHES + 10
    for _ in range(n):
        talk.submit(1)
    first, second = deltas(talk.wait(PAUSE))
    assert [len(first.batches), len(second.batches)] == [MAX_BATCHES, 10]
    assert (first.runs, second.runs) == ((), (Run(0, n, StateCode.SCHEDULED),))
    assert second.seq == first.seq + 1
    talk.hello(CAROL)
    (message,) = messages_to(talk.ask(Watch, CAROL), CAROL)
    size = MAX_BATCHES - N_FINISHED
    parts = [message.snapshot, *message.more]
    assert [len(part.batches) for part in parts] == [size, n - size]
    assert [part.seq for part in parts] == [0, 1]
    assert [part.runs for part in parts] == [(), (Run(0, n, StateCode.SCHEDULED),)]
    assert deltas(talk.ask(Scale, n=2), CAROL) == []
    effects = talk.wait(PAUSE)
    assert [delta.seq for delta in deltas(effects, CAROL)] == [2]
    assert [delta.seq for delta in deltas(effects, BOB)] == [second.seq + 1]


def test_of_unsent_ends_only_the_values_of_failures_are_kept():
    talk = start_watching(workers=1)
    talk.submit(2)
    talk.finish(0, value=b"large")
    talk.finish(0, outcome=Outcome.ERROR)
    ok, failed = talk.farm.subscribers.ends
    assert (ok.values, len(failed.values)) == ((), 1)


# every change of a task is sent


class Followed(Conversation):
    """A conversation with a subscriber, which must know after every event the same as a new one."""

    def __init__(self, **options) -> None:
        self.subscriber, self.passer_by = Subscriber(), Subscriber()
        self.checks = True
        super().__init__(**options)
        self.hello(CAROL)
        self.ask(Watch, CAROL)

    def handle(self, event) -> Effects:
        effects = super().handle(event)
        for session, subscriber in ((CAROL, self.subscriber), (DAVE, self.passer_by)):
            for message in messages_to(effects, session):
                subscriber.receive(message, self.farm, self.records)
        if self.checks and self.subscriber.seq >= 0:
            self.checks = False  # the events of the check are not checked again
            self.lose_client(DAVE)
            self.hello(DAVE)
            self.ask(Watch, DAVE)
            assert self.subscriber.tasks == self.passer_by.tasks
            assert self.passer_by.batches.items() <= self.subscriber.batches.items()
            assert (self.subscriber.whole, self.subscriber.workers) == (self.passer_by.whole, self.passer_by.workers)
            self.checks = True
        return effects

    def note(self, taskid: int = 0) -> Note | None:
        """Return the note of a task that the subscriber has received."""
        return self.subscriber.tasks[taskid][-1]


def starts(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.start(0, elapsed=2.0)
    assert talk.subscriber.tasks[0][:4] == (StateCode.RUNNING, 0, 1, talk.time.wall - 2.0)
    return talk.note()


def gets_on(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.start(0)
    talk.worker(0, Progress(talk.lease_of(0), 1.0, 3.0, "epochs"))
    return talk.note()


def fails_and_waits(talk: Followed) -> Note | None:
    talk.submit(1, retries=2, backoff=4.0)
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.subscriber.tasks[0][:3] == (StateCode.SCHEDULED, 0, 1)
    return talk.note()


def has_waited(talk: Followed) -> Note | None:
    fails_and_waits(talk)
    talk.ask(Hold, taskids=(0,))
    talk.wait(5.0)
    return talk.note()


def is_refused(talk: Followed) -> Note | None:
    talk.submit(1, depend=b"c" * 16)
    talk.finish(0, outcome=Outcome.REFUSED)
    return talk.note()


def is_offered_again(talk: Followed) -> Note | None:
    is_refused(talk)
    talk.ask(Spin)
    return talk.note()


def is_offered_to_whom_suits_it_now(talk: Followed) -> Note | None:
    is_refused(talk)
    talk.worker(0, PropertiesChanged())
    return talk.note()


def is_held(talk: Followed) -> Note | None:
    talk.submit(2)
    talk.ask(Hold, taskids=(1,))
    return talk.note(1)


def is_moved(talk: Followed) -> Note | None:
    talk.submit(2)
    talk.ask(Move, taskids=(0, 1), priority=3)
    return talk.note(1)


def is_being_aborted(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.start(0)
    talk.ask(Abort, taskid=0)
    return talk.note()


def has_had_its_time(talk: Followed) -> Note | None:
    talk.submit(1, timeout=5.0)
    talk.start(0)
    talk.wait(6.0)
    return talk.note()


def kills_its_worker(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.start(0)
    talk.die(0)
    return talk.note()


def runs_again(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.finish(0)
    talk.retry(0)
    talk.finish(0)
    assert talk.subscriber.batches[1].retry_of == (0,)
    return talk.note(1)


def recovers(talk: Followed) -> Note | None:
    talk.submit(1, recovery=Recovery(spec(), b"recovery"))
    talk.start(0)
    talk.finish(0, outcome=Outcome.ERROR)
    assert talk.subscriber.tasks[0][:3] == (StateCode.SCHEDULED, -1, 1)
    return talk.note()


def is_given_back(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.start(0)
    talk.ready(0)
    assert talk.subscriber.tasks[0][:3] == (StateCode.SCHEDULED, -1, 0)
    return talk.note()


def has_waited_for_another(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.submit(2, after=(0,))
    talk.finish(0)
    assert talk.subscriber.tasks[2][0] is StateCode.SCHEDULED
    return talk.note(2)


def comes_after_others(talk: Followed) -> Note | None:
    talk.submit(3)
    talk.submit(1, after=(1, 0), inputs=(2, 1))
    talk.submit(1, after=tuple(range(4)) * 26)
    batches = talk.subscriber.batches
    assert [(batches[first].after, batches[first].n_after) for first in (0, 3, 4)] == [
        ((), 0),
        ((1, 0, 2), 0),
        ((0, 1, 2, 3), 104),
    ]
    return talk.note(3)


def falls_with_another(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.submit(2, after=(0,))
    talk.finish(0, outcome=Outcome.ERROR)
    return talk.note(2)


def falls_at_once(talk: Followed) -> Note | None:
    talk.submit(1)
    talk.finish(0, outcome=Outcome.ERROR)
    talk.ask(Submit, spec=spec(), bodies=(b"x", b"y"), after=(0,))
    return talk.note(1)


def is_cleared(talk: Followed) -> Note | None:
    talk.submit(3)
    talk.finish(0)
    talk.finish(0)
    talk.ask(Clear, taskids=(1,))
    assert talk.subscriber.tasks.keys() == {0, 2}
    return talk.note()


@pytest.mark.parametrize(
    ("happens", "note"),
    [
        (starts, None),
        (gets_on, Note(progress=TaskProgress(1.0, 3.0, "epochs"))),
        (fails_and_waits, Note(message="retry 1 of 2", not_before=START + 4.0)),
        (has_waited, Note(held=True)),
        (is_refused, Note(message="all workers refuse it: no gpu")),
        (is_offered_again, None),
        (is_offered_to_whom_suits_it_now, None),
        (is_held, Note(held=True)),
        (is_moved, Note(priority=3)),
        (is_being_aborted, Note(stopping=True)),
        (has_had_its_time, Note(stopping=True)),
        (kills_its_worker, Note(deaths=1)),
        (runs_again, None),
        (recovers, None),
        (is_given_back, None),
        (has_waited_for_another, None),
        (comes_after_others, None),
        (
            falls_with_another,
            Note(reason="dependency", message="task 2 (f) did not run: task 0, which it comes after, did not succeed"),
        ),
        (
            falls_at_once,
            Note(reason="dependency", message="task 1 (f) did not run: task 0, which it comes after, did not succeed"),
        ),
        (is_cleared, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_subscriber_receives_every_change(happens: Callable[[Followed], Note | None], note: Note | None):
    assert happens(Followed(workers=1)) == note


@pytest.mark.parametrize("is_held", [False, True])
def test_a_subscriber_learns_that_the_workers_that_are_left_all_refuse_a_task(is_held):
    talk = Followed(workers=2)
    talk.submit(1, depend=b"c" * 16)
    talk.submit(1, session=BOB)
    talk.start(1)
    talk.finish(0, outcome=Outcome.REFUSED)
    if is_held:
        talk.ask(Hold, taskids=(0,))
    assert talk.note() == Note(message="refused by worker 0", held=is_held)
    talk.die(1)
    assert talk.note() == Note(message="all workers refuse it: no gpu", held=is_held)


def test_refused_tasks_are_not_sent_again_when_a_worker_dies_that_they_do_not_name():
    talk = start_watching(workers=3)
    talk.submit(3, depend=b"c" * 16)
    talk.submit(2, session=BOB)
    talk.finish(0, outcome=Outcome.REFUSED)
    deltas_after(talk, talk.start(1))
    assert all(0 not in delta.rows.ids for delta in deltas_after(talk, talk.die(2)))


def test_ends_are_counted_from_the_start_of_the_controller_on():
    talk = start_watching(workers=1)
    talk.submit(2)
    talk.finish(0)
    talk.restart(alive=(0,))
    talk.ready(0)
    assert snapshot(talk.ask(Watch, BOB)).counts == Counts(scheduled=1, succeeded=1)
    talk.finish(0, talk.leases_of(0))
    assert deltas(talk.wait(PAUSE))[-1].counts == Counts(succeeded=2, n_ended=1)
