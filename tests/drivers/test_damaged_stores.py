"""Tests of damage: whatever is changed, moved or gone in a store, no one is told something else in silence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from taskfc_ext.drivers import store as store_module
from taskfc_ext.drivers.examination import examine
from taskfc_ext.drivers.paths import payloads_of, witness_of
from taskfc_ext.drivers.row_checks import Totals
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.witness import Note, find_loss, read_witness
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.records import Leased
from tests.damage.damages import change, leave_out, open_database
from tests.drivers.test_store import find_values, make_ended, make_submitted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def make_store(path) -> None:
    store = Store(path)
    store.commit([Define(b"d" * 16, b"body"), Define(b"e" * 16, b"other")])
    for first in range(0, 40, 4):
        store.commit([make_submitted(first, 4), Leased(first + 1, (first,), 0), make_ended(first, first + 1)])
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal WHERE seq = 7",
        "DELETE FROM journal WHERE seq > 25",
        "UPDATE journal SET seq = 100 WHERE seq = 7",
        "UPDATE journal SET last = last + 1 WHERE seq = 6",
        "UPDATE journal SET sum = randomblob(16) WHERE seq = 6",
        "UPDATE journal SET sum = 'text' WHERE seq = 6",
        "INSERT INTO journal SELECT 1000, kind, first, last, sum, totals, body FROM journal WHERE seq = 7",
        "DELETE FROM ended WHERE seq = 8",
        "UPDATE ended SET block = 3 WHERE seq = 8",
        "DELETE FROM code WHERE digest = x'64646464646464646464646464646464'",
        "INSERT INTO files VALUES (7, 3)",
        "UPDATE journal SET totals = x'00' WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE journal SET totals = NULL",
        "DELETE FROM meta",
        "DROP INDEX submitted",
        "CREATE TABLE more(x)",
    ],
)
def test_changed_tables_are_refused_when_the_store_is_opened(path, statement):
    make_store(path)
    change(path, statement)
    with pytest.raises(StoreError, match="is damaged") as caught:
        list(Store(path).records())
    assert f"taskfc repair {path.parent.name}" in caught.value.hint


@pytest.mark.parametrize("index", ["submitted", "hollow"])
def test_an_index_that_lacks_an_entry_is_refused(path, index):
    make_store(path)
    with open_database(path) as db:
        leave_out(db, index, "seq >= 0")
    with pytest.raises(StoreError, match="index does not agree"):
        Store(path)


@pytest.mark.parametrize(
    ("statement", "read", "fact"),
    [
        ("UPDATE journal SET body = x'00' WHERE seq = 3", lambda store: store.batch_of(1), "row 3, of tasks 0 to 3"),
        ("DELETE FROM journal WHERE seq = 3", lambda store: store.batch_of(1), "submission of task 1"),
        ("UPDATE journal SET kind = 3 WHERE seq = 5", lambda store: find_values(store, [0]), "row 5"),
        ("DELETE FROM ended WHERE seq = 5", lambda store: find_values(store, [0]), "the end of task 0 is in no row"),
        ("UPDATE code SET body = x'00'", lambda store: store.code(b"d" * 16), "the code 6464"),
    ],
)
def test_damage_while_the_store_is_open_is_named_when_it_is_read(path, statement, read, fact):
    make_store(path)
    store = Store(path)
    store.use_checks(lambda taskid: True, lambda taskid: taskid in (0, 1))
    store._db.execute(statement)
    with pytest.raises(StoreError, match=fact):
        read(store)
    store._db.close()


# the witness


def killed(path, script: str) -> None:
    """Run `script` on a store and kill it, so that its log stays."""
    head = f"""
import os, signal
from pathlib import Path
from tests.drivers.test_store import Store, make_ended, make_submitted
path = Path({str(path)!r})
store = Store(path)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    end = "\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", head + script + end], env=environ, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def killed_store(path):
    killed(path, "for taskid in range(20): store.commit([make_submitted(taskid)])")
    return path


def test_a_log_that_lost_its_end_is_refused_with_the_number_of_records(killed_store):
    log = killed_store.with_name(killed_store.name + "-wal")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with pytest.raises(StoreError, match=r"its last \d+ records, which were accepted, are gone"):
        Store(killed_store)


def test_a_log_that_is_gone_is_refused(killed_store):
    killed_store.with_name(killed_store.name + "-wal").unlink()
    with pytest.raises(StoreError):
        Store(killed_store)


