"""Tests of the store: commits are durable and atomic, and unusable files are reported."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import msgspec
import pytest

from taskfc_ext.drivers import journal, upkeep
from taskfc_ext.drivers.paths import payloads_of
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.schema import SCHEMA_VERSION
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.upkeep import Upkeep
from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.errors import StorageFull, StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.payloads import PayloadRef
from taskfc_ext.protocol.records import (
    AbortAsked,
    AbortsAsked,
    Baseline,
    Began,
    BroadcastDeath,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    CodeSpan,
    Dropped,
    Held,
    Leased,
    Moved,
    Requeued,
    StopAsked,
    Submitted,
    Why,
)
from taskfc_ext.protocol.spec import Kind, Recovery, Spec

SPEC = Spec(kind=Kind.FUNCTION, code=b"c" * 16, label="f")


def make_submitted(first: int = 0, n: int = 1, **fields) -> Submitted:
    values = {"session": "a" * 16, "seq": 1, "owner": "", "wall": 0.0, "spec": SPEC, "bodies": (b"body",) * n}
    return Submitted(first=first, **{**values, **fields})


def make_ended(*ids: int, value: bytes = b"value", outputs: dict | None = None) -> Ended:
    n = len(ids)
    return Ended(
        ids=ids, reasons=("",) * n, values=tuple(b"%s %d" % (value, taskid) for taskid in ids), workers=(0,) * n,
        attempts=(1,) * n, submitted=(0.0,) * n, completed=1.0, seconds=(0.5,) * n, outputs=outputs or {},
    )  # fmt: skip


def find_values(store: Store, ids) -> dict[int, bytes]:
    return {record.ids[row]: record.values[row] for record, rows in store.find_ended(ids) for row in rows}


def read_all(path) -> list:
    store = Store(path)
    try:
        return list(store.records())
    finally:
        store._db.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def store(path):
    store = Store(path)
    yield store
    store.close()


def test_records_come_back_in_order_after_a_reopen(path):
    records = [
        Began(1, 0.0),
        make_submitted(0, 3, name="fit", after=(), inputs=()),
        Leased(1, (0, 1), 0),
        Requeued((1,), Why.DEATH),
        make_ended(0),
        AbortAsked(2, "a" * 16, 2),
        Cleared((0,), "a" * 16, 3),
        Held((0, 2), True, "a" * 16, 4),
        Moved((0, 2), -7, "a" * 16, 5),
        Broadcasted(number=1, session="a" * 16, seq=6, kind=Kind.STRING, label="x", code=b"x = 1", body=b"names"),
        BroadcastDeath(1),
        BroadcastsCleared("a" * 16, 7),
        AbortsAsked((1,), (0, 9), "a" * 16, 8),
        StopAsked(9.0),
    ]
    for chunk in (records[:3], records[3:4], records[4:6], records[6:]):
        store = Store(path)
        store.commit(chunk)
        store.close()
    store = Store(path)
    replayed = list(store.records())
    store.close()
    assert [type(record) for record in replayed] == [type(record) for record in records]
    assert replayed[:4] == records[:4]
    assert replayed[4].values == (b"",), "cleared since"
    assert replayed[5:9] == records[5:9]
    assert (replayed[9].number, replayed[9].code, replayed[9].body) == (1, b"", b""), "forgotten since"
    assert replayed[10:] == records[10:]


def test_a_store_of_many_rows_is_whole_wherever_the_kinds_of_its_rows_stand(path):
    n = 10_500  # more rows than are verified at once
    store = Store(path)
    store.commit([make_submitted(n=n)])
    store.commit([make_ended(taskid) for taskid in range(n)])
    store.commit([Began(2, 0.0)])  # the only row that is replayed and holds nothing
    store.commit([make_submitted(n)])
    store.close()
    assert len(read_all(path)) == n + 3


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_rows_are_verified_in_parts_of_any_size(path, monkeypatch, at_once, seed):
    draw = random.Random(seed)
    monkeypatch.setattr(journal, "_AT_ONCE", at_once)
    n_submitted, unfinished, expected = 0, [], []
    for _ in range(25):
        kind = draw.choice(["submit", "end", "end", "begin"])
        if kind == "submit":
            n = draw.randint(1, 4)
            record = make_submitted(n_submitted, n)
            unfinished += range(n_submitted, n_submitted + n)
            n_submitted += n
        elif kind == "end" and unfinished:
            record = make_ended(unfinished.pop(draw.randrange(len(unfinished))))
        else:
            record = Began(len(expected) + 1, 0.0)
        store = Store(path)
        store.commit([record])
        store.close()
        expected.append(record)
    assert read_all(path) == expected


def test_an_empty_commit_is_one(store):
    store.commit([])
    assert list(store.records()) == []


def test_a_commit_is_all_or_nothing(store):
    store.commit([make_submitted(0)])
    with pytest.raises(ValueError, match="not staged"):
        store.commit([make_submitted(1), Define(b"d" * 16, PayloadRef("abc", 1))])
    assert list(store.records()) == [make_submitted(0)]
    store.commit([make_submitted(1)])
    assert [record.first for record in store.records()] == [0, 1]


def test_any_error_within_a_commit_undoes_it(store):
    def records():
        yield make_submitted(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.commit(records())
    assert list(store.records()) == []
    store.commit([make_submitted(0)])


def test_commits_survive_a_kill(path):
    script = f"""
