"""How long the user's code had between two submissions."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import Any

import pytest

from taskfc_ext.client import user_time
from taskfc_ext.client.context import context
from taskfc_ext.client.user_time import SHORT_WAIT, LastSubmission, own_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [perf_counter()]
    monkeypatch.setattr(user_time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(context, "_clock", lambda: now[0])
    return now


def test_it_is_the_time_since_the_last_submission(clock: list[float]) -> None:
    last = LastSubmission()
    last.note()
    clock[0] += 2.0
    assert last.pause(clock[0]) == pytest.approx(2.0)


def test_the_time_of_our_own_threads_does_not_count(clock: list[float]) -> None:
    last = LastSubmission()
    last.note()
    clock[0] += 2.0
    own_time[0] += 0.5
    assert last.pause(clock[0]) == pytest.approx(1.5)


def test_a_short_wait_does_not_count(clock: list[float]) -> None:
    last = LastSubmission()
    last.note()
    clock[0] += 1.0  # of the user's
    began = clock[0]
    clock[0] += SHORT_WAIT / 2
    own_time[0] += SHORT_WAIT / 2  # in which our thread worked: that is not counted twice
    last.note_wait(began)
    assert last.pause(clock[0]) == pytest.approx(1.0)
    clock[0] += 1.0
    own_time[0] += 0.5  # some of it may have been in the wait
    assert last.pause(clock[0]) == pytest.approx(2.0)


def test_a_long_wait_counts(clock: list[float]) -> None:
    last = LastSubmission()
    last.note()
    began = clock[0]
    clock[0] += 2 * SHORT_WAIT
    last.note_wait(began)
    assert last.pause(clock[0]) == pytest.approx(2 * SHORT_WAIT)


def test_a_wait_of_another_thread_counts(clock: list[float]) -> None:
    last = LastSubmission()
    last.note()
    began = clock[0]
    clock[0] += SHORT_WAIT / 2
    other = threading.Thread(target=last.note_wait, args=(began,))
    other.start()
    other.join()
    assert last.pause(clock[0]) == pytest.approx(SHORT_WAIT / 2)


def test_a_submission_after_more_than_a_moment_looks_again(clock: list[float]) -> None:
    here: Any = context.read_context()
    here = context.read_context()
    assert context.is_current(here)
    clock[0] += 0.001
    assert not context.is_current(here), "code that took a millisecond may have changed anything"
    own_time[0] += 0.001
    assert context.is_current(here)
    clock[0] += 0.001
    assert not context.is_current(here), "it is not counted twice"
