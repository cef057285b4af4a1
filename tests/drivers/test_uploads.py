"""Large payloads on their way: the files of senders, their end, and the mappings of receivers."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.drivers.paths import payloads_of, uploads_of
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.uploads import KEPT_AFTER_DEATH, LargePayloads, UploadFolder, remove_dead, write_new
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.payloads import PayloadRef, Upload


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def store(journal: Path) -> Iterator[Store]:
    store = Store(journal)
    yield store
    store.close()


def test_the_parts_of_a_payload_stand_in_its_file_one_after_the_other(tmp_path: Path) -> None:
    parts = [b"head", b"", memoryview(bytearray(b"body")), *[b"%d" % i for i in range(3000)]]  # more than writev takes
    size = write_new(tmp_path / "1", parts)
    assert (tmp_path / "1").read_bytes() == b"".join(parts)
    assert size == sum(map(len, parts))


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_a_few(descriptor: int, views: list[memoryview]) -> int:
        return os.write(descriptor, b"".join(views)[:7])

    monkeypatch.setattr(os, "writev", write_a_few)
    write_new(tmp_path / "1", [b"0123", b"456789", b"abcdefghijklmnop"])
    assert (tmp_path / "1").read_bytes() == b"0123456789abcdefghijklmnop"


def test_a_payload_without_room_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "writev", fail)
    folder = UploadFolder(tmp_path / "uploads", "c1")
    with pytest.raises(StoreError, match=r"there is no room for the arguments of fit in .*No space left"):
        folder.write([b"x"], what="the arguments of fit")
    assert list((tmp_path / "uploads" / "c1").iterdir()) == []


def test_a_file_goes_with_the_last_reference_to_it(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, "c1")
    file, other = folder.write([b"x"], what="it"), folder.write([b"y"], what="it")
    del file
    gc.collect()
    assert [path.name for path in (tmp_path / "c1").iterdir()] == [other.upload.file]


def test_a_forked_child_removes_no_file_of_its_parent(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, "c1")
    file = folder.write([b"x"], what="it")
    child = os.fork()
    if child == 0:
        file.__del__()
        folder.__del__()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "c1" / file.upload.file).exists()


def test_the_folder_goes_with_its_sender_once_it_is_empty(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, "c1")
    file = folder.write([b"x"], what="it")
    del file
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path / "uploads", "c1")
    file = folder.write([b"x"], what="it")
    (tmp_path / "uploads" / "c1" / file.upload.file).unlink()
    (tmp_path / "uploads" / "c1").rmdir()
    again = folder.write([b"y"], what="it")
    assert (tmp_path / "uploads" / "c1" / again.upload.file).read_bytes() == b"y"


def test_folders_of_dead_senders_go_after_a_while_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    living = UploadFolder(tmp_path, "c1")
    file = living.write([b"x"], what="it")
    (tmp_path / "c2").mkdir()
    (tmp_path / "c2" / "1").write_bytes(b"y")
    remove_dead(tmp_path)
    assert (tmp_path / "c2" / "1").exists()  # its last message may still be on its way
    remove_dead(tmp_path, now=time.time() + KEPT_AFTER_DEATH + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["c1"]
    assert (tmp_path / "c1" / file.upload.file).exists()
    remove_dead(tmp_path / "nothing here")


def test_a_payload_goes_through_the_store_without_a_copy(journal: Path, store: Store) -> None:
    sender, receiver = LargePayloads(journal, "c1"), LargePayloads(journal, "w1")
    file = sender.write([b"x" * 100_000], what="it")
    inode = (uploads_of(journal) / "c1" / file.upload.file).stat().st_ino
    (ref,) = store.stage([file.upload])
    assert isinstance(ref, PayloadRef)
    del file
    assert (payloads_of(journal) / ref.file).stat().st_ino == inode
    first, second = receiver.read(ref), receiver.read(ref)
    assert not isinstance(first, bytes)
    first[0] = ord("y")  # it can be written to, and nobody else sees that
    assert (first[:2], second[:2], store.payload(ref)[:2]) == (b"yx", b"xx", b"xx")
    assert receiver.read(b"small") == b"small"


@pytest.mark.parametrize("size", [99_999, 100_001], ids=["shorter", "longer"])
def test_a_payload_of_another_size_than_announced_is_not_taken(journal: Path, store: Store, size: int) -> None:
    file = LargePayloads(journal, "c1").write([b"x" * 100_000], what="it")
    with pytest.raises(FileNotFoundError):
        store.stage([Upload("c1", file.upload.file, size)])


def test_a_symbolic_link_is_not_taken(journal: Path, store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 100)
    (uploads_of(journal) / "c1").mkdir(parents=True)
    (uploads_of(journal) / "c1" / "1").symlink_to(secret)
    with pytest.raises(FileNotFoundError):
        store.stage([Upload("c1", "1", 100)])


def test_a_damaged_payload_is_not_mapped(journal: Path, store: Store) -> None:
    (ref,) = store.stage([b"x" * 100_000])
    assert isinstance(ref, PayloadRef)
    os.truncate(payloads_of(journal) / ref.file, 10)  # mapped, it would end its reader with SIGBUS
    with pytest.raises(OSError, match="its size is not the one that was recorded"):
        LargePayloads(journal, "w1").read(ref)
