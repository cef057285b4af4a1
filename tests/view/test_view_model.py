"""The queue as a viewer keeps it: what it hands on is what it was told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskfc_ext.protocol.infos import EngineInfo, WorkerInfo
from taskfc_ext.protocol.rows import Row, columns_of, rows_of
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
from taskfc_ext.protocol.states import StateCode
from taskfc_ext.view.view_model import ENDS, KEPT, QueueModel, merge


def snapshot(seq: int = 1, **fields: object) -> QueueSnapshot:
    given = {"farm": "f", "incarnation": 1, "wall": 100.0, "counts": Counts(), "n_workers": 2} | fields
    return QueueSnapshot(seq=seq, **given)  # type: ignore[arg-type]


def delta(seq: int, **fields: object) -> QueueDelta:
    given = {"farm": "f", "wall": 100.0, "counts": Counts(), "n_workers": 2} | fields
    return QueueDelta(seq=seq, **given)  # type: ignore[arg-type]


def row(taskid: int, state: StateCode, note: Note | None = None) -> Row:
    return Row(taskid, state, 0, 1, 0.0, 0.0, 0.0, note)


def model_of(*messages: QueueSnapshot | QueueDelta) -> QueueModel:
    model = QueueModel()
    for message in messages:
        assert model.apply(message), message
    return model


def facts(model: QueueModel, ids: range) -> object:
    """Everything that a model says about itself."""
    return (
        model.seq,
        model.counts,
        model.n_workers,
        model.workers,
        model.wall,
        model.ends(),
        [model.state_of(taskid) for taskid in ids],
        model.rows(),
        [model.batch_of(taskid) for taskid in ids if model.state_of(taskid) is not None],
    )


SCHEDULED, RUNNING, FAILED = StateCode.SCHEDULED, StateCode.RUNNING, StateCode.FAILED


def test_a_hundred_thousand_queued_tasks_are_one_run() -> None:
    n = 100_000
    model = model_of(snapshot(batches=(Batch(first=5, n=n, label="f"),), runs=(Run(5, n, SCHEDULED),)))
    (said,) = model.messages()
    assert said.runs == (Run(5, n, SCHEDULED),)
    assert said.rows.ids == ()


def test_a_row_takes_a_task_out_of_its_run_and_a_run_takes_it_back() -> None:
    model = model_of(
        snapshot(batches=(Batch(first=0, n=3, label="f"),), runs=(Run(0, 3, SCHEDULED),)),
        delta(2, rows=columns_of([row(1, RUNNING)])),
    )
    (said,) = model.messages()
    assert said.runs == (Run(0, 1, SCHEDULED), Run(2, 1, SCHEDULED))
    assert list(rows_of(said.rows)) == [row(1, RUNNING)]
    model.apply(delta(3, runs=(Run(1, 1, SCHEDULED),)))
    assert model.messages()[0].runs == (Run(0, 3, SCHEDULED),)


def test_a_note_that_is_not_repeated_is_removed() -> None:
    model = model_of(
        snapshot(rows=columns_of([row(4, SCHEDULED, Note(held=True))])), delta(2, rows=columns_of([row(4, SCHEDULED)]))
    )
    assert model.rows() == [row(4, SCHEDULED)]


@pytest.mark.parametrize("seq", [1, 3, 0])
def test_after_a_gap_only_a_snapshot_helps(seq: int) -> None:
    model = model_of(snapshot(1))
    assert not model.apply(delta(seq, runs=(Run(0, 1, SCHEDULED),)))
    assert model.state_of(0) is None
    assert model.apply(snapshot(9, runs=(Run(7, 1, SCHEDULED),)))
    assert model.apply(delta(10))


def test_nothing_can_be_handed_on_before_a_snapshot() -> None:
    model = QueueModel()
    assert not model.apply(delta(1))
    assert model.messages() == []


def test_a_snapshot_replaces_everything() -> None:
    model = model_of(
        snapshot(runs=(Run(0, 9, SCHEDULED),), workers=(WorkerInfo(worker=0, pid=1, state="idle"),)),
        snapshot(5, runs=(Run(20, 1, SCHEDULED),)),
    )
    assert model.state_of(3) is None
    assert model.state_of(20) is SCHEDULED
    assert model.workers == ()


def test_the_engine_is_the_one_of_the_last_message_and_is_handed_on() -> None:
    engine = EngineInfo(kind="dask", url="tcp://head:8786", state="lost", since=1.0)
    model = model_of(snapshot(), delta(2, engine=engine))
    (said,) = model.messages()
    assert (model.engine, said.engine) == (engine, engine)
    model.apply(delta(3))
    assert model.engine is None


def test_cleared_tasks_and_empty_batches_are_forgotten() -> None:
    batches = Batch(first=0, n=2, label="a"), Batch(first=2, n=2, label="b")
    model = model_of(
        snapshot(batches=batches, runs=(Run(0, 4, StateCode.SUCCEEDED),)),
        delta(2, wall=101.0, cleared=((0, 3),)),
    )
    (said,) = model.messages()
    assert said.batches == (batches[1],)
    assert said.runs == (Run(3, 1, StateCode.SUCCEEDED),)
    model.apply(delta(3, cleared=((3, 1),)))
    (said,) = model.messages()
    assert (said.batches, said.runs) == ((), ())


def test_only_the_newest_finished_tasks_are_kept() -> None:
    model = model_of(
        snapshot(runs=(Run(0, 10, StateCode.SUCCEEDED), Run(10, 5, SCHEDULED))),
        delta(2, runs=(Run(100, KEPT - 3, StateCode.SUCCEEDED),)),
    )
    assert [model.state_of(taskid) for taskid in (0, 6, 7, 9)] == [None, None, StateCode.SUCCEEDED, StateCode.SUCCEEDED]
    assert model.state_of(12) is SCHEDULED, "what has not ended is never let go"


def test_ends_are_counted_by_the_second() -> None:
    model = model_of(snapshot(wall=100.2, counts=Counts(n_ended=7)))
    for seq, wall, n in [(2, 100.5, 10), (3, 100.9, 12), (4, 102.0, 13), (5, 104.0, 13)]:
        assert model.apply(delta(seq, wall=wall, counts=Counts(n_ended=n)))
    assert model.ends()[-5:] == (5, 0, 1, 0, 0)
    assert len(model.ends()) == ENDS
    later = model_of(*model.messages())
    assert later.ends() == model.ends()
    assert later.apply(delta(6, wall=104.3, counts=Counts(n_ended=15)))
    assert later.ends()[-2:] == (0, 2), "the second that is not over is told too, and counted on"


def test_held_tasks_without_a_row_stay_held() -> None:
    runs = (Run(0, 4, SCHEDULED), Run(4, 3, SCHEDULED, held=True), Run(7, 2, StateCode.WAITING, held=True))
    model = model_of(snapshot(batches=(Batch(first=0, n=9, label="f"),), runs=runs))
    assert model.messages()[0].runs == runs
    assert [model.state_of(taskid) for taskid in (0, 4, 7)] == [SCHEDULED, SCHEDULED, StateCode.WAITING]
    model.apply(delta(2, runs=(Run(4, 3, SCHEDULED),)))
    assert model.messages()[0].runs == (Run(0, 7, SCHEDULED), runs[2])


def test_a_late_subscriber_of_a_quiet_farm_gets_the_time() -> None:
    model = model_of(snapshot(wall=100.2), delta(2, wall=101.0, counts=Counts(n_ended=4)))
    (said,) = model.messages(since=30.5)
    assert said.wall == 131.5
    assert said.ends == (*[0] * (ENDS - 31), 4, *[0] * 30)
    (said,) = model.messages(since=ENDS)
    assert not any(said.ends)


def test_ends_from_before_the_first_look_are_those_of_the_rows() -> None:
    rows = [Row(i, StateCode.SUCCEEDED, 0, 1, 0.0, 95.0 + i, 0.5, None) for i in range(3)]
    old = Row(7, StateCode.FAILED, 0, 1, 0.0, 100.0 - ENDS - 1, 0.5, None)
    model = model_of(snapshot(wall=100.2, rows=columns_of([*rows, old, row(9, RUNNING)])))
    assert model.ends() == (*[0] * (ENDS - 6), 1, 1, 1, 0, 0, 0)


def test_a_snapshot_too_large_for_one_message_continues_in_deltas() -> None:
    n = MAX_ROWS + 1
    batches = tuple(Batch(first=3 * i, n=1, label="f") for i in range(MAX_BATCHES + 2))
    model = model_of(
        snapshot(
            50,
            batches=batches,
            runs=tuple(Run(3 * i, 1, SCHEDULED) for i in range(MAX_BATCHES + 2)),
            rows=columns_of([row(3 * i, RUNNING) for i in range(n)]),
        )
    )
    said = model.messages()
    assert len(said) == 2
    assert said[-1].seq == 50
    assert all(len(message.rows.ids) <= MAX_ROWS and len(message.batches) <= MAX_BATCHES for message in said)
    ids = range(3 * MAX_BATCHES + 6)
    assert facts(model_of(*said), ids) == facts(model, ids)


IDS = range(40)
codes = st.sampled_from(StateCode)
runs = st.builds(Run, st.integers(0, 30), st.integers(1, 10), codes)
notes = st.one_of(st.none(), st.builds(Note, message=st.text(max_size=3), held=st.booleans()))
rows = st.builds(Row, st.integers(0, 39), codes, st.integers(-1, 3), st.integers(0, 3), *[st.just(0.0)] * 3, notes)


def columns(tasks: list[Row]) -> Rows:
    return columns_of(sorted({task.taskid: task for task in tasks}.values(), key=lambda task: task.taskid))


parts = st.fixed_dictionaries(
    {
        "runs": st.lists(runs, max_size=3).map(tuple),
        "rows": st.lists(rows, max_size=4).map(columns),
        "cleared": st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=2).map(tuple),
        "wall": st.floats(100, 130),
        "counts": st.builds(Counts, n_ended=st.integers(0, 9)),
    }
)


@given(st.lists(parts, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_late_subscriber_gets_the_same(said: list[dict[str, object]]) -> None:
    batches = tuple(Batch(first=10 * i, n=10, label=f"batch {i}") for i in range(4))
    model = model_of(snapshot(1, batches=batches, runs=(Run(0, 40, SCHEDULED),)))
    for seq, part in enumerate(sorted(said, key=lambda part: part["wall"]), start=2):  # type: ignore[arg-type, return-value]
        assert model.apply(delta(seq, **part))
    assert facts(model_of(*model.messages()), IDS) == facts(model, IDS)


@given(st.lists(parts, min_size=2, max_size=6))
@settings(max_examples=200, deadline=None)
def test_merged_deltas_say_the_same(said: list[dict[str, object]]) -> None:
    start = snapshot(1, runs=(Run(0, 40, SCHEDULED),))
    deltas = [delta(seq, **part | {"wall": 100.0}) for seq, part in enumerate(said, start=2)]
    one = deltas[0]
    for each in deltas[1:]:
        one = merge(one, each)
    assert one.seq == 2
    apart, together = model_of(start, *deltas), model_of(start, one)
    kept = [taskid for taskid in IDS if not any(first <= taskid < first + n for first, n in one.cleared)]
    assert [together.state_of(taskid) for taskid in kept] == [apart.state_of(taskid) for taskid in kept]
    assert [row for row in together.rows() if row.taskid in kept] == [row for row in apart.rows() if row.taskid in kept]
    assert (together.counts, together.workers) == (apart.counts, apart.workers)


def test_merging_keeps_the_rows_of_the_newest_finished_tasks() -> None:
    n = MAX_ROWS
    halves = [columns_of([row(taskid, StateCode.SUCCEEDED) for taskid in ids]) for ids in (range(n), range(n, n + 3))]
    one = merge(delta(2, rows=halves[0]), delta(3, rows=halves[1]))
    assert one.runs == tuple(Run(taskid, 1, StateCode.SUCCEEDED) for taskid in range(3))
    assert one.rows.ids == tuple(range(3, n + 3))


def test_the_model_does_not_grow_with_finished_tasks() -> None:
    model = model_of(snapshot(batches=(Batch(first=0, n=1, label="long"),), runs=(Run(0, 1, RUNNING),)))
    for taskid in range(1, 4 * MAX_BATCHES):  # each submitted alone, as by `submit`
        ended = (Run(taskid, 1, StateCode.SUCCEEDED),)
        batch = Batch(first=taskid, n=1, label="short")
        assert model.apply(delta(taskid + 1, wall=100.0 + taskid, batches=(batch,), runs=ended))
    n_known = sum(model.batch_of(taskid) is not None for taskid in range(4 * MAX_BATCHES))
    assert n_known <= MAX_BATCHES + 2 * (KEPT + 1)
    assert model.batch_of(0) == Batch(first=0, n=1, label="long")
    assert [model.state_of(taskid) for taskid in (0, 1, taskid)] == [RUNNING, None, StateCode.SUCCEEDED]


def test_batches_of_the_next_message_are_kept() -> None:
    batches = [Batch(first=taskid, n=1, label="f") for taskid in range(3 * MAX_BATCHES)]
    model = model_of(snapshot(), delta(2, wall=101.0))
    for part in range(3):
        chunk = tuple(batches[part * MAX_BATCHES : (part + 1) * MAX_BATCHES])
        assert model.apply(delta(3 + part, wall=102.0, batches=chunk))
        assert model.messages(), "somebody begins to look in the middle of it"
    assert model.apply(delta(6, wall=102.0, runs=(Run(0, len(batches), SCHEDULED),)))
    assert model.apply(delta(7, wall=103.0))
    assert [model.batch_of(taskid) for taskid in range(len(batches))] == batches
