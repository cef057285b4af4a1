"""CPU time of our own I/O threads: a pause between two submissions in which only these ran is none of the user's."""

from __future__ import annotations

from time import thread_time

own_time = [0.0]
"""CPU seconds of all I/O threads of this process, as far as they have noted them. A list, as it is read at each
submission."""


class OwnTime:
    """Notes the CPU time of one I/O thread; only this thread uses it."""

    def __init__(self) -> None:
        self._noted = 0.0

    def note(self) -> None:
        """Add the time since the last call to `own_time`.

        Two threads may add at the same moment, and one of the sums be lost: then a pause seems longer than it was, and
        is looked at in vain.
        """
        now = thread_time()
        own_time[0] += now - self._noted
        self._noted = now
