"""The count of a farm's stops on purpose: it shows whether a request to start came before or after a stop.

A client that restarts a dead farm may have to wait, for a slow start or a slow end. If the farm is stopped meanwhile,
the stop wins: the client gets an error, and only a new start or a new submission starts the farm again.

A farm that stops because nobody uses it is not counted: a note in its store says that the next use starts it again.
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
    forget_idle_stop(paths)
    with suppress(OSError):  # a full disk, or a removed store: the farm has to stop all the same
        replace_file(paths.stops, str(count_stops(paths) + 1).encode())


def note_idle_stop(paths: FarmPaths) -> None:
    """Note that the farm stops because nobody used it. Call this before the stop is announced."""
    with suppress(OSError):
        replace_file(paths.idle_stop, b"")


def has_stopped_idle(paths: FarmPaths) -> bool:
    """Return whether the last run of the farm ended because nobody used it."""
    return paths.idle_stop.exists()


def was_stopped(n_before: int, n_stops: int) -> bool:
    """Return whether a farm was stopped between two counts of its stops; -1: not known."""
    return -1 < n_before < n_stops


def is_stopping(paths: FarmPaths, n_before: int) -> bool:
    """Return whether a farm that runs is being stopped.

    Args:
        paths: its files.
        n_before: number of stops when its controller began; -1: not known.
    """
    return has_stopped_idle(paths) or was_stopped(n_before, count_stops(paths))


def forget_idle_stop(paths: FarmPaths) -> None:
    """Forget the note: the farm runs again, or somebody stops it."""
    paths.idle_stop.unlink(missing_ok=True)
