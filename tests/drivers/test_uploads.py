"""Large payloads on their way: the files of senders, their end, and the mappings of receivers."""

from __future__ import annotations

import gc
import mmap
import os
import resource
import threading
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from taskfc_ext.drivers.paths import payloads_of, uploads_of
from taskfc_ext.drivers.payload_reading import COMPARED_AFTER, READ_UP_TO, read_content, read_payload
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.uploads import (
    LargePayloads,
    UploadedFile,
    UploadFolder,
    UploadGone,
    remove_dead,
    remove_left,
    write_new,
)
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
    written = write_new(tmp_path / "1", parts)
    content = b"".join(parts)
    assert (tmp_path / "1").read_bytes() == content
    assert written == (len(content), zlib.crc32(content), (tmp_path / "1").stat().st_mtime_ns)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_a_few(descriptor: int, views: list[memoryview]) -> int:
        return os.write(descriptor, b"".join(views)[:7])

    monkeypatch.setattr(os, "writev", write_a_few)
    write_new(tmp_path / "1", [b"0123", b"456789", b"abcdefghijklmnop"])
    assert (tmp_path / "1").read_bytes() == b"0123456789abcdefghijklmnop"


def test_the_bytes_that_are_written_are_reported_after_each_part(tmp_path: Path) -> None:
    parts = [bytes(10), memoryview(bytes(40 * 2**20))]
    size = 40 * 2**20 + 10
    reports: list[tuple[int, int]] = []
    write_new(tmp_path / "1", parts, report=lambda *report: reports.append(report))
    assert [n for n, _ in reports] == [10, *[10 + i * 2**24 for i in (1, 2)], size]
    assert {total for _, total in reports} == {size}


def test_an_interrupt_of_a_report_leaves_no_file(tmp_path: Path) -> None:
    def interrupt(n_written: int, size: int) -> None:
        raise KeyboardInterrupt

    folder = UploadFolder(lambda: tmp_path / "uploads", "c1")
    with pytest.raises(KeyboardInterrupt):
        folder.write([b"x"], what="the arguments of fit", report=interrupt)
    assert list((tmp_path / "uploads" / "c1").iterdir()) == []


def test_a_payload_without_room_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "writev", fail)
    folder = UploadFolder(lambda: tmp_path / "uploads", "c1")
    with pytest.raises(StoreError, match=r"there is no room for the arguments of fit in .*No space left"):
        folder.write([b"x"], what="the arguments of fit")
    assert list((tmp_path / "uploads" / "c1").iterdir()) == []


def test_a_file_goes_with_the_last_reference_to_it(tmp_path: Path) -> None:
    folder = UploadFolder(lambda: tmp_path, "c1")
    file, other = folder.write([b"x"], what="it"), folder.write([b"y"], what="it")
    del file
    gc.collect()
    assert [path.name for path in (tmp_path / "c1").iterdir()] == [other.upload.file]


def test_what_is_left_at_the_exit_is_removed_then(tmp_path: Path) -> None:
    folder = UploadFolder(lambda: tmp_path, "c1")
    file = folder.write([b"x"], what="it")
    remove_left()
    assert not file.exists
    remove_left()  # once more does no harm


