from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.protocol.printed import log_of, stderr_of
from taskfc_ext.worker.output.capture import KEPT, STDERR, STDOUT, BoundedText, Capture, LogStream
from taskfc_ext.worker.output.descriptors import Tap


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def capture(log: io.StringIO) -> Capture:
    return Capture(log, log)


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_text_keeps_its_head_and_its_tail(size: int) -> None:
    text = BoundedText(20)
    whole = "".join(chr(65 + i % 26) for i in range(1000))
    for i in range(0, 1000, size):
        text.append(whole[i : i + size])
    assert log_of(text.take()) == f"{whole[:10]}\n... 980 characters were dropped ...\n{whole[-10:]}"
    assert log_of(text.take()) == ""


def test_text_within_the_limit_is_whole() -> None:
    text = BoundedText(20)
    for character in "exactly twenty chars":
        text.append(character)
    assert log_of(text.take()) == "exactly twenty chars"


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (["a\n", "\r10%", "\r50%", "\r90%", "\n", "b\n"], "a\n\r90%\nb\n"),
        (["10%\r", "50%\r", "90%\r", "\n"], "\r90%\r\n"),
        (["Epoch ", "\r1%", "\r2%"], "Epoch \r2%"),
        (["a\r\nb\r\n"], "a\r\nb\r\n"),
        (["a\r", "\n", "b"], "a\r\nb"),
        (["\r1%", "\r2%\nx\r1%\ry"], "\r2%\n\ry"),
    ],
)
def test_only_the_last_state_of_a_line_is_kept(pieces: list[str], kept: str) -> None:
    text = BoundedText(100)
    for piece in pieces:
        text.append(piece)
    assert log_of(text.take()) == kept
    assert log_of(text.take()) == ""


def test_a_line_without_end_is_kept_within_bounds() -> None:
    text = BoundedText(1000)
    for _ in range(1000):
        text.append("\r" + "x" * 100_000)
    assert len(text._unfinished) == 0
    assert len(log_of(text.take())) < 1100


def test_a_tasks_output_is_its_own(capture: Capture, log: io.StringIO) -> None:
    print("before", file=capture.stdout)
    capture._is_open = True  # begin() would take over this process's streams
    print("out", file=capture.stdout)
    print("err", file=capture.stderr)
    assert capture.end() == ("out\n", "err\n")
    print("after", file=capture.stderr)
    assert log.getvalue() == "before\nafter\n"
    assert capture.end() == ()


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_both_streams_stay_in_order_and_apart_whatever_is_dropped(size: int) -> None:
    text = BoundedText(20)
    for _ in range(0, 1000, size):
        text.append("o" * size, STDOUT)
        text.append("e" * size, STDERR)
    printed = text.take()
    assert set(stderr_of(printed)) - {"e"} <= set("\n. 0123456789,characters were dropped")
    assert log_of(printed).startswith(("oe" * 10)[:10] if size == 1 else "ooo")
    assert printed[-1].endswith("e" * min(size, 10))


def test_a_bar_on_one_stream_and_text_on_the_other_keep_their_order() -> None:
    text = BoundedText(100)
    for piece, stream in (("a\n", STDOUT), ("\r10%", STDERR), ("\r20%", STDERR), ("b\n", STDOUT), ("\r30%", STDERR)):
        text.append(piece, stream)
    assert text.take() == ("a\n", "\r20%", "b\n", "\r30%")


@pytest.fixture
def tapped(tmp_path: Path, log: io.StringIO) -> Iterator[tuple[Capture, int]]:
    """A capture, and the descriptor that it reads stdout from."""
    fd = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield Capture(log, log, tap_out=Tap(fd, is_ours=True)), fd
    os.close(fd)


def test_output_written_past_python_keeps_its_place(tapped: tuple[Capture, int]) -> None:
    capture, fd = tapped
    capture._is_open = True
    capture.stdout.write("one\n")
    os.write(fd, b"two\n")
    capture.stdout.write("three\n")
    os.write(fd, b"four\xe2")
    assert capture.take_fresh() == ("one\ntwo\nthree\nfour",)
    assert capture.end() == ("one\ntwo\nthree\nfour\\xe2",)


def test_output_between_tasks_goes_to_the_log(tapped: tuple[Capture, int], log: io.StringIO) -> None:
    capture, fd = tapped
    capture._is_open = True
    os.write(fd, b"the task's")
    assert capture.end() == ("the task's",)
    os.write(fd, b"nobody's")
    capture.drain_to_log()
    capture._is_open = True
    assert capture.end() == ()
    assert log.getvalue() == "nobody's"


def test_the_workers_log_lines_are_not_a_tasks_output(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as log:
        fd = os.open(tmp_path / "log", os.O_RDONLY)
        capture = Capture(log, log, tap_err=Tap(fd, is_ours=False))
        capture._is_open = True
        os.write(log.fileno(), b"the task's\n")
        LogStream(capture).write("ours\n")
        os.write(log.fileno(), b"the task's again\n")
        assert capture.end() == ("", "the task's\nthe task's again\n")
        os.close(fd)
    assert (tmp_path / "log").read_text() == "the task's\nours\nthe task's again\n"


def test_live_output_is_returned_once_and_all_of_it_at_the_end(capture: Capture) -> None:
    capture._is_open = True
    capture.stdout.write("one\n")
    assert capture.take_fresh() == ("one\n",)
    assert capture.take_fresh() == ()
    capture.stdout.write("two\n")
    assert capture.take_fresh() == ("two\n",)
    assert capture.end() == ("one\ntwo\n",)


def test_a_flood_is_bounded(capture: Capture) -> None:
    capture._is_open = True
    for _ in range(100):
        capture.stdout.write("x" * 100_000)
    assert len(log_of(capture.take_fresh())) < 70_000
    (text,) = capture.end()
    assert KEPT < len(text) < KEPT + 100
    assert f"{10_000_000 - KEPT:,} characters were dropped" in text


def test_other_threads_print_to_the_running_task(capture: Capture) -> None:
    capture._is_open = True
    threads = [threading.Thread(target=lambda: print("here", file=capture.stdout)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(log_of(capture.end()).split()) == ["here"] * 5


def test_it_is_a_text_stream_like_the_real_one(capture: Capture) -> None:
    capture._is_open = True
    capture.stdout.buffer.write(b"bytes \xff\n")
    capture.stdout.writelines(["a", "b"])
    capture.stdout.close()
    capture.stdout.flush()
    assert not capture.stdout.isatty()
    assert capture.stdout.encoding == "utf-8"
    with pytest.raises(TypeError, match="must be str, not int"):
        capture.stdout.write(3)  # type: ignore[arg-type]
    assert capture.end() == ("bytes \\xff\nab",)


def test_a_closed_log_does_not_end_the_thread_that_prints(capture: Capture, log: io.StringIO) -> None:
    log.close()
    print("nobody hears", file=capture.stdout)


def test_text_that_cannot_be_encoded_is_escaped(capture: Capture) -> None:
    capture._is_open = True
    capture.stdout.write("a\udc80b")
    assert capture.end() == ("a\\udc80b",)
