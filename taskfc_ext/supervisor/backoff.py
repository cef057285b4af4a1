"""How long to wait before a process is started again. Pure: time is an argument."""

from __future__ import annotations

from collections import deque

EARLY = 2.0
"""Seconds: a worker that ends sooner and was never ready has failed to start."""


class WorkerBackoff:
    """Workers are replaced at once, unless they cannot start: then after 1, 2, 4 ... at most 30 s."""

    AT_ONCE = 3
    LONGEST = 30.0

    def __init__(self) -> None:
        self._failed_starts = 0
        self.not_before = 0.0

    def note_good_start(self) -> None:
        """A worker got ready, or lived long enough to show that workers can."""
        self._failed_starts = 0
        self.not_before = 0.0

    def note_failed_start(self, now: float) -> float:
        """A worker died before it could be ready; return the seconds to wait."""
        if now < self.not_before:  # started together with the one that has set this wait
            return self.not_before - now
        self._failed_starts += 1
        excess = self._failed_starts - self.AT_ONCE
        delay = 0.0 if excess < 0 else min(self.LONGEST, 2.0 ** min(excess, 10))
        self.not_before = now + delay
        return delay

    def note_refused_start(self, now: float) -> float:
        """The system refused to start one; return the seconds to wait, which are never none."""
        delay = self.note_failed_start(now) or 1.0
        self.not_before = now + delay
        return delay


class ControllerBackoff:
    """A controller is started again at once, and a little later when that happens often.

    One that dies three times in a row before it ever answered will not do better at the fourth.
    """

    AT_MOST = 3
    OFTEN = 4
    WINDOW = 10.0
    DELAY = 0.5  # a restarted controller has to be there within a second

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=self.OFTEN)
        self._has_served = False
        self.unanswered = 0

    def note_served(self) -> None:
        """The controller answers."""
        self._has_served = True
        self.unanswered = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether to stop instead."""
        return self.unanswered >= self.AT_MOST

    def note_death(self, now: float) -> float:
        """The controller died; return the seconds to wait."""
        self.unanswered += 1
        self._deaths.append(now)
        often = len(self._deaths) == self.OFTEN and now - self._deaths[0] < self.WINDOW
        return self.DELAY if often else 0.0

    def note_refused_start(self) -> float:
        """The system refused to start one; return the seconds to wait.

        That says nothing of the controller: a farm that has worked waits for the system to recover.
        """
        if not self._has_served:
            self.unanswered += 1
        return 1.0
