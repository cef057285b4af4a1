"""The real store in a simulation: a file in shared memory, whose controller can be killed at each commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol.records import Record, decode_record, encode_record


class RealStore(Store):
    """A store on a real file.

    Args:
        before, after: called before and after each commit; they may kill the controller.
        on_commit: called with the decoded records of each transaction.
    """

    def __init__(
        self,
        path: Path,
        before: Callable[[], None],
        after: Callable[[], None],
        on_commit: Callable[[Sequence[Record]], None],
    ) -> None:
        super().__init__(path)
        assert not self.warnings, self.warnings
        self._before, self._after, self._on_commit = before, after, on_commit

    def commit(self, records: Iterable[Record]) -> None:
        """Append `records` in one transaction."""
        records = list(records)
        self._before()
        super().commit(records)
        self._on_commit([decode_record(encode_record(record)) for record in records])
        self._after()

    def end(self, *, is_regular: bool) -> None:
        """Close it; after the death of its controller, as it is."""
        if is_regular:
            self.close()
        else:
            self._upkeep.close()
            self._db.close()
            self._witness.abandon()