def test_a_forked_child_removes_no_file_of_its_parent(tmp_path: Path) -> None:
    folder = UploadFolder(lambda: tmp_path, "c1")
    file = folder.write([b"x"], what="it")
    path, alive = tmp_path / "c1" / file.upload.file, weakref.ref(file)
    child = os.fork()
    if child == 0:
        del file, folder
        os._exit(0 if alive() is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert path.exists()
    del file
    assert not path.exists()


def test_the_folder_goes_with_its_sender_once_it_is_empty(tmp_path: Path) -> None:
    folder = UploadFolder(lambda: tmp_path, "c1")
    file = folder.write([b"x"], what="it")
    del file
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_closed_sender_goes_with_the_last_of_its_files(tmp_path: Path) -> None:
    folder = UploadFolder(lambda: tmp_path, "c1")
    files = [folder.write([b"x"], what="it") for _ in range(2)]
    folder.close()
    del folder
    remove_dead(tmp_path, for_seconds=-1)
    for n_left in (2, 1):
        assert len(list((tmp_path / "c1").iterdir())) == n_left
        files.pop()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = UploadFolder(lambda: tmp_path / "uploads", "c1")
    file = folder.write([b"x"], what="it")
    (tmp_path / "uploads" / "c1" / file.upload.file).unlink()
    (tmp_path / "uploads" / "c1").rmdir()
    again = folder.write([b"y"], what="it")
    assert (tmp_path / "uploads" / "c1" / again.upload.file).read_bytes() == b"y"


def test_folders_of_dead_senders_go_after_a_while_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    living = UploadFolder(lambda: tmp_path, "c1")
    file = living.write([b"x"], what="it")
    (tmp_path / "c2").mkdir()
    (tmp_path / "c2" / "1").write_bytes(b"y")
    remove_dead(tmp_path)
    assert (tmp_path / "c2" / "1").exists()  # its last message may still be on its way
    remove_dead(tmp_path, for_seconds=0)
    assert [path.name for path in tmp_path.iterdir()] == ["c1"]
    assert (tmp_path / "c1" / file.upload.file).exists()
    remove_dead(tmp_path / "nothing here")


def test_a_payload_goes_through_the_store_without_a_copy(journal: Path, store: Store) -> None:
    large = b"x" * (2 * READ_UP_TO)
    sender, receiver = LargePayloads(lambda: journal, "c1"), LargePayloads(lambda: journal, "w1")
    file = sender.write([large], what="it")
    inode = (uploads_of(journal) / "c1" / file.upload.file).stat().st_ino
    (ref,) = store.stage([file.upload])
    assert isinstance(ref, PayloadRef)
    del file
    assert (payloads_of(journal) / ref.file).stat().st_ino == inode
    first, second = receiver.read(ref), receiver.read(ref)
    assert isinstance(first, mmap.mmap)
    assert isinstance(second, mmap.mmap)
    first[0] = ord("y")  # it can be written to, and nobody else sees that
    assert (first[:2], second[:2], store.payload(ref)[:2]) == (b"yx", b"xx", b"xx")
    assert receiver.read(b"small") == b"small"


@pytest.mark.parametrize("size", [99_999, 100_001], ids=["shorter", "longer"])
def test_a_payload_of_another_size_than_announced_is_not_taken(journal: Path, store: Store, size: int) -> None:
    file = LargePayloads(lambda: journal, "c1").write([b"x" * 100_000], what="it")
    with pytest.raises(UploadGone):
        store.stage([Upload("c1", file.upload.file, size)])


@pytest.mark.parametrize("kind", ["a symbolic link", "a folder", "a pipe", "nothing"])
def test_what_is_no_file_is_not_taken(journal: Path, store: Store, tmp_path: Path, kind: str) -> None:
    place = uploads_of(journal) / "c1" / "1"
    place.parent.mkdir(parents=True)
    if kind == "a symbolic link":
        place.symlink_to("x" * 100)
    elif kind == "a folder":
        place.mkdir()
    elif kind == "a pipe":
        os.mkfifo(place)
    size = place.lstat().st_size if kind != "nothing" else 1
    with pytest.raises(UploadGone):
        store.stage([Upload("c1", "1", size)])


def test_small_payloads_and_those_of_a_process_with_many_open_files_are_read(journal: Path, store: Store) -> None:
    refs = store.stage([b"x" * READ_UP_TO, b"y" * (READ_UP_TO + 1)])
    receiver = LargePayloads(lambda: journal, "w1")
    assert [type(receiver.read(ref)) for ref in refs] == [bytearray, mmap.mmap]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(300)]  # as a program may have
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * many[-1] + 50, limits[1]))
    try:
        held = [receiver.read(refs[1]) for _ in range(200)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in many:
            os.close(descriptor)
    assert {bytes(content[:1]) for content in held} == {b"y"}
    assert type(held[0]) is mmap.mmap
    assert type(held[-1]) is bytearray


def test_no_number_of_a_file_is_used_twice(journal: Path) -> None:
    refs = []
    for _ in range(3):
        store = Store(journal)
        refs += store.stage([b"x" * 100_000])
        store.close()
    assert len({ref.file for ref in refs if isinstance(ref, PayloadRef)}) == 3


def test_a_file_of_another_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "c1").mkdir()
    (tmp_path / "c1" / "1").write_bytes(b"of a forked child")
    folder = UploadFolder(lambda: tmp_path, "c1")
    assert folder.write([b"x"], what="it").upload.file == "2"
    assert (tmp_path / "c1" / "1").read_bytes() == b"of a forked child"


