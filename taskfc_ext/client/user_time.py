"""Time of the user's code between two submissions: in a moment it cannot have changed a setting or a file.

Two things that take time between submissions are not the user's: our I/O threads, which need the interpreter, and
short waits for results.
"""

from __future__ import annotations

import math
from threading import get_ident
from time import perf_counter, thread_time

SHORT_WAIT = 0.005
"""Seconds up to which a wait for a result is no time of the user's. In a longer one, others may edit files."""

own_time = [0.0]
"""CPU seconds of all I/O threads of this process, as far as they have noted them. A list, since each submission reads
it."""


class LastSubmission:
    """The end of the last submission, and what has not been the user's time since then.

    Attributes:
        ended: its time, as `time.perf_counter`, moved by the short waits of its thread since.
        own: `own_time` then; infinite after a wait, in which the I/O threads have worked as well.
        thread: its thread: a wait of another one does not mean that this one had no time.
    """

    __slots__ = ("ended", "own", "thread")

    def __init__(self) -> None:
        self.ended = 0.0
        self.own = 0.0
        self.thread = 0

    def note(self) -> None:
        """Note that a submission has ended just now."""
        self.ended, self.own, self.thread = perf_counter(), own_time[0], get_ident()

    def note_wait(self, began: float) -> None:
        """Note that this thread has waited for a result, since `began`."""
        waited = perf_counter() - began
        if waited < SHORT_WAIT and self.thread == get_ident():
            self.ended += waited
            self.own = math.inf

    def pause(self, now: float) -> float:
        """Return the seconds that the user's code has had since."""
        pause, own = now - self.ended, own_time[0] - self.own
        return pause - own if own > 0 else pause


last_submission = LastSubmission()
"""That of this process."""


class OwnTime:
    """Notes the CPU time of one I/O thread; only this thread uses it."""

    def __init__(self) -> None:
        self._noted = 0.0

    def note(self) -> None:
        """Add the time since the last call to `own_time`.

        Two threads may add at the same moment, and one of the sums be lost: then a pause seems longer than it was, and
        files are looked at in vain.
        """
        now = thread_time()
        own_time[0] += now - self._noted
        self._noted = now
