"""Tests of a task's output, as pieces of two streams."""

from __future__ import annotations

import pytest

from taskfc_ext.protocol.printed import (
    Printed,
    begins_with,
    join_printed,
    log_of,
    stderr_of,
    stdout_of,
    tail,
    whole_lines,
)


def test_the_streams_are_separate() -> None:
    printed = ("out", "err", "more")
    assert (log_of(printed), stdout_of(printed), stderr_of(printed)) == ("outerrmore", "outmore", "err")


@pytest.mark.parametrize(
    ("before", "more", "both"),
    [
        ((), ("a",), ("a",)),
        (("a",), (), ("a",)),
        (("a",), ("b",), ("ab",)),
        (("a", "e"), ("b",), ("a", "e", "b")),
        (("a",), ("", "e"), ("a", "e")),
        (("", "e"), ("", "f"), ("", "ef")),
        (("a", "e"), ("", "f", "b"), ("a", "ef", "b")),
    ],
)
def test_printed_is_joined(before: Printed, more: Printed, both: Printed) -> None:
    assert join_printed(before, more) == both


@pytest.mark.parametrize(
    ("printed", "limit", "kept"),
    [
        (("abc",), 2, ("bc",)),
        (("abc",), 3, ("abc",)),
        (("abc", "de"), 2, ("", "de")),
        (("abc", "de"), 1, ("", "e")),
        (("abc", "de"), 3, ("c", "de")),
        (("abc", "de", "f"), 2, ("", "e", "f")),
        (("abc", "de"), 100, ("abc", "de")),
        ((), 5, ()),
    ],
)
def test_the_tail_keeps_its_streams(printed: Printed, limit: int, kept: Printed) -> None:
    assert tail(printed, limit) == kept


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (("a\nb",), ("a\n",)),
        (("a\n", "\r10%"), ("a\n",)),
        (("a", "e\nf", "b"), ("a", "e\n")),
        (("a", "b"), ()),
        ((), ()),
    ],
)
def test_the_last_line_without_an_end_is_left_out(printed: Printed, lines: Printed) -> None:
    assert whole_lines(printed) == lines


def test_it_begins_with_the_first_text() -> None:
    assert begins_with(("", "\r10%"), "\r")
    assert not begins_with(("a", "\r10%"), "\r")
    assert not begins_with((), "\r")