import os, signal
from pathlib import Path
from tests.drivers.test_store import Store, make_ended, make_submitted
store = Store(Path({str(path)!r}))
for taskid in range(50):
    store.commit([make_submitted(taskid)])
store._db.execute("BEGIN IMMEDIATE")
store._append(make_submitted(50), is_last=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, check=False)
    assert done.returncode == -signal.SIGKILL
    store = Store(path)
    assert [record.first for record in store.records()] == list(range(50))
    store.close()


# code


def code_of(store, digest):
    return store.payload(store.code(digest))


def test_code_is_kept_under_its_digest_and_not_replayed(store):
    store.commit([Define(b"d" * 16, b"body"), Define(b"d" * 16, b"body")])
    assert store.code(b"d" * 16) == b"body"
    in_its_place = PayloadRef((b"d" * 16).hex(), 4)
    assert list(store.records()) == [Define(b"d" * 16, in_its_place)] * 2, "its size is all that a replay needs"
    with pytest.raises(KeyError):
        store.code(b"x" * 16)


# ends


@pytest.mark.parametrize(
    "ids", [[0], [1023, 1024], [1020, 1030], [3000, 5, 1024], list(range(1000, 3000)), [2047, 2048, 2047]]
)
def test_ends_are_found_in_any_record(store, ids):
    store.commit([make_ended(*range(1000, 1400)), make_ended(0, 2048, 5)])
    store.commit([make_ended(2999, 1), make_ended(*range(1400, 2048)), make_ended(3000)])
    there = {*range(1000, 2048), 0, 2048, 5, 2999, 1, 3000}
    assert find_values(store, ids) == {taskid: b"value %d" % taskid for taskid in ids if taskid in there}


def test_missing_ends_are_not_found(store):
    store.commit([make_ended(1, 3)])
    assert find_values(store, [0, 2, 4, 5000]) == {}
    assert find_values(store, []) == {}


def test_each_end_comes_once_also_from_a_record_across_blocks(store):
    store.commit([make_ended(*range(1000, 1100))])
    rows = [(record.ids[row]) for record, rows in store.find_ended(range(1000, 1100)) for row in rows]
    assert sorted(rows) == list(range(1000, 1100))


def test_the_newest_ends_come_first(store):
    store.commit([make_ended(5), make_ended(1)])
    store.commit([make_ended(7)])
    assert [record.ids for record in store.newest_ended()] == [(7,), (1,), (5,)]


@pytest.mark.parametrize(
    "ids",
    [
        [(5,), (1,), (7,)],
        [(1, 9), (5,)],
        [(5,), (9, 1)],
        [(1, 5, 9), (2, 6), (7, 3)],
        [(0, 3000), (1023, 1024), (1500,)],
        [tuple(range(1000, 3000)), (5000, 999)],
    ],
)
def test_the_ends_of_the_largest_ids_come_first(store, ids):
    store.commit([make_ended(*each) for each in ids])
    found = [record.ids[row] for record, row in store.ended_by_id()]
    assert found == sorted((taskid for each in ids for taskid in each), reverse=True)


def test_only_records_that_are_due_are_read(store):
    read = []
    store.commit([make_ended(taskid) for taskid in (3, 1, 2)])
    store._db.set_trace_callback(lambda query: read.append(query) if "body" in query else None)
    record, _ = next(store.ended_by_id())
    assert (record.ids, len(read)) == ((3,), 1)


