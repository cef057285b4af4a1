"""Which farms this user has, and how those are that nobody is connected to."""

from __future__ import annotations

import os
import time
from collections.abc import Container
from typing import NamedTuple

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.farm.status import inspect_farm
from taskfc_ext.drivers.paths import known_farms
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus

TRUSTED_AFTER = 5.0
"""Seconds after which a file that has not changed is taken to be all that was written: a start writes two of them."""

_NAMES = 500
"""Farms that are looked at; nobody picks one from a longer list."""


class _Absence(NamedTuple):
    """What a farm that is not there looked like, and the files that this was read from."""

    files: tuple[int, ...]
    status: FarmStatus


class Discovery:
    """Looks at the files of farms. One thread at a time; a look touches the disk and answers at once."""

    def __init__(self) -> None:
        self._farms: dict[str, LocalFarm] = {}
        self._absent: dict[str, _Absence] = {}

    def find_farms(self, connected: Container[str] = ()) -> dict[str, FarmStatus | None]:
        """Return how each farm is, by name; `None` for those that are `connected`, which know it better."""
        names = known_farms()[:_NAMES]
        self._farms = {name: self._farms.get(name) or LocalFarm(name) for name in names}
        found = {name: None if name in connected else self._status(farm) for name, farm in self._farms.items()}
        self._absent = {name: seen for name, seen in self._absent.items() if name in self._farms}
        return found

    def _status(self, farm: LocalFarm) -> FarmStatus:
        files = _read_times(farm)
        seen = self._absent.get(farm.name)
        settled = max(files) < time.time_ns() - TRUSTED_AFTER * 1e9
        if seen is not None and seen.files == files and settled:
            return seen.status  # there are more stores than farms, and most of them rest
        _, status = inspect_farm(farm)
        if status.state in (FarmState.STOPPED, FarmState.DEAD):
            self._absent[farm.name] = _Absence(files, status)
        else:
            self._absent.pop(farm.name, None)
        return status


def _read_times(farm: LocalFarm) -> tuple[int, ...]:
    """Return when the files that tell of a farm's processes were written; 0 for one that is not there."""
    times = []
    for file in (farm.paths.lock, farm.paths.connection_file):
        try:
            times.append(os.stat(file, follow_symlinks=False).st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)
