"""Reader of the store's size and of its oldest finished tasks, for the core to expire them at their limits."""

from __future__ import annotations

from taskfc_ext.core.events import Now, OldTask, StoreRead
from taskfc_ext.core.handlers.expiry import may_expire, needed_inputs
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.limits import YOUNG
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol.payloads import bytes_outside_files

CHECK_AGE_EVERY = 60.0
"""Seconds between checks of the oldest finished tasks; less if they are kept for less than two hours."""

AT_ONCE = 1000
"""Finished tasks in one event: their expiry takes some milliseconds."""

_BYTES_AT_ONCE = 16 * 2**20
"""Bytes of records that are read for one event."""

_PARTS = 32
"""The size of the store is checked when it has grown by this part of its limit, and with the age."""


class Retention:
    """Decides when the core has to learn of the oldest finished tasks, and reads them.

    Args:
        store: the store.
        farm: says which tasks may expire; its limits count.

    Attributes:
        next_at: monotonic time of the next check.
    """

    def __init__(self, store: Store, farm: Farm) -> None:
        self._store = store
        self._farm = farm
        self._check_at_growth = 0
        self.next_at = 0.0 if any(farm.limits) else float("inf")

    def is_due(self, now: Now) -> bool:
        """Return whether `read` is due."""
        return now.mono >= self.next_at or (
            self._farm.limits.n_bytes > 0 and self._store.usage.growth >= self._check_at_growth
        )

    def read(self, now: Now) -> StoreRead:
        """Return the facts for the core, and set the time of the next check: at once if more tasks may expire."""
        limits, n_bytes = self._farm.limits, self._store.usage.n_bytes()
        has_excess = limits.has_excess(n_bytes)
        found, is_more = self._oldest(now, has_excess=has_excess)
        pause = min(CHECK_AGE_EVERY, max(1.0, limits.seconds / 100)) if limits.seconds else CHECK_AGE_EVERY
        self.next_at = now.mono + (0.0 if is_more else min(YOUNG, pause) if has_excess else pause)
        self._check_at_growth = self._store.usage.growth + limits.n_bytes // _PARTS
        return StoreRead(n_bytes, tuple(found))

    def _oldest(self, now: Now, *, has_excess: bool) -> tuple[list[OldTask], bool]:
        """Return the oldest tasks that may have to expire now, and whether there may be more."""
        farm = self._farm
        needed: set[int] | None = None

        def is_wanted(taskid: int) -> bool:
            nonlocal needed
            if needed is None:
                needed = needed_inputs(farm)
            return may_expire(farm, needed, taskid)

        found: list[OldTask] = []
        n_read = 0
        for record in self._store.usage.oldest_ended(is_wanted):
            is_crowded = has_excess and record.completed <= now.wall - YOUNG
            if not is_crowded and not farm.limits.is_aged(record.completed, now.wall):
                break
            n_before = len(found)
            for taskid, value in zip(record.ids, record.values, strict=True):
                if is_wanted(taskid):
                    found.append(OldTask(taskid, record.completed, self._store.usage.bytes_of(taskid, value)))
            if len(found) > n_before:  # else it must not stand in the way of those behind it
                n_read += bytes_outside_files(record.values)
            if len(found) >= AT_ONCE or n_read > _BYTES_AT_ONCE:
                return found, True
        return found, False
