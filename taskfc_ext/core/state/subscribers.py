"""Those who watch the queue, and what they have not been told yet: plain data."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.protocol.client_messages import Ended
from taskfc_ext.protocol.infos import WorkerInfo
from taskfc_ext.protocol.snapshots import Batch, Counts


class Facts(Struct, frozen=True):
    """What is said of the farm as a whole."""

    counts: Counts
    n_workers: int
    workers: tuple[WorkerInfo, ...]


class Subscribers(Struct):
    """There is one while somebody watches.

    Attributes:
        seqs: session -> the number of the last message that it was sent.
        facts: what they were told last of the whole.
        sent_at: monotonic time at which they were told something last.
        has_timer: a timer is set, after which they are told what there is then.
        changed: tasks of which something is different; some may have ended since, or never have been.
        batches: the new ones; of their tasks nobody was told anything.
        ends: records of ends, without the values of those that succeeded.
        cleared: ids that somebody asked to be forgotten.
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
        """Whether there may be something to tell of tasks."""
        return bool(self.changed or self.batches or self.ends or self.cleared)
