"""Kinds of the rows of a journal, and the tasks that each record names."""

from __future__ import annotations

from typing import Final

from taskfc_ext.drivers.schema import BASELINE, BROADCASTED, DEFINED, ENDED, SUBMITTED
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.records import (
    AbortAsked,
    AbortsAsked,
    Baseline,
    Began,
    BroadcastDeath,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    Dropped,
    Expired,
    Held,
    Leased,
    Moved,
    Record,
    Requeued,
    Retried,
    StopAsked,
    Submitted,
)

KINDS: Final[dict[type, int]] = {
    Submitted: SUBMITTED,
    Ended: ENDED,
    Leased: 3,
    Requeued: 4,
    AbortAsked: 5,
    Cleared: 6,
    Began: 7,
    StopAsked: 8,
    Define: DEFINED,
    Held: 10,
    Moved: 11,
    Retried: 12,
    Broadcasted: BROADCASTED,
    BroadcastDeath: 14,
    BroadcastsCleared: 15,
    Dropped: 16,
    Baseline: BASELINE,
    AbortsAsked: 18,
    Expired: 19,
}


def span_of(record: Record) -> tuple[int | None, int | None]:
    """Return the smallest and the largest task id in `record`."""
    match record:
        case Submitted():
            return record.first, record.first + len(record.bodies) - 1
        case Leased() | Requeued() | Ended() | Cleared() | Held() | Moved() | AbortsAsked() if record.ids:
            return min(record.ids), max(record.ids)
        case AbortAsked():
            return record.taskid, record.taskid
        case _:
            return None, None
