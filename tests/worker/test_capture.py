from __future__ import annotations

import io
import threading

import pytest

from taskfc_ext.worker.capture import KEPT, BoundedText, Capture


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
    assert text.take() == f"{whole[:10]}\n... 980 characters were dropped ...\n{whole[-10:]}"
    assert text.take() == ""


def test_text_within_the_limit_is_whole() -> None:
    text = BoundedText(20)
    for character in "exactly twenty chars":
        text.append(character)
    assert text.take() == "exactly twenty chars"


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
    assert text.take() == kept
    assert text.take() == ""


def test_a_line_without_end_is_kept_within_bounds() -> None:
    text = BoundedText(1000)
    for _ in range(1000):
        text.append("\r" + "x" * 100_000)
    assert len(text._unfinished) == 0
    assert len(text.take()) < 1100


def test_a_tasks_output_is_its_own(capture: Capture, log: io.StringIO) -> None:
    print("before", file=capture.stdout)
    capture._is_open = True  # begin() would take over this process's streams
    print("out", file=capture.stdout)
    print("err", file=capture.stderr)
    assert capture.end() == "out\nerr\n"
    print("after", file=capture.stderr)
    assert log.getvalue() == "before\nafter\n"
    assert capture.end() == ""


def test_live_text_is_given_once_and_the_whole_stays(capture: Capture) -> None:
    capture._is_open = True
    capture.stdout.write("one\n")
    assert capture.take_fresh() == "one\n"
    assert capture.take_fresh() == ""
    capture.stdout.write("two\n")
    assert capture.take_fresh() == "two\n"
    assert capture.end() == "one\ntwo\n"


def test_a_flood_is_bounded(capture: Capture) -> None:
    capture._is_open = True
    for _ in range(100):
        capture.stdout.write("x" * 100_000)
    assert len(capture.take_fresh()) < 70_000
    text = capture.end()
    assert KEPT < len(text) < KEPT + 100
    assert f"{10_000_000 - KEPT:,} characters were dropped" in text


def test_other_threads_print_to_the_running_task(capture: Capture) -> None:
    capture._is_open = True
    threads = [threading.Thread(target=lambda: print("here", file=capture.stdout)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(capture.end().split()) == ["here"] * 5


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
    assert capture.end() == "bytes \\xff\nab"


def test_a_closed_log_does_not_end_the_thread_that_prints(capture: Capture, log: io.StringIO) -> None:
    log.close()
    print("nobody hears", file=capture.stdout)


def test_text_that_no_frame_can_carry_is_escaped(capture: Capture) -> None:
    capture._is_open = True
    capture.stdout.write("a\udc80b")
    assert capture.end() == "a\\udc80b"
