"""Taps of output written past Python, on files in place of the process's own descriptors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.drivers.files import path_of_descriptor
from taskfc_ext.worker.output import descriptors
from taskfc_ext.worker.output.descriptors import Tap, tap_stderr


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"before")
    yield fd
    os.close(fd)


def test_new_text_is_read_once(file: int) -> None:
    tap = Tap(file, is_ours=True)
    assert list(tap.read()) == []
    os.write(file, b"one")
    assert list(tap.read()) == ["one"]
    os.write(file, b"two")
    tap.skip()
    os.write(file, b"three")
    assert list(tap.read()) == ["three"]


def test_characters_are_not_split(file: int) -> None:
    tap = Tap(file, is_ours=True)
    for byte in "ü€".encode() + b"\xff\xe2":
        os.write(file, bytes([byte]))
        assert "\\" not in "".join(tap.read()) or byte == 0xFF
    assert tap.rest() == "\\xe2"
    os.write(file, b"next")
    assert list(tap.read()) == ["next"]


def test_an_emptied_file_is_read_from_its_beginning(file: int) -> None:
    tap = Tap(file, is_ours=True)
    os.ftruncate(file, 0)
    os.write(file, b"new")
    assert list(tap.read()) == ["new"]


@pytest.mark.parametrize("is_ours", [True, False])
def test_only_a_file_of_our_own_is_emptied(file: int, is_ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "LARGEST_FILE", 1000)
    monkeypatch.setattr(descriptors, "_CHUNK", 300)
    tap = Tap(file, is_ours=is_ours)
    for i in range(5):
        os.write(file, b"%d" % i * 990)
        assert "".join(tap.read()) == str(i) * 990
    assert (os.fstat(file).st_size < 1000) == is_ours


def test_a_log_that_stderr_does_not_write_to_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert tap_stderr(tmp_path / "log") is None
    assert tap_stderr(tmp_path / "missing") is None


@pytest.mark.parametrize("has_name", [True, False], ids=["in the farm's folder", "without a name, on an engine"])
def test_the_log_is_read_from_its_current_end(has_name: bool) -> None:
    saved = os.dup(2)
    with (tempfile.NamedTemporaryFile if has_name else tempfile.TemporaryFile)(buffering=0) as log:
        log.write(b"before")
        os.dup2(log.fileno(), 2)
        try:
            tap = tap_stderr(Path(log.name) if has_name else path_of_descriptor(2))
            assert tap is not None
            os.write(2, b"after")
            assert list(tap.read()) == ["after"]
            os.close(tap.fd)
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def test_the_two_ends_of_a_huge_file_are_read(tmp_path: Path) -> None:
    with open(tmp_path / "vast", "w+b", buffering=0) as file:
        tap = Tap(file.fileno(), is_ours=True)
        file.write(b"begin")
        os.ftruncate(file.fileno(), 1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
        read = "".join(tap.read())
        assert len(read) <= descriptors.LARGEST_FILE
        assert (read[:5], read[-3:]) == ("begin", "end")
        assert os.fstat(file.fileno()).st_size == 0
