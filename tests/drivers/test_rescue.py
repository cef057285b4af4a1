"""Tests of the rescue of a store whose files are removed while it is open."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from taskfc_ext.drivers import rescue
from taskfc_ext.drivers.files import try_lock
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.rescue import HeldLock, StoreRemoved
from taskfc_ext.drivers.store import Store
from taskfc_ext.errors import StoreError
from tests.drivers.test_store import make_ended, make_submitted


def replace_by_a_copy(journal: Path) -> None:
    copy = shutil.copyfile(journal, journal.with_name("copy"))
    copy.rename(journal)


def make_empty(journal: Path) -> None:
    journal.unlink()
    journal.touch()


@pytest.mark.parametrize(
    "harm",
    [
        lambda journal: shutil.rmtree(journal.parent),
        lambda journal: journal.unlink(),
        lambda journal: journal.with_name("journal.sqlite-wal").unlink(),
        lambda journal: journal.rename(journal.with_name("elsewhere")),
        replace_by_a_copy,
        make_empty,
    ],
    ids=["folder", "journal", "log", "renamed", "copied", "emptied"],
)
@pytest.mark.parametrize("is_settled", [False, True], ids=["in the log", "in the file"])
def test_all_commits_are_in_the_file_again(tmp_path, monkeypatch, harm, is_settled):
    monkeypatch.setattr(rescue, "LOOK_EVERY", 0.0)
    journal = tmp_path / "store" / "journal.sqlite"
    journal.parent.mkdir()
    store = Store(journal)
    records = [make_submitted(first, 100, seq=first + 1) for first in range(0, 1000, 100)]
    store.commit(records)
    if is_settled:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.commit([make_ended(7)])
    harm(journal)
    with pytest.raises(StoreRemoved, match="removed or replaced"):
        store.commit([make_ended(8)])
    again = Store(journal)
    assert list(again.records()) == [*records, make_ended(7)]
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    again.commit([make_ended(8)])
    again.close()
    assert not {path.name for path in journal.parent.iterdir()} & {
        f"{journal.name}-{end}" for end in ("wal", "rescued")
    }


@pytest.mark.parametrize("is_synced", [False, True])
def test_commits_between_two_looks_are_in_the_file_again(tmp_path, monkeypatch, is_synced):
    monkeypatch.setattr(rescue, "LOOK_EVERY", 3600.0)
    journal = tmp_path / "store" / "journal.sqlite"
    journal.parent.mkdir()
    store = Store(journal, is_synced=is_synced)
    records = [make_submitted(first, seq=first + 1) for first in range(300)]  # upkeep looks at the log, too
    store.commit(records[:1])
    shutil.rmtree(journal.parent)
    for record in records[1:]:
        store.commit([record])
    with pytest.raises(StoreRemoved, match="removed or replaced"):
        store.check_files()
    again = Store(journal)
    assert list(again.records()) == records
    again.close()


def test_a_commit_that_fails_since_the_folder_is_gone_saves_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(rescue, "LOOK_EVERY", 3600.0)
    journal = tmp_path / "store" / "journal.sqlite"
    journal.parent.mkdir()
    store = Store(journal, is_synced=True)
    store.commit([make_submitted()])
    bodies = store.stage([b"x" * LARGE])
    shutil.rmtree(journal.parent)
    with pytest.raises(StoreRemoved, match="removed or replaced"):
        store.commit([make_submitted(1, bodies=bodies, seq=2)])  # its file cannot be synced
    again = Store(journal)
    assert list(again.records()) == [make_submitted()]
    again.close()


def test_a_journal_that_cannot_be_written_again_is_an_error(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    store = Store(folder / "journal.sqlite")
    shutil.rmtree(folder)
    folder.write_text("in its place")
    with pytest.raises(StoreError, match=r"cannot be written again: .*File exists"):
        store.check_files()


def test_a_removed_lock_is_held_again_and_only_once(tmp_path):
    path = tmp_path / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    lock = HeldLock(path, fd)
    assert try_lock(fd)
    assert not lock.renew()
    path.unlink()
    assert lock.renew()
    assert not lock.renew()
    with path.open() as other:
        assert not try_lock(other.fileno())
    path.unlink()
    with path.open("w") as other:
        assert try_lock(other.fileno())
        with pytest.raises(StoreError, match="another farm has it"):
            lock.renew()
    os.close(lock.fd)
