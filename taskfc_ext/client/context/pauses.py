"""Pauses between submissions, which are the time of the user's code: in a moment it cannot have written a file."""

from __future__ import annotations

import math
from threading import get_ident
from time import perf_counter


class LastSubmission:
    """The end of the last submission, in any thread.

    Attributes:
        ended: its time, as `time.perf_counter`.
        thread: its thread. What another thread has done since then is unknown.
    """

    __slots__ = ("ended", "thread")

    def __init__(self) -> None:
        self.ended = 0.0
        self.thread = 0

    def note(self) -> None:
        """Note that a submission ends now."""
        self.ended = perf_counter()
        self.thread = get_ident()

    def pause(self, now: float) -> float:
        """Return the seconds since then; infinite after a submission of another thread."""
        return now - self.ended if self.thread == get_ident() else math.inf


last_submission = LastSubmission()
"""That of this process."""
