"""Back-off: the delay before a process is started again. Pure: time is an argument."""

from __future__ import annotations

from collections import deque

EARLY = 2.0
"""Seconds of life: a worker that ends sooner and was never ready has failed to start."""


class ControllerBackoff:
    """Back-off of the controller: it is started again at once, and a little later if it dies often.

    One that dies three times in a row before it answers is not started again.

    Attributes:
        has_served: one has answered.
        unanswered: the number of those in a row that died before they answered.
    """

    AT_MOST = 3
    OFTEN = 4
    WINDOW = 10.0
    DELAY = 0.5  # a restarted controller has to answer within a second

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=self.OFTEN)
        self.has_served = False
        self.unanswered = 0

    def note_served(self) -> None:
        """Note that the controller answers."""
        self.has_served = True
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
        if not self.has_served:
            self.unanswered += 1
        return 1.0