def test_the_batch_of_a_task(store):
    store.commit([make_submitted(0, 3, name="a"), make_submitted(3, 1, name="b"), make_submitted(4, 100, name="c")])
    assert [store.batch_of(taskid).name for taskid in (0, 2, 3, 4, 103)] == ["a", "a", "b", "c", "c"]
    with pytest.raises(KeyError):
        store.batch_of(-1)


# clear


def clear(store: Store, *ids: int) -> None:
    store.commit([Cleared(ids, "a" * 16, 1)])


def test_values_of_cleared_tasks_are_gone_and_their_ends_are_replayed(store, path):
    store.commit([make_ended(0, 1, value=b"secret", outputs={0: ("printed",)}), make_ended(2)])
    clear(store, 0, 1)
    assert find_values(store, range(3)) == {2: b"value 2"}
    first = next(store.records())
    assert (first.ids, first.values, first.outputs, first.displays) == ((0, 1), (b"", b""), {}, {})


@pytest.mark.parametrize("ids", [(0,), (1,), (0, 1), (1, 2), (0, 2)])
def test_a_record_that_others_share_stays_whole(store, ids):
    store.commit([make_ended(0, 1, 2)])
    clear(store, *ids)
    assert find_values(store, [0, 1, 2]) == {taskid: b"value %d" % taskid for taskid in range(3)}


def test_a_record_whose_ids_are_scattered_is_emptied_with_the_last_of_them(store):
    store.commit([make_ended(0, 5000), make_ended(3)])
    clear(store, 0, 5000)
    assert find_values(store, [0, 3, 5000]) == {3: b"value 3"}


def test_a_clear_of_unknown_ids_is_harmless(store):
    store.commit([make_ended(0)])
    clear(store, -1, 77, 2**53, -(2**53))
    assert find_values(store, [0]) == {0: b"value 0"}


def test_clear_of_very_many_takes_little_time(store):
    n = 20_000
    store.commit([make_ended(taskid) for taskid in range(n)])
    begin = time.process_time()
    clear(store, *range(0, n, 2))
    clear(store, *range(1, n, 2))
    assert time.process_time() - begin < 5.0, "not a look at all of them for each of them"
    assert find_values(store, range(n)) == {}


def test_arguments_of_cleared_tasks_are_gone_with_the_last_of_their_batch(store):
    recovery = Recovery(SPEC, b"secret plan b")
    spec = msgspec.structs.replace(SPEC, label="secret = 1", recovery=recovery)
    store.use_checks(lambda taskid: taskid not in gone, lambda taskid: False)
    gone: set[int] = set()
    store.commit([make_submitted(0), make_submitted(1, 3, bodies=(b"secret",) * 3, spec=spec), make_submitted(4)])
    for taskid in (2, 1):
        gone.add(taskid)
        clear(store, taskid)
        assert store.batch_of(3).bodies == (b"secret",) * 3
    gone.add(3)
    clear(store, 3)
    hollow = list(store.records())[1]
    assert (hollow.first, hollow.bodies, hollow.spec.label, hollow.spec.recovery.body) == (1, (b"",) * 3, "", b"")
    assert [store.batch_of(taskid).first for taskid in (0, 4)] == [0, 4]
    with pytest.raises(KeyError):
        store.batch_of(3)


def test_results_are_gone_with_the_last_of_their_record_however_they_are_cleared(store):
    gone: set[int] = set()
    store.use_checks(lambda taskid: taskid not in gone, lambda taskid: False)
    store.commit([make_ended(0, 5000, 2, value=b"secret")])
    for taskid in (5000, 0, 2):
        assert find_values(store, [0, 2, 5000])
        gone.add(taskid)
        clear(store, taskid)
    assert find_values(store, [0, 2, 5000]) == {}
    assert next(store.records()).values == (b"",) * 3


def test_code_is_gone_once_it_is_dropped(store):
    large = os.urandom(LARGE)
    store.commit([Define(b"d" * 16, b"body"), Define(b"l" * 16, large)])
    assert (store.code(b"d" * 16), code_of(store, b"l" * 16)) == (b"body", large)
    store.commit([Dropped((b"d" * 16, b"l" * 16, b"x" * 16))])
    for digest in (b"d" * 16, b"l" * 16):
        with pytest.raises(KeyError):
            store.code(digest)
    assert files(store) == []
    store.commit([Define(b"l" * 16, large)])
    assert code_of(store, b"l" * 16) == large


