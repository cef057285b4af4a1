"""Tests of subscriptions over the wire: the store's part of a snapshot, and the deltas after it."""

from __future__ import annotations

import pytest

from taskfc_ext.controller.answers import Answers
from taskfc_ext.core.effects import SendSnapshot
from taskfc_ext.core.views.rows import N_FINISHED
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol.client_messages import Abort, Changed, Clear, Ended, Unwatch, Watch, Watching
from taskfc_ext.protocol.payloads import Failure, Outcome, Reason, encode_failure
from taskfc_ext.protocol.records import Submitted
from taskfc_ext.protocol.snapshots import Batch, Counts, Note, QueueDelta, QueueSnapshot, Rows, Run
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.states import StateCode
from tests.controller.wire import CODE, ERROR, WireClient, WireFarm

SPEC = Spec(kind=Kind.FUNCTION, code=CODE, label="f")


def watch(farm: WireFarm, client: WireClient) -> QueueSnapshot:
    client.news.clear()
    client.ask(Watch)
    farm.pump()
    message = client.news.pop(0)
    assert isinstance(message, Watching)
    return message.snapshot


def next_delta(farm: WireFarm, client: WireClient) -> QueueDelta:
    """Return the next delta, which comes after the pause between deltas."""
    while not client.news:
        farm.controller.turn()
        farm.pump()
    message = client.news.pop(0)
    assert isinstance(message, Changed)
    return message.delta


def test_a_snapshot_has_unfinished_and_finished_tasks_and_their_submissions(farm):
    farm.alice.submit(b"a", b"fail", name="fit", priority=3)
    farm.alice.submit(b"b")
    farm.bob.submit(b"long", b"c")
    farm.pump()
    farm.alice.ask(Clear, taskids=(2,))
    farm.pump()
    seen = watch(farm, farm.bob)
    assert (seen.seq, seen.farm, seen.incarnation, seen.n_workers) == (0, "t", 1, 1)
    assert seen.counts == Counts(scheduled=1, running=1, succeeded=1, failed=1, n_ended=3)
    assert [(batch.first, batch.n, batch.name, batch.priority) for batch in seen.batches] == [
        (0, 2, "fit", 3),
        (3, 2, None, 0),
    ]
    assert seen.runs == (Run(4, 1, StateCode.SCHEDULED),)
    assert seen.rows.ids == (0, 1, 3)
    assert seen.rows.states == (StateCode.SUCCEEDED, StateCode.FAILED, StateCode.RUNNING)
    assert seen.rows.notes == {1: Note(reason="error", message="no luck")}
    assert [worker.running for worker in seen.workers] == [3]


def test_deltas_come_without_a_request(farm):
    assert watch(farm, farm.bob).rows == Rows()
    farm.alice.submit(b"long")
    farm.pump()
    told = [next_delta(farm, farm.bob)]
    while told[-1].rows.states != (StateCode.RUNNING,):  # on a slow machine, a delta comes before the start
        told.append(next_delta(farm, farm.bob))
    assert [delta.seq for delta in told] == list(range(1, len(told) + 1))
    assert [(batch.first, batch.n) for delta in told for batch in delta.batches] == [(0, 1)]
    farm.workers[0].end(Outcome.ERROR, ERROR)
    farm.pump()
    delta = next_delta(farm, farm.bob)
    assert (delta.seq, delta.rows.ids, delta.rows.states) == (len(told) + 1, (0,), (StateCode.FAILED,))
    assert delta.counts == Counts(failed=1, n_ended=1)
    farm.bob.ask(Unwatch)
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.bob.news == []
    assert farm.scheduler.farm.subscribers is None


def test_a_task_that_ends_in_the_turn_of_the_snapshot_is_once_in_each_message(farm):
    farm.alice.submit(b"long", b"x")
    farm.pump()
    farm.bob.ask(Watch)
    farm.alice.ask(Abort, taskid=1)  # received in the same turn, and in the store before the snapshot is complete
    farm.pump()
    seen = farm.bob.news.pop(0).snapshot
    assert (seen.rows.ids, seen.runs) == ((0,), (Run(1, 1, StateCode.SCHEDULED),))
    delta = next_delta(farm, farm.bob)
    assert (delta.rows.ids, delta.rows.states, delta.runs) == ((1,), (StateCode.ABORTED,), ())


