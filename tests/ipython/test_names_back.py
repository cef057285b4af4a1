"""The names that a cell brings back, in words."""

from __future__ import annotations

import threading
from typing import Any

import numpy
import pytest

from taskfc_ext.ipython.cards.names_back import describe_back, describe_lost


class Odd:
    @property
    def nbytes(self) -> int:
        raise RuntimeError("no size")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({}, ""),
        ({"n": 3, "odd": Odd(), "half": numpy.zeros(10)}, "n, odd, half"),
        (
            {"threading": threading, "n": 3, "model": numpy.zeros(200_000), "text": "x" * 3_000_000},
            "text (3 MB), model (1.6 MB), n, threading",
        ),
    ],
)
def test_large_names_come_first_and_have_sizes(names: dict[str, Any], text: str) -> None:
    assert describe_back(names) == text


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (
            "it (a _thread.lock) cannot be pickled: cannot pickle '_thread.lock' object",
            "a _thread.lock cannot be pickled",
        ),
        ("it: its `x` (a lock) cannot be pickled: no", "its `x` (a lock) cannot be pickled: no"),
        ("too large\nby far", "too large by far"),
    ],
)
def test_a_reason_is_a_few_words(why: str, words: str) -> None:
    assert describe_lost({"lock": why}) == [f"lock did not come back: {words}"]
