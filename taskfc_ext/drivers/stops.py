"""The count of a farm's stops on purpose: it shows whether a request to start came before or after a stop.

A client that restarts a dead farm may have to wait, for a slow start or a slow end. If the farm is stopped meanwhile,
the stop wins: the client gets an error, and only a new start or a new submission starts the farm again.
"""

from __future__ import annotations

from contextlib import suppress

from taskfc_ext.drivers.files import replace_file
from taskfc_ext.drivers.paths import FarmPaths


def count_stops(paths: FarmPaths) -> int:
    """Return the number of stops."""
    try:
        return int(paths.stops.read_text())
    except (OSError, ValueError):
        return 0


def note_stop(paths: FarmPaths) -> None:
    """Count one more stop. Call this before the stop is announced."""
    with suppress(OSError):  # a full disk, or a removed store: the farm has to stop all the same
        replace_file(paths.stops, str(count_stops(paths) + 1).encode())
