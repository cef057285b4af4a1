"""Tests of examinations: each damage is listed, and nothing is changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from taskfc_ext import serialize
from taskfc_ext.drivers.examination import examine
from taskfc_ext.drivers.paths import payloads_of, witness_of
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.schema import SCHEMA_VERSION
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.records import Leased
from tests.drivers.test_damaged_stores import change, killed, make_store
from tests.drivers.test_store import make_ended, make_submitted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "journal.sqlite"


@pytest.fixture
def whole(path):
    path.parent.mkdir()
    make_store(path)
    return path


def content_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the time of the last change of each file; the index of a log is no content."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.endswith("-shm")]
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_whole_store_has_no_damage_and_stays_as_it_is(whole):
    before = content_of(whole.parent)
    found = examine(whole, is_idle=True)
    assert (found.is_whole, found.damages, found.notes, found.n_records, found.version) == (
        True,
        [],
        [],
        32,
        SCHEMA_VERSION,
    )
    assert content_of(whole.parent) == before
    assert sorted(file.name for file in whole.parent.iterdir()) == sorted(before), (
        "no log, and no index of one, is left"
    )


def test_there_may_be_no_store_yet(path):
    found = examine(path, is_idle=True)
    assert (found.is_whole, found.version) == (True, 0)


@pytest.mark.parametrize("has_index", [True, False])
def test_the_log_of_a_killed_process_counts_and_stays(path, has_index):
    path.parent.mkdir()
    killed(path, "for taskid in range(20): store.commit([make_submitted(taskid)])")
    index = path.with_name(path.name + "-shm")
    if not has_index:
        index.unlink()
    before = content_of(path.parent)
    found = examine(path, is_idle=True)
    assert (found.is_whole, found.n_records) == (True, 20)
    assert (content_of(path.parent), index.exists()) == (before, has_index)
    Store(path).close()


def test_a_store_is_examined_while_it_is_open(whole):
    store = Store(whole)
    store.commit([make_submitted(40)])
    found = examine(whole, is_idle=False)
    assert (found.is_whole, found.n_records) == (True, 33)
    store.commit([make_submitted(41)])
    store.close()
    assert examine(whole, is_idle=True).n_records == 34


def test_each_damaged_row_is_named_with_its_tasks(whole):
    change(whole, "UPDATE journal SET body = x'00' WHERE seq IN (3, 8)")
    change(whole, "UPDATE code SET body = x'00' WHERE digest = x'64646464646464646464646464646464'")
    assert examine(whole, is_idle=True).damages == [
        "row 3, of tasks 0 to 3, does not agree with its check",
        "row 8, of tasks 4 to 5, does not agree with its check",
        f"the code {'64' * 16} does not agree with its check",
    ]


@pytest.mark.parametrize(
    ("condition", "fact"),
    [
        ("seq = 7", "row 7 is gone"),
        ("seq IN (7, 8, 9)", "rows 7 to 9 are gone"),
        ("seq > 25", "rows 26 to 32 are gone"),
    ],
)
def test_rows_that_are_gone_are_named(whole, condition, fact):
    change(whole, f"DELETE FROM journal WHERE {condition}")
    found = examine(whole, is_idle=True)
    assert fact in found.damages
    assert not found.is_whole


@pytest.mark.parametrize(
    "statement", ["DROP INDEX submitted", "DELETE FROM ended WHERE seq = 8", "DELETE FROM meta", "CREATE TABLE more(x)"]
)
def test_damage_for_which_a_start_refuses_the_store_is_found(whole, statement):
    change(whole, statement)
    assert examine(whole, is_idle=True).damages


def test_pages_that_cannot_be_read_are_damage(whole):
    content = whole.read_bytes()
    whole.write_bytes(bytes(4096) + content[4096:])
    assert examine(whole, is_idle=True).damages == ["file is not a database"]


def test_a_journal_that_is_gone_or_another_or_older_is_damage(whole, tmp_path):
    shutil.copy(whole, tmp_path / "older")
    store = Store(whole)
    store.commit([make_submitted(40)])
    store.close()
    shutil.copy(tmp_path / "older", whole)
    assert examine(whole, is_idle=True).damages == ["its last record, which was accepted, is gone"]
    whole.unlink()
    assert examine(whole, is_idle=True).damages == ["the file is gone, and journal.sqlite-witness is still there"]


def test_a_lost_witness_is_a_note(whole):
    witness_of(whole).unlink()
    found = examine(whole, is_idle=True)
    assert (found.is_whole, len(found.notes), found.note) == (True, 1, None)


@pytest.mark.parametrize(("version", "is_whole"), [(2, True), (99, False)])
def test_another_schema_version_is_reported_and_stays(whole, version, is_whole):
    change(whole, f"PRAGMA user_version={version}")
    before = content_of(whole.parent)
    found = examine(whole, is_idle=True)
    assert (found.version, found.is_whole, len(found.damages) + len(found.notes)) == (version, is_whole, 1)
    assert content_of(whole.parent) == before


@pytest.mark.parametrize("is_idle", [True, False])
def test_payload_files_are_compared_with_their_records(path, is_idle):
    path.parent.mkdir()
    store = Store(path)
    large = b"x" * LARGE
    bodies = store.stage([large, large, large, large])
    code = Define(serialize.digest(large), large)
    store.commit([code, make_submitted(0, 4, bodies=bodies), Leased(1, (0,), 0), make_ended(0)])
    gone, cut, changed, _ = (payloads_of(path) / body.file for body in bodies)
    (code_file,) = {entry.name for entry in payloads_of(path).iterdir()} - {body.file for body in bodies}
    if is_idle:
        store.close()
    gone.unlink()
    cut.write_bytes(b"x")
    for file in (changed, payloads_of(path) / code_file):
        file.write_bytes(b"x" * (LARGE - 1) + b"y")
    (payloads_of(path) / "1f").write_bytes(b"")
    found = examine(path, is_idle=is_idle)
    assert found.lost_files == [
        f"the payload file {gone.name} of task 0 is gone",
        f"the payload file {cut.name} of task 1 has 1 bytes, and {LARGE} were recorded",
        f"the payload file {changed.name} of task 2 has another content than was written",
        f"the payload file {code_file} of a code body has another content than was written",
    ]
    assert (found.damages, found.n_files, found.is_whole) == ([], 1, False)
    assert found.notes == (["the next start removes payload files without a task: 1"] if is_idle else [])
    if not is_idle:
        store.close()