def test_code_that_is_dropped_and_defined_in_one_commit_is_there(store):
    large = os.urandom(LARGE)
    store.commit([Define(b"l" * 16, large)])
    store.commit([Dropped((b"l" * 16,)), Define(b"l" * 16, large)])
    assert code_of(store, b"l" * 16) == large


def test_code_in_a_file_of_its_sender_becomes_a_file_of_the_store(store, path):
    large = os.urandom(LARGE)
    sender = LargePayloads(lambda: path, "c1")
    file = sender.write([large], what="it")
    for _ in range(2):  # the second file is not needed
        store.commit([Define(b"l" * 16, *store.stage([file.upload]))])
    assert code_of(store, b"l" * 16) == large
    assert len(files(store)) == 1
    assert list(store.records()) == [Define(b"l" * 16, PayloadRef((b"l" * 16).hex(), LARGE))] * 2
    store.commit([Dropped((b"l" * 16,))])
    assert files(store) == []


def test_code_whose_file_was_removed_is_back_when_a_client_defines_it_again(store):
    large = os.urandom(LARGE)
    store.commit([Define(b"l" * 16, large)])
    (payload,) = files(store)
    payload.unlink()
    store.restore_code(b"l" * 16, *store.stage([large]))
    store.restore_code(b"x" * 16, *store.stage([large]))
    store.unstage()
    assert code_of(store, b"l" * 16) == large
    assert files(store) == [payload]


def test_broadcasts_that_are_forgotten_are_gone(store, path):
    store.commit(
        [Broadcasted(number=1, session="a", seq=6, kind=Kind.STRING, label="x", code=b"secret", body=b"names")]
    )
    store.commit([BroadcastsCleared("a" * 16, 7)])
    assert next(store.records()).code == b""
    assert traces(store, b"secret") == []


# baselines


def baseline(*, spans: tuple = (), **fields) -> Baseline:
    values = {
        "incarnation": 1, "stop_asked": False, "ended": b"", "next_lease": 1, "next_broadcast": 1, "names": {},
        "retried": {}, "codes": {}, "broadcasts": (), "deaths": (), "sessions": (),
    }  # fmt: skip
    return Baseline(spans=spans, **{**values, **fields})


def test_a_replay_begins_at_the_last_baseline(path):
    store = Store(path)
    store.commit([make_submitted(0), make_ended(0), baseline(), Began(2, 0.0)])
    store.commit([make_submitted(1), Leased(1, (1,), 0), make_ended(1), baseline(next_lease=2), make_submitted(2)])
    expected = [baseline(next_lease=2), make_submitted(2)]
    assert list(store.records()) == expected
    store.close()
    assert read_all(path) == expected


def test_a_baseline_keeps_arguments_and_results_of_tasks_that_are_not_cleared(store):
    store.commit([make_submitted(0), make_submitted(1, 2), Leased(1, (0, 1, 2), 0), make_ended(0), make_ended(1, 2)])
    store.commit([Cleared((0,), "a" * 16, 1), baseline(spans=(CodeSpan(1, 2, 2, (b"c" * 16,)),))])
    assert list(store.records()) == [baseline(spans=(CodeSpan(1, 2, 2, (b"c" * 16,)),))]
    assert find_values(store, range(3)) == {1: b"value 1", 2: b"value 2"}
    assert store.batch_of(2) == make_submitted(1, 2)
    with pytest.raises(KeyError):
        store.batch_of(0)
    store.commit([Cleared((1, 2), "a" * 16, 1), baseline()])
    assert rows(store) == {"journal": 1, "ended": 0, "files": 0}


def test_hollow_rows_go_with_the_next_baseline(store):
    store.commit([make_submitted(0), make_submitted(1), Leased(1, (0,), 0), make_ended(0)])
    clear(store, 0)
    store.commit([make_submitted(2), baseline(spans=(CodeSpan(1, 2, 2, (b"c" * 16,)),))])
    assert rows(store)["journal"] == 3


