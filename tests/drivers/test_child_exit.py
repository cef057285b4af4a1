"""Tests of how the ends of processes are detected and described."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from taskfc_ext.drivers.child_exit import NOTE_SIZE, describe_exit, has_ended, log_tail, signal_group


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-signal.SIGSEGV, "killed by SIGSEGV (signal 11)"),
        (-40, "killed by a signal (signal 40)"),
    ],
)
def test_return_codes(returncode, words):
    assert describe_exit(returncode) == words


def test_a_zombie_keeps_its_return_code_and_its_group():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    assert not has_ended(process)
    process.communicate(b"\n")
    assert has_ended(process)
    signal_group(process.pid, signal.SIGKILL)  # the group is empty: no error
    assert process.returncode == 0


def test_a_short_log_is_returned_whole_from_its_start(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\nafter\n")
    assert log_tail(log) == "before\nafter"
    assert log_tail(log, start=7) == "after"
    assert log_tail(tmp_path / "none") == ""


def test_a_long_log_ends_with_whole_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {i}\n" for i in range(100_000)))
    tail = log_tail(log)
    assert tail.endswith("line 99999")
    assert tail.startswith("line ")
    assert NOTE_SIZE - 20 < len(tail) <= NOTE_SIZE


def test_a_fatal_error_is_shown_from_its_first_line(tmp_path):
    log = tmp_path / "log"
    log.write_text("noise\n" * 1000 + "Fatal Python error: Segmentation fault\n" + "  File ...\n" * 1000)
    tail = log_tail(log)
    assert tail.startswith("Fatal Python error")
    assert len(tail) <= NOTE_SIZE


def test_bytes_that_are_not_text_are_replaced(tmp_path):
    (tmp_path / "log").write_bytes(b"\xff\xfe ok")
    assert log_tail(tmp_path / "log").endswith(" ok")
