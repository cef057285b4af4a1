"""Results for which their disk has no room: the task waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from taskfc_ext.drivers.room import can_ever_hold
from taskfc_ext.drivers.uploads import Sent
from taskfc_ext.errors import StorageFull

LOOK_AGAIN = 1.0
"""Seconds between two tries."""


def write_when_there_is_room(write: Callable[..., Sent], parts: Iterable[bytes | memoryview], *, what: str) -> Sent:
    """Write a result; while its disk is full, wait in its task, which stays running and can be aborted.

    Args:
        write: as `LargePayloads.write`.
        parts: the content.
        what: how messages call it.

    Raises:
        StorageFull: the disk is too small for it.
        StoreError: it cannot be written.
    """
    parts = list(parts)
    size = sum(memoryview(part).nbytes for part in parts)
    is_told = False
    while True:
        try:
            return write(parts, what=what)
        except StorageFull as error:
            if not can_ever_hold(Path(error.path), size):
                raise
            if not is_told:
                is_told = True
                sys.stderr.write(f"{error.message}: the task waits for room\n")
        time.sleep(LOOK_AGAIN)