def rows(store: Store) -> dict[str, int]:
    tables = ("journal", "ended", "files")
    return {table: store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


# large payloads


def test_a_cleared_file_stays_for_a_while_as_it_may_just_have_been_sent(store):
    values = store.stage((os.urandom(LARGE),))
    store.commit([make_submitted(0), msgspec.structs.replace(make_ended(0), values=values)])
    clear(store, 0)
    store.remove_cleared()
    assert store.payload(values[0]) != b""
    store.remove_cleared()
    assert store.payload(values[0]) == b""


def files(store: Store) -> list:
    """Return the files of payloads, after those of cleared tasks were removed."""
    remove_cleared(store)
    folder = payloads_of(store.path)
    return sorted(folder.iterdir()) if folder.exists() else []


def remove_cleared(store: Store) -> None:
    """Do the upkeep of ten seconds."""
    store.remove_cleared()
    store.remove_cleared()


def traces(store: Store, what: bytes) -> list:
    """Return the files that contain `what` after the upkeep."""
    remove_cleared(store)
    store._upkeep.join()
    return [path for path in store.path.parent.rglob("*") if path.is_file() and what in path.read_bytes()]


def test_large_payloads_are_files_and_come_back(path):
    body, value = os.urandom(LARGE), os.urandom(3 * LARGE)
    store = Store(path)
    bodies = store.stage((b"small", body))
    values = store.stage((value,))
    assert bodies[0] == b"small"
    assert [type(payload) for payload in (bodies[1], values[0])] == [PayloadRef] * 2
    store.commit([make_submitted(0, 2, bodies=bodies), msgspec.structs.replace(make_ended(1), values=values)])
    store.close()
    store = Store(path)
    assert [store.payload(payload) for payload in store.batch_of(1).bodies] == [b"small", body]
    ((record, (row,)),) = store.find_ended([1])
    assert store.payload(record.values[row]) == value
    assert len(files(store)) == 2
    assert path.stat().st_size < LARGE
    store.close()


def test_small_payloads_are_left_alone(store):
    payloads = (b"a", b"b" * (LARGE - 1))
    assert store.stage(payloads) == payloads
    assert files(store) == []


def test_staged_files_without_a_commit_are_removed(path):
    store = Store(path)
    store.stage((os.urandom(LARGE),))
    assert len(files(store)) == 1
    store.commit([make_submitted(0)])
    assert files(store) == []
    store.stage((os.urandom(LARGE),))
    store._db.close()  # as in a crash
    store = Store(path)
    assert files(store) == []
    store.close()


def test_a_clear_removes_the_large_payloads_of_its_tasks_and_no_others(store):
    bodies = store.stage(tuple(os.urandom(LARGE) for _ in range(4)))
    store.commit([make_submitted(0, 4, bodies=bodies)])
    clear(store, 0, 2, 77, -3)
    remove_cleared(store)
    kept = [store.payload(body) for body in store.batch_of(1).bodies]
    assert [len(body) for body in kept] == [0, LARGE, 0, LARGE]
    assert len(files(store)) == 2


def test_the_payloads_of_a_retry_outlive_the_first_task(store):
    body = os.urandom(LARGE)
    store.commit([make_submitted(0, bodies=store.stage((body,)))])
    again = store.stage_again(store.batch_of(0).bodies)
    store.commit([make_submitted(1, bodies=again)])
    clear(store, 0)
    assert [store.payload(body) for body in store.batch_of(1).bodies] == [body]
    clear(store, 1)
    assert files(store) == []


def test_a_commit_that_fails_removes_no_payload(store):
    body = os.urandom(LARGE)
    store.commit([make_submitted(0, bodies=store.stage((body,)))])
    with pytest.raises(ValueError, match="not staged"):
        store.commit([Cleared((0,), "a" * 16, 1), Define(b"d" * 16, PayloadRef("abc", 1))])
    store.commit([make_submitted(1)])
    assert store.payload(store.batch_of(0).bodies[0]) == body


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_payload_that_a_power_cut_destroyed_is_empty(store, damage):
    (ref,) = store.stage((os.urandom(LARGE),))
    store.commit([make_submitted(0, bodies=(ref,))])
    (file,) = files(store)
    file.unlink() if damage == "gone" else file.write_bytes(b"x")
    assert store.payload(ref) == b""


# compaction


def test_no_file_contains_cleared_data(store):
    secrets = [b"sesame %d" % i for i in range(4)]
    large = secrets[3] + os.urandom(LARGE)
    store.commit([make_submitted(taskid, owner="x" * 500) for taskid in range(1, 300)])
    store.commit([make_submitted(0, 2, bodies=(secrets[0], *store.stage((large,)))), Define(b"d" * 16, secrets[1])])
    store.commit([make_ended(0, 1, value=secrets[2])])
    assert all(traces(store, secret) for secret in secrets)
    clear(store, 0, 1)
    store.commit([Dropped((b"d" * 16,))])
    assert [traces(store, secret) for secret in secrets] == [[]] * 4


def test_the_file_is_small_again_while_it_is_in_use(store, path):
    n = 200
    store.commit([make_submitted(taskid, bodies=(b"x" * (LARGE - 1),)) for taskid in range(n)])
    store.commit([make_ended(taskid) for taskid in range(n)])
    store._upkeep.join()
    clear(store, *range(n - 1))
    store._upkeep.join()
    total = sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())
    assert total < 600_000, "of 13 MB"
    store.commit([make_submitted(n)])
    assert [store.batch_of(taskid).first for taskid in (n - 1, n)] == [n - 1, n]


