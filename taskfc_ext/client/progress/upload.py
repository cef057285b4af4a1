"""Progress of large payloads that are written: of one alone, or of the submission that it is a part of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.progress.long_wait import LongWait


class _Submitting(threading.local):
    """The submission of several tasks that this thread is in."""

    progress: LongWait | None = None


_submitting = _Submitting()


@contextmanager
def submitting(progress: LongWait) -> Iterator[None]:
    """Let the payloads that this thread writes in the block draw this bar and none of their own; close it then."""
    before, _submitting.progress = _submitting.progress, progress
    try:
        yield
    finally:
        _submitting.progress = before
        progress.close()


@contextmanager
def long_upload(what: str, *, make_wait: Callable[..., LongWait] = LongWait) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while this thread writes a payload; yield the function to call with the written bytes, and with all.

    Args:
        what: the name of the payload.
        make_wait: makes the wait that shows the bar.
    """
    counts = Counts(0)

    def report(n_written: int, size: int) -> None:
        nonlocal counts
        counts = Counts(n_written, size)
        progress.tick()

    outer = _submitting.progress
    progress = outer or make_wait(lambda: counts, what, "bytes")
    try:
        yield report
    finally:
        if outer is None:
            progress.close()
