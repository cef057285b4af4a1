"""Back-off of slots that cannot start, such as on an engine without this package. Pure: time is an argument."""

from __future__ import annotations

AT_ONCE = 64
"""Slots that are asked for in one turn."""


class SlotBackoff:
    """Delay before more slots are asked for: none at first, then 1, 2, 4 ... at most 30 s, and one slot at a time.

    Attributes:
        not_before: monotonic time in seconds before which none is asked for.
    """

    LONGEST = 30.0

    def __init__(self) -> None:
        self._n_failures = 0
        self.not_before = 0.0

    @property
    def at_once(self) -> int:
        """How many slots may be asked for at once."""
        return 1 if self._n_failures else AT_ONCE

    def note_good(self) -> None:
        """Note that a worker has started in a slot."""
        self._n_failures = 0
        self.not_before = 0.0

    def note_failure(self, now: float) -> None:
        """Note that a slot could not start its worker."""
        if now < self.not_before:  # it was asked for together with the one that caused this wait
            return
        self.not_before = now + min(self.LONGEST, 2.0 ** min(self._n_failures, 10))
        self._n_failures += 1
