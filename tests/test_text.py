"""Text for people."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.errors import FarmError
from taskfc_ext.protocol.infos import WorkerInfo
from taskfc_ext.text import format_seconds, one_line, plain_text, plural, sentence, table, workers_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x1b]never ended\nnext", "\nnext"),
        ("\x1bP1$r0m\x1b\\after", "after"),
        ("\x1bc\x1b(Bafter\x1b", "after"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("be\x08ll\x07\x00\x7f\x85", "bell"),
        ("abc\u202edef\u2066", "abcdef"),
        ("gr\xfc\xdfe\x07 \x9d0;title\x07", "gr\xfc\xdfe "),
        ("no escape\x07, no return\x00", "no escape, no return"),
        ("\x1b\x1b[31mnested", "nested"),
        ("\x1b[3\x1b[31mspliced", "3spliced"),
    ],
)
def test_plain_text_cannot_steer_a_terminal(raw: str, shown: str) -> None:
    assert plain_text(raw) == shown


def test_one_line_is_one_line() -> None:
    assert one_line("a\nb\t \x1b[31mc") == "a b c"
    assert one_line(None) == ""
    assert one_line(12) == "12"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (0.254, "0.25 s"),
        (9.999, "10.0 s"),
        (59.99, "1:00 min"),
        (125, "2:05 min"),
        (3599.7, "1:00:00 h"),
        (3723, "1:02:03 h"),
    ],
)
def test_seconds(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown


def test_plural() -> None:
    assert (plural(0, "task"), plural(1, "task"), plural(1234, "task")) == ("0 tasks", "1 task", "1,234 tasks")


def test_tables_are_aligned_also_in_wide_characters() -> None:
    assert table([["1", "任務", "x"], ["12", "abc", ""]], ["id", "name", "what"], right=(0,)).splitlines() == [
        "id  name  what",
        " 1  任務  x",
        "12  abc",
    ]


def test_tables_are_cut_at_the_width_of_a_terminal() -> None:
    assert table([["任務任務"], ["abc"]], ["name"], most=6).splitlines() == ["name", "任務…", "abc"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FarmError("the farm is gone"), "The farm is gone."),
        (FarmError("the farm is gone", hint="start it!"), "The farm is gone: start it!"),
        (FarmError("two\nlines \x1b[31mred", hint="see\nthere"), "Two lines red: see there."),
        (ValueError("what?"), "What?"),
        (ValueError(), "ValueError."),
    ],
)
def test_an_error_as_a_sentence(error, text):
    assert sentence(error) == text


def test_workers_and_those_that_stand_in_for_them() -> None:
    def worker(number: int, **facts: Any) -> WorkerInfo:
        return WorkerInfo(worker=number, pid=1, state="busy", **facts)

    workers = [worker(0, waits_for=(12, 13)), worker(1, is_substitute=True)]
    assert workers_text(workers[:1]) == "1 worker"
    assert workers_text(workers) == "1 worker and 1 substitute"
    assert workers_text([*workers, workers[1]]) == "1 worker and 2 substitutes"
    assert [each.described for each in workers] == ["busy for task 12, 13", "busy (substitute)"]
