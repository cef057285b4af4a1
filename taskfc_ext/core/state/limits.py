"""Limits of a farm that nobody clears or stops: on its finished tasks, its store, and its idleness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.protocol.options import age_text
from taskfc_ext.protocol.resources import format_size

YOUNG = 10.0
"""Seconds after its end in which a task is not expired for room: who waits for it receives the result first."""

_PARTS = 16
"""A store makes room when a sixteenth of its bytes is left, until two are: so it stays below its limit."""


class Limits(NamedTuple):
    """The limits of one farm; 0: no limit.

    Attributes:
        seconds: the age of finished tasks.
        n_bytes: the bytes of the store.
        idle: seconds without a client and without an unfinished task, after which the farm stops.
    """

    seconds: float = 0.0
    n_bytes: int = 0
    idle: float = 0.0

    def has_excess(self, n_bytes: int) -> bool:
        """Return whether a store of `n_bytes` has to make room."""
        return self.excess(n_bytes) > 0

    def excess(self, n_bytes: int) -> int:
        """Return the bytes by which a store of `n_bytes` has to shrink; 0: it need not."""
        part = self.n_bytes // _PARTS
        return max(0, n_bytes - self.n_bytes + 2 * part) if n_bytes > self.n_bytes - part and self.n_bytes else 0

    def is_aged(self, completed: float, wall: float) -> bool:
        """Return whether a task that ended at `completed` has reached its age at `wall`; wall-clock times."""
        return bool(self.seconds) and completed <= wall - self.seconds

    def describe_expired(self, taskids: Sequence[int], *, for_room: bool) -> tuple[str, str]:
        """Return the message and the hint of an error about expired tasks.

        `for_room`: some had to make room for newer ones.
        """
        one = len(taskids) == 1
        named = f"{'task' if one else 'tasks'} {list_ids(taskids, at_most=10)}"
        if for_room:
            why = f"when the store had {format_size(self.n_bytes)}" if self.n_bytes else "to make room"
            return f"{named} expired {why}", "start(keep_bytes=...) sets how much is kept"
        why = f"after {age_text(self.seconds)}" if self.seconds else "by age"
        return f"{named} expired {why}", "start(keep_days=...) sets how long finished tasks are kept"