def test_some_of_the_disk_stays_free_for_the_journal(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        write_new(tmp_path / "1", [b"x"], reserve=disk.f_bavail * disk.f_frsize)
    assert list(tmp_path.iterdir()) == []


def test_a_large_payload_is_written_in_parts_between_which_an_interrupt_comes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int, views: list[memoryview]) -> int:
        assert 0 < sum(map(len, views)) <= 16 * 2**20
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "writev", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "1", [bytes(100 * 2**20)])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_payload_is_not_mapped(journal: Path, store: Store) -> None:
    (ref,) = store.stage([b"x" * 100_000])
    assert isinstance(ref, PayloadRef)
    os.truncate(payloads_of(journal) / ref.file, 10)  # mapped, it would end its reader with SIGBUS
    with pytest.raises(OSError, match="its size is not the one that was recorded"):
        LargePayloads(lambda: journal, "w1").read(ref)


def test_an_open_file_is_read_whole_wherever_its_position_is(tmp_path):
    path = tmp_path / "payload"
    ref = PayloadRef("1", *write_new(path, [b"x" * 100_000], reserve=0))
    with path.open("rb", buffering=0) as file:
        file.seek(70_000)
        assert read_content(file.fileno(), ref, str(path)) == b"x" * 100_000
        assert read_content(file.fileno(), ref, str(path)) == b"x" * 100_000


def test_a_shared_file_is_there_while_anybody_has_it(journal: Path) -> None:
    payloads = LargePayloads(lambda: journal, "sender")

    def share() -> UploadedFile:
        return payloads.share(b"digest", lambda: payloads.write([bytes(100_000)], what="code"))

    for _ in range(200):
        box = [share()]
        dropping = threading.Thread(target=box.clear)
        dropping.start()
        mine = share()
        dropping.join()
        assert mine.exists
        del mine
    payloads.close()


@pytest.fixture(params=[100_000, READ_UP_TO + 1], ids=["read", "mapped"])
def payload(request: pytest.FixtureRequest, tmp_path: Path) -> PayloadRef:
    """A payload in the file `1` of a folder."""
    return PayloadRef("1", *write_new(tmp_path / "1", [os.urandom(request.param)], reserve=0))


def flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(70_000)
        (byte,) = file.read(1)
        file.seek(70_000)
        file.write(bytes([byte ^ 4]))


def test_a_changed_content_is_refused(payload: PayloadRef, tmp_path: Path) -> None:
    flip_a_bit(tmp_path / "1")
    with pytest.raises(OSError, match="its content is not what was written"):
        read_payload(tmp_path, payload)
    unknown = msgspec.structs.replace(payload, crc=0)  # of a store of an earlier version
    assert len(read_payload(tmp_path, unknown)) == payload.size


def test_a_content_that_has_changed_on_the_disk_is_refused_after_a_while(payload: PayloadRef, tmp_path: Path) -> None:
    flip_a_bit(tmp_path / "1")
    earlier = payload.written_ns - int((COMPARED_AFTER + 1) * 1e9)
    old = msgspec.structs.replace(payload, written_ns=earlier)
    os.utime(tmp_path / "1", ns=(earlier, earlier))  # a failing disk tells no time
    with pytest.raises(OSError, match="its content is not what was written"):
        read_payload(tmp_path, old)


def test_a_file_that_was_written_a_moment_ago_is_not_compared_and_a_copy_is(
    payload: PayloadRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    crc32 = zlib.crc32

    def count_bytes(content: bytes) -> int:
        compared.append(len(content))
        return crc32(content)

    monkeypatch.setattr(zlib, "crc32", count_bytes)
    content = bytes(read_payload(tmp_path, payload))
    assert compared == []
    (tmp_path / "1").unlink()
    (tmp_path / "1").write_bytes(content)  # as a store that was copied to another disk
    os.utime(tmp_path / "1", ns=(1, 1))
    assert bytes(read_payload(tmp_path, payload)) == content
    assert compared == [payload.size]
