"""The stores of the harness, and portraits of all that can be read from them."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from taskfc_ext import serialize
from taskfc_ext.drivers import upkeep
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.store import Store
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.payloads import Payload, PayloadRef
from taskfc_ext.protocol.records import Began, Broadcasted, Cleared, CodeSpan, Leased, Record
from taskfc_ext.protocol.spec import Kind
from tests.drivers.test_store import baseline, make_ended, make_submitted

JOURNAL = "journal.sqlite"

N_TASKS = 120

LARGE_CODE = b"a body that stands in a file " * (LARGE // 29 + 1)

LARGE_DIGEST = serialize.digest(LARGE_CODE)


@dataclass(frozen=True)
class Sample:
    """A store to be damaged, and the facts that each read of it has to give.

    Attributes:
        folder: its files, also those of the log, as after `kill -9`.
        older: the same store, some commits before.
        ended: tasks whose ends have to be found.
        portrait: see `take_portrait`.
    """

    name: str
    folder: Path
    older: Path
    ended: frozenset[int]
    portrait: tuple


upkeep.TIDY_EVERY = 0.0  # a compaction of a damaged store is a part of the trial


def make_samples(root: Path, seed: int) -> list[Sample]:
    """Make the stores: closed with rows before a baseline, and killed with a long log."""
    return [_make(root / name, name, seed, is_closed=name == "closed") for name in ("closed", "killed")]


def _make(root: Path, name: str, seed: int, *, is_closed: bool) -> Sample:
    draw = random.Random(f"{seed}/{name}")
    live = root / "live"
    live.mkdir(parents=True)
    store = Store(live / JOURNAL)
    cleared: set[int] = set()
    ended: set[int] = set()
    store.use_checks(lambda taskid: taskid not in cleared, lambda taskid: taskid in ended - cleared)
    store._upkeep.after_commit = lambda *args, **kwargs: None  # type: ignore[method-assign]  # the log stays
    store.commit([Began(1, 0.0), Define(b"d" * 16, b"code"), Define(LARGE_DIGEST, LARGE_CODE)])
    first = 0
    while first < N_TASKS:
        for record in _some_records(draw, first, n := draw.choice((1, 1, 3, 20)), store):
            store.commit([record])
        ended |= set(range(first, first + n - (n > 3)))
        first += n
        if draw.random() < 0.1:
            gone = tuple(draw.sample(range(first), min(3, first)))
            cleared |= set(gone)
            store.commit([Cleared(gone, "a" * 16, 1)])
        if is_closed and first > N_TASKS // 2 and not store._journal.base:
            store.commit([baseline(spans=(CodeSpan(0, first, first, (b"c" * 16,)),))])
    older = root / "older"
    shutil.copytree(live, older)
    store.commit([make_submitted(first, 2), Leased(10_000, (first,), 0)])
    if is_closed:
        store.close()
        shutil.copytree(live, root / "sample")
    else:
        shutil.copytree(live, root / "sample")
        store.close()
    sample = Sample(name, root / "sample", older, frozenset(ended - cleared), ())
    trial = root / "trial"
    shutil.copytree(sample.folder, trial)
    return Sample(name, sample.folder, older, sample.ended, read_all(trial, sample.ended)[0])


def _some_records(draw: random.Random, first: int, n: int, store: Store) -> list[Record]:
    bodies = tuple(draw.randbytes(draw.choice((5, 300, 9000))) for _ in range(n))
    values = [make_ended(taskid, value=draw.randbytes(40)) for taskid in range(first, first + n - (n > 3))]
    if draw.random() < 0.05:
        bodies = store.stage((draw.randbytes(LARGE), *bodies[1:]))
    records: list[Record] = [make_submitted(first, n, bodies=bodies), Leased(first + 1, (first,), 0), *values]
    if draw.random() < 0.1:
        records.append(
            Broadcasted(number=first + 1, session="a", seq=1, kind=Kind.STRING, label="", code=b"", body=b"")
        )
    return records


def read_all(folder: Path, ended: frozenset[int]) -> tuple[tuple, tuple, list[str]]:
    """Return a portrait of a store, one after one more commit and another start, and the warnings.

    Raises:
        StoreError: it is damaged.
    """
    store = open_store(folder, ended)
    try:
        before, warnings = take_portrait(store, ended), store.warnings
        store.commit([make_submitted(900, 1, bodies=(b"more" * 3000,))])
    finally:
        end(store)
    store = open_store(folder, ended)
    try:
        after = take_portrait(store, ended)
    finally:
        end(store)
    return before, after, warnings


def open_store(folder: Path, ended: frozenset[int]) -> Store:
    """Open a store with the checks of a core that knows its tasks; without the thread of its upkeep."""
    store = Store(folder / JOURNAL)
    store.use_checks(lambda taskid: True, lambda taskid: taskid in ended)
    store._upkeep.join()
    store._upkeep.after_commit = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return store


def end(store: Store) -> None:
    """Let go of a store as a killed process does."""
    store._db.close()
    store._witness.abandon()


def read(store: Store, payload: Payload, digest: bytes = b"") -> bytes:
    """Return the content of a payload, as its reader gets it.

    Raises:
        StoreError: the reader sees that it is damaged.
    """
    content = store.payload(payload)
    if isinstance(payload, PayloadRef) and (not content or (digest and serialize.digest(content) != digest)):
        raise StoreError(f"the payload file {payload.file} is damaged")
    return content


def take_portrait(store: Store, ended: frozenset[int]) -> tuple:
    """Return all that can be read from a store."""
    records = list(store.records())
    submitted = []
    taskid = 0
    while taskid < N_TASKS + 20:
        try:
            batch = store.batch_of(taskid)
        except KeyError:
            taskid += 1
        else:
            submitted.append((batch, tuple([read(store, body) for body in batch.bodies])))
            taskid = batch.first + len(batch.bodies)
    found = {record.ids[row]: record.values[row] for record, rows in store.find_ended(ended) for row in rows}
    newest = list(store.newest_ended())
    by_id = [(record.ids[row], record.values[row]) for record, row in store.ended_by_id()]
    code = []
    for digest in (b"d" * 16, LARGE_DIGEST):
        try:
            code.append(read(store, store.code(digest), digest))
        except KeyError as error:
            raise StoreError(f"the code {digest.hex()} is gone, as its tasks see") from error
    return records, submitted, found, newest, by_id, code


def is_equal_but_for_one(before: tuple, after: tuple) -> bool:
    """Return whether a portrait differs from an earlier one by the commit in between."""
    return after[0][:-1] == before[0] and after[0][-1] == make_submitted(900, 1, bodies=(b"more" * 3000,)) and (
        after[1:] == before[1:]
    )  # fmt: skip


__all__ = ["JOURNAL", "Sample", "StoreError", "is_equal_but_for_one", "make_samples", "read_all"]
