"""Count of the stops of a farm on purpose: it tells a wish from before a stop from one that came after it.

A client that brings a farm back may have to wait, for a farm that starts slowly or one that ends. If it was stopped
meanwhile, that stop holds: whoever waited is told, and only a new start or a new submission starts it again.
"""

from __future__ import annotations

from contextlib import suppress

from taskfc_ext.drivers.files import replace_file
from taskfc_ext.drivers.paths import FarmPaths


def count_stops(paths: FarmPaths) -> int:
    """Return how many stops there were."""
    try:
        return int(paths.stops.read_text())
    except (OSError, ValueError):
        return 0


def note_stop(paths: FarmPaths) -> None:
    """Count one more. Before anybody is told of it."""
    with suppress(OSError):  # a full disk, or no store any more: it must stop all the same
        replace_file(paths.stops, str(count_stops(paths) + 1).encode())
