"""Kinds of damage. Each takes a source of chance, the folder of a copy, and the sample that it was copied from."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from taskfc_ext.drivers.schema import TABLES
from tests.damage.stores import JOURNAL, Sample

PAGE = 4096

Damage = Callable[[random.Random, Path, Sample], object]


def open_database(journal: Path) -> closing[sqlite3.Connection]:
    """Open a database of nobody else; each statement is a transaction, and closing it leaves no log."""
    return closing(sqlite3.connect(journal, isolation_level=None))


def change(journal: Path, statement: str) -> None:
    """Execute a statement in a database of nobody else."""
    with open_database(journal) as db:
        db.execute(statement)


def leave_out(db: sqlite3.Connection, index: str, condition: str) -> None:
    """Let an index lack the rows that meet a condition."""
    sql = TABLES[index]
    for text in (f"{sql} AND NOT ({condition})", sql):
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text, index))
        db.execute("PRAGMA writable_schema=RESET")
        if text != sql:
            db.execute("REINDEX")


def flip_a_bit(draw: random.Random, folder: Path, sample: Sample) -> None:
    _change(draw, _database_file(draw, folder), _flip)


def flip_a_bit_of_the_log(draw: random.Random, folder: Path, sample: Sample) -> None:
    _change(draw, _log_or_journal(folder), _flip)


def cut(draw: random.Random, folder: Path, sample: Sample) -> None:
    path = _database_file(draw, folder)
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def cut_the_log(draw: random.Random, folder: Path, sample: Sample) -> None:
    path = _log_or_journal(folder)
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def overwrite_a_page(draw: random.Random, folder: Path, sample: Sample) -> None:
    path = _log_or_journal(folder) if draw.random() < 0.3 else folder / JOURNAL
    content = bytearray(path.read_bytes())
    at, other = (draw.randrange(max(1, len(content) // PAGE)) * PAGE for _ in range(2))
    page = draw.choice((bytes(PAGE), draw.randbytes(PAGE), bytes(content[other : other + PAGE])))
    content[at : at + len(page)] = page
    path.write_bytes(content)


def lose_a_row(draw: random.Random, folder: Path, sample: Sample) -> None:
    table, column = draw.choice((("journal", "seq"),) * 4 + (("ended", "seq"), ("code", "digest"), ("files", "number")))
    with open_database(folder / JOURNAL) as db:
        values = [value for (value,) in db.execute(f"SELECT {column} FROM {table}")]
        if values:
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (draw.choice(values),))


def double_or_change_a_row(draw: random.Random, folder: Path, sample: Sample) -> None:
    with open_database(folder / JOURNAL) as db:
        seq = draw.choice([value for (value,) in db.execute("SELECT seq FROM journal")])
        statement = draw.choice(
            (
                "INSERT INTO journal SELECT 5000, kind, first, last, sum, totals, body FROM journal WHERE seq = ?",
                "UPDATE journal SET first = first + 1 WHERE seq = ? AND first IS NOT NULL",
                "UPDATE journal SET body = zeroblob(length(body)) WHERE seq = ?",
                "UPDATE journal SET kind = 1 + kind % 3 WHERE seq = ?",
                "UPDATE journal SET seq = seq + 5000 WHERE seq = ?",
                "UPDATE journal SET body = (SELECT body FROM journal WHERE kind = 2 LIMIT 1) WHERE seq = ?",
                "UPDATE ended SET block = block + 1 WHERE seq = ?",
            )
        )
        db.execute(statement, (seq,))


def lose_an_index_entry(draw: random.Random, folder: Path, sample: Sample) -> None:
    index = draw.choice(("submitted", "hollow", "files_of"))
    with open_database(folder / JOURNAL) as db:
        table, column = ("files", "number") if index == "files_of" else ("journal", "seq")
        values = [value for (value,) in db.execute(f"SELECT {column} FROM {table}")]
        leave_out(db, index, f"{column} = {draw.choice(values)}")


def damage_a_payload(draw: random.Random, folder: Path, sample: Sample) -> None:
    path = draw.choice(sorted((folder / f"{JOURNAL}-payloads").iterdir()))
    kind = draw.choices(("flip", "cut", "exchange", "lose"), (5, 2, 1, 1))[0]
    if kind == "flip":
        _change(draw, path, _flip)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])
    elif kind == "exchange":
        path.write_bytes(draw.randbytes(path.stat().st_size))
    else:
        path.unlink()


def lose_a_file(draw: random.Random, folder: Path, sample: Sample) -> None:
    path = draw.choice([folder / JOURNAL, _log_or_journal(folder), folder / f"{JOURNAL}-witness"])
    path.unlink() if draw.random() < 0.7 else path.write_bytes(b"")


def exchange_for_an_older_file(draw: random.Random, folder: Path, sample: Sample) -> None:
    names = [path.name for path in sample.older.iterdir() if path.is_file() and (folder / path.name).exists()]
    name = draw.choice([each for each in names if not each.endswith("-shm")])
    shutil.copy(sample.older / name, folder / name)


DAMAGES: dict[str, tuple[Damage, int]] = {
    "bit flipped": (flip_a_bit, 30),
    "bit of the log flipped": (flip_a_bit_of_the_log, 10),
    "file cut": (cut, 10),
    "log cut": (cut_the_log, 5),
    "page overwritten": (overwrite_a_page, 15),
    "row lost": (lose_a_row, 10),
    "row changed or doubled": (double_or_change_a_row, 8),
    "index entry lost": (lose_an_index_entry, 5),
    "file lost or emptied": (lose_a_file, 4),
    "payload damaged or lost": (damage_a_payload, 10),
    "older file": (exchange_for_an_older_file, 3),
}
"""Each kind with its weight."""

LOG = ("bit of the log flipped", "log cut")
"""Kinds that are for stores whose process was killed."""


def _change(draw: random.Random, path: Path, change: Callable[[random.Random, bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(draw, content)
    path.write_bytes(content)


def _flip(draw: random.Random, content: bytearray) -> None:
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def _database_file(draw: random.Random, folder: Path) -> Path:
    paths = [folder / JOURNAL, _log_or_journal(folder), folder / f"{JOURNAL}-witness"]
    return draw.choices(paths, (6, 3, 1))[0]


def _log_or_journal(folder: Path) -> Path:
    log = folder / f"{JOURNAL}-wal"
    return log if log.exists() and log.stat().st_size else folder / JOURNAL