def test_a_process_that_dies_between_a_commit_and_its_note_loses_nothing(path):
    killed(path, "store.commit([make_submitted(0)]); store._witness.note = id; store.commit([make_submitted(1)])")
    store = Store(path)
    assert ([record.first for record in store.records()], store.warnings) == ([0, 1], [])
    store.close()


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_journal_that_is_gone_or_empty_is_refused(path, how):
    make_store(path)
    path.unlink()
    if how == "empty":
        path.touch()
    with pytest.raises(StoreError, match=f"the file is {how}"):
        Store(path)
    assert path.exists() == (how == "empty"), "nothing is made in its place"


def test_a_folder_with_large_payloads_alone_is_refused(path):
    payloads_of(path).mkdir()
    with pytest.raises(StoreError, match="the file is gone"):
        Store(path)


def test_the_journal_of_another_store_is_refused(path, tmp_path):
    other = tmp_path / "other" / "journal.sqlite"
    other.parent.mkdir()
    make_store(path)
    make_store(other)
    shutil.copy(other, path)
    with pytest.raises(StoreError, match="another store's"):
        Store(path)


def test_an_older_copy_of_the_journal_is_refused(path, tmp_path):
    make_store(path)
    shutil.copy(path, tmp_path / "copy")
    store = Store(path)
    store.commit([make_submitted(40)])
    store.close()
    shutil.copy(tmp_path / "copy", path)
    with pytest.raises(StoreError, match="its last record, which"):
        Store(path)


@pytest.mark.parametrize("damage", ["gone", "empty", "torn"])
def test_a_lost_witness_is_reported_and_written_again(path, damage):
    make_store(path)
    witness = witness_of(path)
    match damage:
        case "gone":
            witness.unlink()
        case "empty":
            witness.write_bytes(b"")
        case "torn":
            witness.write_bytes(b"x" * 8192)
    for n_warnings in (1, 0):
        store = Store(path)
        assert len(store.warnings) == n_warnings
        store.close()


def test_one_torn_note_of_a_witness_is_no_reason_to_refuse(path):
    make_store(path)
    content = witness_of(path).read_bytes()
    for at in (0, 4096):
        witness_of(path).write_bytes(content[:at] + b"x" * 100 + content[at + 100 :])
        store = Store(path)
        assert store.warnings == []
        store._db.close()
        store._witness.abandon()


def test_losses_in_a_power_cut_are_reported(path, tmp_path, monkeypatch):
    make_store(path)
    shutil.copy(path, tmp_path / "copy")
    killed(path, "store.commit([make_submitted(40)])")
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink()
    shutil.copy(tmp_path / "copy", path)
    monkeypatch.setattr(store_module, "boot_id", lambda: "another boot")
    store = Store(path)
    assert ["its last" in warning and "went down" in warning for warning in store.warnings] == [True]
    store.commit([make_submitted(40)])
    store.close()
    Store(path).close()


def note_at(next_seq: int, **fields) -> Note:
    return Note(**{"identity": b"i" * 16, "boot": "1", "totals": Totals(next_seq).pack(), **fields})


@pytest.mark.parametrize(
    ("note", "now", "is_damage"),
    [
        (None, note_at(1), None),
        (None, note_at(2), False),
        (note_at(5), note_at(5), None),
        (note_at(5), note_at(6), None),
        (note_at(5), note_at(4), True),
        (note_at(5), note_at(4, boot="2"), False),
        (note_at(5, boot=""), note_at(4, boot=""), False),
        (note_at(5, synced=True), note_at(4, boot="2"), True),
        (note_at(5), note_at(5, identity=b"j" * 16), True),
        (note_at(5), note_at(5, totals=Totals(5).pack()[:-1] + b"\1"), True),
    ],
)
def test_a_loss_is_damage_unless_the_system_went_down(note, now, is_damage):
    loss = find_loss(note, now)
    assert (None if loss is None else loss.is_damage) is is_damage


def test_a_closed_store_is_on_the_disk_and_its_witness_says_so(path):
    make_store(path)
    note = read_witness(witness_of(path))
    assert note is not None
    assert note.synced
    store = Store(path)
    store.commit([make_submitted(40)])
    assert not read_witness(witness_of(path)).synced
    store.close()


def test_a_schema_that_is_no_text_is_damage(tmp_path):
    path = tmp_path / "journal.sqlite"
    make_store(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"AND first IS NOT NULL", content.index(b"CREATE INDEX submitted")) + len(b"AND fir")
    content[at] = 0xF3  # "no such column", says SQLite, and quotes its name
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        Store(path)
    assert examine(path, is_idle=True).damages
