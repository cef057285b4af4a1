"""Stores of earlier schema versions, for the tests of migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from taskfc_ext.drivers.kinds import KINDS, span_of
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.records import Record, encode_record

SCHEMA_2 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value);
CREATE TABLE journal(seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, first INTEGER, last INTEGER, body BLOB NOT NULL);
CREATE INDEX submitted ON journal(first) WHERE kind = 1 AND first IS NOT NULL;
CREATE INDEX hollow ON journal(seq) WHERE first IS NULL;
CREATE TABLE ended(block INTEGER, seq INTEGER, PRIMARY KEY(block, seq)) WITHOUT ROWID;
CREATE TABLE code(digest BLOB PRIMARY KEY, body BLOB, file INTEGER, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files(number INTEGER PRIMARY KEY, taskid INTEGER);
CREATE INDEX files_of ON files(taskid) WHERE taskid IS NOT NULL;
PRAGMA user_version=2;
"""


def make_schema_2(path: Path, records: Sequence[Record], files: Mapping[int, int | None]) -> None:
    """Make a store of schema version 2 with `records`; `files`: task of each payload file."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(SCHEMA_2)
    for seq, record in enumerate(records, start=1):
        if isinstance(record, Define):
            assert isinstance(record.body, bytes)
            db.execute("INSERT INTO code VALUES (?, ?, NULL, ?)", (record.digest, record.body, len(record.body)))
            row = (None, None, record.digest)
        else:
            row = (*span_of(record), encode_record(record))
        db.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", (seq, KINDS[type(record)], *row))
        if isinstance(record, Ended):
            blocks = {(taskid >> 10, seq) for taskid in record.ids}
            db.executemany("INSERT INTO ended VALUES (?, ?)", blocks)
    db.executemany("INSERT INTO files VALUES (?, ?)", files.items())
    db.close()
