"""Pauses between submissions."""

from __future__ import annotations

import math
import threading

from taskfc_ext.client.context import context
from taskfc_ext.client.context.pauses import LastSubmission, last_submission


def test_it_is_the_time_since_the_last_submission() -> None:
    last = LastSubmission()
    last.note()
    assert 0 <= last.pause(last.ended + 2.0) - 2.0 < 1e-6


def test_what_happened_since_a_submission_of_another_thread_is_unknown() -> None:
    last = LastSubmission()
    other = threading.Thread(target=last.note)
    other.start()
    other.join()
    assert last.pause(last.ended) == math.inf


def is_current_after(pause: float) -> bool:
    """Return whether a submission after this many seconds takes the context as it is."""
    here = context.read_context("")  # for a cell: it looks at all
    while context.settings_here.pause == 0.0:  # a setting was changed just now
        here = context.read_context()
    last_submission.note()
    last_submission.ended -= pause
    return context.is_current(here)


def test_a_submission_after_more_than_a_moment_looks_again() -> None:
    assert any(is_current_after(-0.001) for _ in range(10))  # -1 ms: whatever time this machine takes between
    assert not is_current_after(0.001)


def test_a_submission_after_one_of_another_thread_looks_again() -> None:
    here = context.read_context("")
    other = threading.Thread(target=last_submission.note)
    other.start()
    other.join()
    last_submission.ended += 0.001
    assert not context.is_current(here)


def test_settings_that_became_void_are_read_at_the_next_submission() -> None:
    assert any(is_current_after(-0.001) for _ in range(10))
    here = context.read_context()
    context.settings_here.invalidate()  # as `taskfc_ext.settings.register` does
    n_current = 0
    for _ in range(1000):
        last_submission.note()
        n_current += context.is_current(here)
    assert n_current == 0