def test_upkeep_that_a_killed_process_left_is_done_at_the_next_start(path, monkeypatch):
    monkeypatch.setattr(Upkeep, "after_commit", lambda *args, **kwargs: None)
    store = Store(path)
    store.commit([make_submitted(taskid, bodies=(b"x" * (LARGE - 1),)) for taskid in range(100)])
    clear(store, *range(100))
    store._db.close()
    monkeypatch.undo()
    store = Store(path)
    store._upkeep.join()
    assert path.stat().st_size < 600_000
    assert len(list(store.records())) == 101
    store.close()


def test_commits_go_on_while_the_file_is_compacted(store, monkeypatch):
    monkeypatch.setattr(upkeep, "TIDY_EVERY", 0.0)
    for taskid in range(300):
        store.commit([make_submitted(taskid, bodies=(b"x" * 20_000,)), make_ended(taskid)])
        if taskid % 10 == 9:
            clear(store, *range(taskid - 9, taskid + 1))
    store._upkeep.join()
    assert [record.first for record in store.records() if isinstance(record, Submitted)] == list(range(300))


# unusable stores


def test_another_schema_version_is_refused_with_both(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 41}")
    db.close()
    with pytest.raises(
        StoreError, match=rf"schema version {SCHEMA_VERSION + 41}; this taskfc_ext has {SCHEMA_VERSION}"
    ):
        Store(path)


def test_a_file_that_is_not_a_store_is_refused_with_a_hint(path):
    content = b"this is no database, but it is long enough to be one" * 100
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a database") as caught:
        Store(path)
    assert "--fresh" in caught.value.hint
    assert path.read_bytes() == content, "whatever it is, it is not ours to change"


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "nowhere" / "journal.sqlite")


def test_a_damaged_record_is_named_with_its_tasks(store):
    store.commit([make_submitted(0), make_submitted(1, 3), make_submitted(4)])
    store._db.execute("UPDATE journal SET body = x'00ff' WHERE seq = 2")
    with pytest.raises(StoreError, match="row 2, of tasks 1 to 3, does not agree with its check"):
        list(store.records())


def test_damaged_pages_are_a_store_error_and_nothing_worse(path):
    store = Store(path)
    for i in range(200):
        store.commit([make_submitted(i, owner="x" * 900)])
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 20_000)
    with pytest.raises(StoreError):
        read_all(path)


def test_a_full_disk_undoes_the_commit_and_the_store_goes_on(store):
    store.commit([make_submitted(0)])
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(StorageFull, match=r"disk of the farm's store is full \(.* free\)"):
        store.commit([make_submitted(1), make_submitted(2, owner="x" * 50_000)])
    store._db.execute("PRAGMA max_page_count=1000000")
    store.commit([make_submitted(1)])
    assert [record.first for record in store.records()] == [0, 1]


# checkpoints


def test_a_long_log_is_moved_into_the_database_beside_the_loop(path, monkeypatch):
    monkeypatch.setattr(upkeep, "CHECKPOINT_BYTES", 100_000)
    store = Store(path)
    for i in range(600):
        store.commit([make_submitted(i, owner="x" * 900)])
        if store._upkeep._thread is not None:
            break
    assert store._upkeep._thread is not None
    store._upkeep.join()
    assert path.stat().st_size > 100_000
    assert len(list(store.records())) == i + 1
    store.close()
    assert not path.with_name(path.name + "-wal").exists() or path.with_name(path.name + "-wal").stat().st_size == 0
