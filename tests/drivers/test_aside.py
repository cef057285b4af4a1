"""Tests of stores that are put aside, and of the modes of a store's files."""

from __future__ import annotations

import os

import pytest

from taskfc_ext.client.forget import forget
from taskfc_ext.client.start import empty_store
from taskfc_ext.drivers import aside
from taskfc_ext.drivers.aside import find_aside, put_aside
from taskfc_ext.drivers.paths import farm_paths, known_farms, prepare
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.store import Store
from tests.drivers.test_store import find_values, make_ended, make_submitted, read_all


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    paths = farm_paths("night")
    prepare(paths)
    return paths


def fill(paths, value: bytes = b"value") -> None:
    store = Store(paths.journal)
    store.commit([make_submitted(0, bodies=store.stage((os.urandom(LARGE),))), make_ended(0, value=value)])
    store.close()


def test_a_store_that_is_put_aside_is_whole_and_the_next_one_is_empty(paths):
    fill(paths)
    folder = empty_store(paths)
    store = Store(folder / paths.journal.name)
    assert find_values(store, [0]) == {0: b"value 0"}
    assert len(store.payload(store.batch_of(0).bodies[0])) == LARGE
    store.close()
    assert read_all(paths.journal) == []
    assert known_farms() == ["night"]


def test_the_newest_three_are_kept(paths):
    folders = []
    for _ in range(5):  # in the same second, mostly
        fill(paths)
        folders.append(put_aside(paths))
    assert find_aside(paths) == folders[-3:]


def test_the_order_is_that_of_time(paths, monkeypatch):
    stamps = [f"20261129-17000{second}" for second in (0, 0, 1)] * 4
    monkeypatch.setattr(aside, "KEPT", 100)
    monkeypatch.setattr(aside.time, "strftime", lambda form: stamps.pop())
    for _ in range(12):
        fill(paths)
        put_aside(paths)
    names = [folder.name.removeprefix("night.20261129-17000") for folder in find_aside(paths)]
    assert names == ["0", *[f"0-{n}" for n in range(2, 9)], "1", "1-2", "1-3", "1-4"]


def test_an_empty_store_is_not_kept(paths):
    paths.options.write_text("{}")
    assert put_aside(paths) is None
    assert find_aside(paths) == []
    assert not paths.options.exists()


def test_another_farm_with_a_name_that_begins_alike_is_left_alone(paths):
    other = farm_paths("night.more")
    prepare(other)
    for each in (paths, other):
        fill(each)
        put_aside(each)
    fill(paths)
    paths.lock.touch()
    forget("night")
    assert (find_aside(paths), len(find_aside(other))) == ([], 1)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_a_store_whatever_the_umask(paths, umask):
    before = os.umask(umask)
    try:
        store = Store(paths.journal)
        store.commit([make_submitted(0, bodies=store.stage((os.urandom(LARGE),))), make_ended(0)])
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in paths.store.rglob("*") if path.is_file()}
        folders = {oct(path.stat().st_mode & 0o777) for path in paths.store.parent.rglob("*") if path.is_dir()}
        store.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {"0o600"}
    assert {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.sqlite-witness"} < set(modes)
    assert folders == {"0o700"}


def test_a_store_that_others_could_read_is_closed_to_them(paths):
    fill(paths)
    paths.journal.chmod(0o644)
    Store(paths.journal).close()
    assert paths.journal.stat().st_mode & 0o777 == 0o600
