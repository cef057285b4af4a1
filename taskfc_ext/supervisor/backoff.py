"""Back-off: the delay before a process is started again. Pure: time is an argument."""

from __future__ import annotations

from collections import deque

EARLY = 2.0
"""Seconds of life: a worker that ends sooner and was never ready has failed to start."""


class WorkerBackoff:
    """Back-off of workers: they are replaced at once; after failed starts, after 1, 2, 4 ... at most 30 s."""

    AT_ONCE = 3
    LONGEST = 30.0

    def __init__(self) -> None:
        self._failed_starts = 0
        self.not_before = 0.0

    def note_good_start(self) -> None:
        """Note that a worker became ready, or lived for `EARLY` seconds."""
        self._failed_starts = 0
        self.not_before = 0.0

    def note_failed_start(self, now: float) -> float:
        """Note that a worker died before it was ready; return the seconds to wait."""
        if now < self.not_before:  # it was started together with the worker that caused this wait
            return self.not_before - now
        self._failed_starts += 1
        excess = self._failed_starts - self.AT_ONCE
        delay = 0.0 if excess < 0 else min(self.LONGEST, 2.0 ** min(excess, 10))
        self.not_before = now + delay
        return delay

    def note_refused_start(self, now: float) -> float:
        """Note that the system could not start a worker; return the seconds to wait, never 0."""
        delay = self.note_failed_start(now) or 1.0
        self.not_before = now + delay
        return delay


class ControllerBackoff:
    """Back-off of the controller: it is started again at once, and a little later if it dies often.

    One that dies three times in a row before it answers is not started again.
    """

    AT_MOST = 3
    OFTEN = 4
    WINDOW = 10.0
    DELAY = 0.5  # a restarted controller has to answer within a second

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=self.OFTEN)
        self._has_served = False
        self.unanswered = 0

    def note_served(self) -> None:
        """Note that the controller answers."""
        self._has_served = True
        self.unanswered = 0

    @property
    def is_hopeless(self) -> bool:
        """True if the farm has to stop, since another start is unlikely to help."""
        return self.unanswered >= self.AT_MOST

    def note_death(self, now: float) -> float:
        """Note that the controller died; return the seconds to wait."""
        self.unanswered += 1
        self._deaths.append(now)
        often = len(self._deaths) == self.OFTEN and now - self._deaths[0] < self.WINDOW
        return self.DELAY if often else 0.0

    def note_refused_start(self) -> float:
        """Note that the system could not start a controller; return the seconds to wait.

        That is not the controller's fault: a farm that has worked waits for the system to recover.
        """
        if not self._has_served:
            self.unanswered += 1
        return 1.0
