"""Back-off of workers: the delay before one is started again. Pure: time is an argument."""

from __future__ import annotations


class StartBackoff:
    """Back-off of workers: they are replaced at once; after failed starts, after 1, 2, 4 ... at most 30 s.

    Args:
        at_once: the failed start from which there is a delay.
    """

    LONGEST = 30.0

    def __init__(self, *, at_once: int = 3) -> None:
        self._at_once = at_once
        self._failed_starts = 0
        self.not_before = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether the last start has failed."""
        return self._failed_starts > 0

    def note_good_start(self) -> None:
        """Note that a worker became ready, or lived for `EARLY` seconds."""
        self._failed_starts = 0
        self.not_before = 0.0

    def note_failed_start(self, now: float) -> float:
        """Note that a worker died before it was ready; return the seconds to wait."""
        if now < self.not_before:  # it was started together with the worker that caused this wait
            return self.not_before - now
        self._failed_starts += 1
        excess = self._failed_starts - self._at_once
        delay = 0.0 if excess < 0 else min(self.LONGEST, 2.0 ** min(excess, 10))
        self.not_before = now + delay
        return delay

    def note_refused_start(self, now: float) -> float:
        """Note that the system could not start a worker; return the seconds to wait, never 0."""
        delay = self.note_failed_start(now) or 1.0
        self.not_before = now + delay
        return delay
