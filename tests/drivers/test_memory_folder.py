"""The folders of farms that keep their tasks in memory only: where they are, who may use them, and what is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from taskfc_ext.drivers import memory_folder
from taskfc_ext.drivers.memory_folder import hold_memory, make_memory_folder, place_store, remove_left_behind
from taskfc_ext.drivers.paths import FarmPaths, farm_paths, is_in_memory, prepare
from taskfc_ext.drivers.room import RESERVE, RESERVE_IN_MEMORY, Reserve, refuse_start, storage_full
from taskfc_ext.drivers.uploads import UploadFolder
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.options import FarmOptions


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in the place of `/dev/shm`."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setattr(memory_folder, "SHARED_MEMORY", folder)
    yield folder
    shutil.rmtree(folder)


def options(store: str = "memory", **fields: object) -> FarmOptions:
    given = {"n_workers": 1, "python": "", "cwd": "", "sys_path": (), "store": store, **fields}
    return msgspec.convert(given, FarmOptions)


def paths_in(home: Path, name: str = "default") -> FarmPaths:
    found = farm_paths(name, environ={"XDG_STATE_HOME": f"{home}/state", "XDG_RUNTIME_DIR": f"{home}/run"})
    prepare(found)
    return place_store(found, options())


def test_only_the_journal_and_its_files_are_in_memory(shared: Path, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    folder = shared / f"taskfc-{os.getuid()}" / f"{paths.tag}.memory"
    assert paths.memory == paths.data == folder
    assert {paths.journal.parent, paths.payloads.parent, paths.uploads.parent, paths.reserve.parent} == {folder}
    for file in (paths.lock, paths.options, paths.stops, paths.controller_log, paths.next_worker):
        assert file.parent == paths.store
    assert is_in_memory(folder)
    assert not is_in_memory(paths.store)


@pytest.mark.parametrize("store", ["disk", "sqlite"])
def test_a_store_on_the_disk_is_where_it_was(shared: Path, tmp_path: Path, store: str) -> None:
    paths = place_store(paths_in(tmp_path), options(store))
    assert paths.memory is None
    assert paths.journal == paths.store / "journal.sqlite"


def test_nothing_of_a_store_in_memory_is_synced() -> None:
    assert options("disk", durability="disk").is_synced
    assert not options("memory", durability="disk").is_synced


def test_without_shared_memory_the_folder_is_beside_the_sockets(shared: Path, tmp_path: Path) -> None:
    paths = farm_paths("default", environ={"XDG_STATE_HOME": f"{tmp_path}/state", "XDG_RUNTIME_DIR": f"{tmp_path}/run"})
    shared.rename(f"{shared}.away")
    try:
        paths = place_store(paths, options())
    finally:
        Path(f"{shared}.away").rename(shared)
    assert paths.memory == paths.sockets / f"{paths.tag}.memory"


def test_the_folder_is_private_held_empty_and_gone_at_the_end(shared: Path, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    assert paths.memory is not None
    make_memory_folder(paths.memory)
    paths.journal.write_text("of a farm that was killed")
    with hold_memory(paths):
        assert list(paths.memory.iterdir()) == []
        assert {stat.S_IMODE(each.stat().st_mode) for each in (paths.memory, paths.memory.parent)} == {0o700}
        paths.payloads.mkdir()
        remove_left_behind(paths_in(tmp_path, "other"))
        assert paths.payloads.exists()
        with pytest.raises(StartFailed, match="is in use"), hold_memory(paths):
            pass
    assert list(shared.iterdir()) == []


def test_folders_of_dead_farms_are_removed_but_for_the_uploads_of_the_living(shared: Path, tmp_path: Path) -> None:
    dead, starting = paths_in(tmp_path, "dead"), paths_in(tmp_path, "starting")
    for paths in (dead, starting):
        assert paths.memory is not None
        make_memory_folder(paths.memory)
        paths.payloads.mkdir()
        paths.journal.write_text("")
    (dead.uploads / "c1").mkdir(parents=True)
    sender = UploadFolder(lambda: starting.uploads, "c2")
    upload = sender.write([b"1234"], what="the argument")
    remove_left_behind(paths_in(tmp_path, "other"))
    assert not dead.data.exists()
    assert [str(each.relative_to(starting.data)) for each in sorted(starting.data.rglob("*"))] == [
        "journal.sqlite-uploads",
        "journal.sqlite-uploads/c2",
        "journal.sqlite-uploads/c2/1",
    ]
    with hold_memory(starting):
        assert upload.exists
    del upload
    sender.close()


def test_a_link_or_a_folder_that_others_can_enter_is_refused(shared: Path, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    assert paths.memory is not None
    root = paths.memory.parent
    (tmp_path / "theirs").mkdir()
    root.symlink_to(tmp_path / "theirs")
    with pytest.raises(StartFailed, match="is a symbolic link") as caught, hold_memory(paths):
        pass
    assert caught.value.hint == "remove it, or start the farm with its store on the disk"
    root.unlink()
    root.mkdir(mode=0o755)
    with pytest.raises(StartFailed, match="other users can enter"), hold_memory(paths):
        pass


def test_a_locked_folder_of_a_living_farm_is_left_alone(shared: Path, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    assert paths.memory is not None
    make_memory_folder(paths.memory)
    lock = os.open(paths.memory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    remove_left_behind(paths)
    assert paths.memory.is_dir()
    os.close(lock)
    remove_left_behind(paths)
    assert not paths.memory.exists()


def test_messages_about_room_speak_of_memory_and_little_is_reserved(shared: Path, tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    assert Reserve(paths.reserve).size == RESERVE_IN_MEMORY < RESERVE == Reserve(tmp_path / "reserve").size
    error = storage_full(paths.data)
    assert error.message.startswith("the memory of the farm's store is full (")
    assert error.hint == "clear finished tasks"
    assert storage_full(tmp_path).message.startswith("the disk of the farm's store is full (")
    assert refuse_start([paths.data]) is None  # it is not there
