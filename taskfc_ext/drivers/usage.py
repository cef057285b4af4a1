"""Usage of a store: the bytes that it takes, and the finished tasks that have been in it for longest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskfc_ext.drivers.journal import Journal
from taskfc_ext.drivers.payload_files import PayloadFiles
from taskfc_ext.drivers.schema import ENDED
from taskfc_ext.protocol.client_messages import Ended
from taskfc_ext.protocol.payloads import Payload

_AT_ONCE = 1000
"""Rows that are listed at once; most often the first one is enough."""


class Usage:
    """Reader of what one store takes.

    Args:
        journal: its tables.
        files: its large payloads.

    Attributes:
        n_written: bytes of records that were written since the store was opened.
        n_cleared: transactions that have removed something since then.
    """

    def __init__(self, journal: Journal, files: PayloadFiles) -> None:
        self._journal = journal
        self._files = files
        self.n_written = self.n_cleared = 0

    @property
    def growth(self) -> int:
        """A count of bytes that grows by what is written, to tell quickly that `n_bytes` may have changed much."""
        return self.n_written + self._files.n_bytes

    def n_bytes(self) -> int:
        """Return the bytes that the journal and the files of large payloads take, without the journal's free pages.

        The log beside the journal, which has up to 16 MB, and the reserve of 4 MB do not count.
        """
        names = "page_count", "freelist_count", "page_size"
        pages, free, size = (self._journal.query(f"PRAGMA {name}")[0][0] for name in names)
        return (pages - free) * size + self._files.n_bytes

    def oldest_ended(self, is_wanted: Callable[[int], bool]) -> Iterator[Ended]:
        """Yield the `Ended` records, oldest first, but for those of one task that is not wanted."""
        query = (
            "SELECT seq, first, last FROM journal WHERE kind = ? AND first IS NOT NULL AND seq > ? "
            f"ORDER BY seq LIMIT {_AT_ONCE}"
        )
        seq = 0
        while rows := self._journal.query(query, (ENDED, seq)):
            for seq, first, last in rows:
                if first != last or is_wanted(first):
                    yield self._journal.record(seq, Ended)

    def bytes_of(self, taskid: int, result: Payload) -> int:
        """Return the bytes of a finished task: those of `result`, and those of the files of its arguments."""
        numbers = self._journal.query("SELECT number FROM files WHERE taskid = ?", (taskid,))
        size = sum(self._files.size(number) for (number,) in numbers)
        return size + (len(result) if isinstance(result, bytes) else 0)
