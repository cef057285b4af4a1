"""Subscribers of the queue, and the changes not sent to them yet: plain data."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.protocol.client_messages import Ended
from taskfc_ext.protocol.infos import EngineInfo, WorkerInfo
from taskfc_ext.protocol.snapshots import Batch, Counts


class Facts(Struct, frozen=True):
    """Farm-wide counts and workers, as sent to subscribers."""

    counts: Counts
    n_workers: int
    workers: tuple[WorkerInfo, ...]
    engine: EngineInfo | None
    no_room: str = ""


class Subscribers(Struct):
    """Sessions that watch the queue. Exists while there is one.

    Attributes:
        seqs: session -> the number of the last message sent to it.
        facts: the facts sent last.
        sent_at: monotonic time of the last delta.
        has_timer: a timer for the next delta is set.
        changed: changed tasks; some may have ended since, or may not exist.
        batches: new batches, of which nothing was sent.
        ends: records of ends, without the values of successes.
        cleared: ids that a client asked to clear.
    """

    seqs: dict[str, int]
    facts: Facts
    sent_at: float
    has_timer: bool = False
    changed: set[int] = set()
    batches: list[Batch] = []
    ends: list[Ended] = []
    cleared: set[int] = set()

    @property
    def has_changes(self) -> bool:
        """Whether tasks may have changed since the last delta."""
        return bool(self.changed or self.batches or self.ends or self.cleared)