def test_a_subscription_ends_with_its_connection(farm):
    watch(farm, farm.bob)
    farm.bob.connect()
    farm.alice.submit(b"x")
    farm.pump()
    assert farm.scheduler.farm.subscribers is None
    assert farm.bob.news == []
    seen = watch(farm, farm.bob)
    farm.clients_end.gone.add(farm.bob.identity)
    farm.alice.submit(b"x")
    farm.pump()
    while farm.scheduler.farm.subscribers is not None:
        farm.controller.turn()
    assert seen.rows.ids == (0,)


# the store's part of a snapshot


def make_ended(ids: range, value: bytes = b"", reason: str = "") -> Ended:
    n = len(ids)
    return Ended(
        ids=tuple(ids), reasons=(reason,) * n, values=(value,) * n, workers=(0,) * n, attempts=(1,) * n,
        submitted=(0.0,) * n, completed=5.0, seconds=(0.5,) * n,
    )  # fmt: skip


def make_submitted(ids: range) -> Submitted:
    return Submitted(first=ids[0], session="a", seq=1, owner="nb", wall=2.0, spec=SPEC, bodies=(b"body",) * len(ids))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "journal")
    yield store
    store.close()


def complete_snapshot(store: Store, snapshot: QueueSnapshot, *more: QueueDelta, known=lambda _: True) -> QueueSnapshot:
    watching, *rest = Answers(store, known).complete_for_client(SendSnapshot(9, snapshot, more))
    assert isinstance(watching, Watching)
    assert (watching.seq, rest) == (9, [Changed(delta) for delta in more])
    return watching.snapshot


EMPTY = QueueSnapshot(seq=0, farm="t", incarnation=1, wall=9.0, counts=Counts(), n_workers=0)


def test_a_snapshot_has_the_newest_finished_tasks(store):
    n = N_FINISHED + 300
    store.commit([make_submitted(range(n)), *[make_ended(range(i, i + 100)) for i in range(0, n, 100)]])
    seen = complete_snapshot(store, EMPTY)
    assert seen.rows.ids == tuple(range(300, n))
    assert seen.batches == (Batch(first=0, n=n, label="f", owner="nb", submitted=2.0),)
    assert complete_snapshot(store, EMPTY, known=lambda taskid: taskid < 50).rows.ids == tuple(range(50))


def test_a_finished_task_has_the_first_line_of_its_failure(store):
    failure = encode_failure(Failure(Reason.TIMEOUT, "too\nlong"))
    store.commit(
        [make_submitted(range(2)), make_ended(range(1), failure, "timeout"), make_ended(range(1, 2), b"", "aborted")]
    )
    rows = complete_snapshot(store, EMPTY).rows
    assert rows.states == (StateCode.FAILED, StateCode.ABORTED)
    assert rows.notes == {0: Note(reason="timeout", message="too"), 1: Note(reason="aborted")}
    assert (rows.completed, rows.seconds) == ((5.0, 5.0), (0.5, 0.5))


def test_large_results_are_not_all_read_for_a_snapshot(store):
    records = [make_ended(range(i, i + 1), b"x" * 2**20) for i in range(40)]
    store.commit([make_submitted(range(40)), *records])
    assert complete_snapshot(store, EMPTY).rows.ids == tuple(range(23, 40))


def test_no_more_than_some_records_are_read_when_nearly_all_was_cleared(store):
    n = 2 * N_FINISHED + 1
    store.commit([make_submitted(range(n)), *[make_ended(range(i, i + 1)) for i in range(n)]])
    assert complete_snapshot(store, EMPTY, known=lambda taskid: taskid < 2).rows.ids == (1,)


def test_tasks_that_ended_since_the_snapshot_stay_as_they_are_in_it(store):
    store.commit([make_submitted(range(4)), make_ended(range(4))])
    row = Rows(
        ids=(1,), states=(StateCode.RUNNING,), workers=(0,), attempts=(1,), started=(3.0,), completed=(0.0,),
        seconds=(0.0,),
    )  # fmt: skip
    batch = Batch(first=0, n=4, label="f")
    snapshot = QueueSnapshot(
        seq=0, farm="t", incarnation=1, wall=9.0, counts=Counts(), n_workers=0, batches=(batch,), rows=row,
        runs=(Run(0, 1, StateCode.SCHEDULED),),
    )  # fmt: skip
    more = QueueDelta(
        seq=1, farm="t", wall=9.0, counts=Counts(), n_workers=0, runs=(Run(3, 1, StateCode.WAITING),)
    )  # fmt: skip
    seen = complete_snapshot(store, snapshot, more)
    assert (seen.rows.ids, seen.rows.states) == ((1, 2), (StateCode.RUNNING, StateCode.SUCCEEDED))
    assert (seen.runs, seen.batches) == (snapshot.runs, (batch,))
