"""Tests of migrations: a store of an earlier version opens with all that it held."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing

import pytest

from taskfc_ext.drivers import schema
from taskfc_ext.drivers.examination import examine
from taskfc_ext.drivers.paths import payloads_of
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.schema import SCHEMA_VERSION, TABLES
from taskfc_ext.drivers.store import Store
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.payloads import PayloadRef
from taskfc_ext.protocol.records import Began, Cleared, Leased
from tests.damage.damages import change
from tests.drivers.old_stores import make_schema_2
from tests.drivers.test_store import find_values, make_ended, make_submitted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


BODY = os.urandom(LARGE)
RECORDS = [
    Began(1, 0.0),
    Define(b"d" * 16, b"body"),
    make_submitted(0, 2, bodies=(b"small", PayloadRef("1f", LARGE))),
    Leased(1, (0,), 0),
    make_ended(0),
    make_submitted(2, 3000),
    make_ended(2, 3001),
]


def make_old(path) -> None:
    payloads_of(path).mkdir()
    (payloads_of(path) / "1f").write_bytes(BODY)
    make_schema_2(path, RECORDS, {0x1F: 1})


def test_a_store_of_version_2_is_migrated_with_all_that_it_holds(path):
    make_old(path)
    for _ in range(2):  # the second time, it is a store of this version
        store = Store(path)
        expected = [Define(b"d" * 16, PayloadRef((b"d" * 16).hex(), 4)) if each is RECORDS[1] else each
                    for each in RECORDS]  # fmt: skip
        assert list(store.records()) == expected
        assert store.code(b"d" * 16) == b"body"
        assert find_values(store, [0, 2, 3001]) == {0: b"value 0", 2: b"value 2", 3001: b"value 3001"}
        assert store.payload(store.batch_of(1).bodies[1]) == BODY
        store.close()
    store = Store(path)
    store.commit([make_ended(1), Cleared((0, 1), "a" * 16, 1)])
    assert find_values(store, [0, 1]) == {}
    store.close()
    Store(path).close()


def test_a_migrated_store_has_the_schema_of_a_new_one(path):
    make_old(path)
    Store(path).close()
    db = sqlite3.connect(path)
    assert dict(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")) == TABLES
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


def test_an_old_store_that_is_damaged_is_refused_and_stays_as_it_was(path):
    make_old(path)
    change(path, "UPDATE journal SET body = x'00ff' WHERE seq = 3")
    before = path.read_bytes()
    with pytest.raises(StoreError):
        Store(path)
    assert path.read_bytes() == before


def test_a_store_of_version_3_keeps_its_payloads_which_have_no_check_sums(path):
    store = Store(path)
    (body,) = store.stage([b"x" * LARGE])
    unchecked = PayloadRef(body.file, body.size)
    store.commit([make_submitted(0, bodies=(unchecked,))])
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version=3")
    found = examine(path, is_idle=True)
    assert (found.is_whole, found.version, found.n_files) == (True, 3, 1)
    store = Store(path)
    assert store.batch_of(0).bodies == (unchecked,)
    assert store.payload(unchecked) == b"x" * LARGE
    assert store._db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    store.close()


def test_a_long_migration_reports_its_progress(path, monkeypatch, caplog):
    monkeypatch.setattr(schema, "_PROGRESS_EVERY", 0.0)
    make_schema_2(path, [make_submitted(taskid) for taskid in range(2500)], {})
    with caplog.at_level(logging.INFO):
        Store(path).close()
    assert [record.getMessage() for record in caplog.records if "of 2500" in record.getMessage()] == [
        "migrated 1000 of 2500 rows",
        "migrated 2000 of 2500 rows",
    ]
