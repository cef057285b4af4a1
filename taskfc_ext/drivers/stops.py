"""Count of the stops of a farm on purpose: it tells a wish from before a stop from one that came after it.

A client that brings a farm back may have to wait, for a farm that starts slowly or one that ends. If it was stopped
meanwhile, that stop holds: whoever waited is told, and only a new start or a new submission starts it again.
"""

from __future__ import annotations

import os

from taskfc_ext.drivers.paths import FarmPaths


def count_stops(paths: FarmPaths) -> int:
    """Return how many stops there were."""
    try:
        return int(paths.stops.read_text())
    except (OSError, ValueError):
        return 0


def note_stop(paths: FarmPaths) -> None:
    """Count one more. Before anybody is told of it."""
    temporary = paths.stops.with_name(f".{paths.stops.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as stream:
            stream.write(str(count_stops(paths) + 1))
        temporary.rename(paths.stops)
    except OSError:  # a full disk, or no store any more: it must stop all the same
        pass
