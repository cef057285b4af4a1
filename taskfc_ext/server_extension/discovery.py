"""Discovery of this user's farms, with the status of those that are not connected."""

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
"""Seconds after which an unchanged file is taken as complete: a start writes two files."""

_NAMES = 500
"""Farms that are listed; nobody picks one from a longer list."""


class _Absence(NamedTuple):
    """Status of a farm that does not run, and the times of the files that it was read from."""

    files: tuple[int, ...]
    status: FarmStatus


class Discovery:
    """Reads the files of farms. One thread at a time; it reads the disk and returns at once."""

    def __init__(self) -> None:
        self._farms: dict[str, LocalFarm] = {}
        self._absent: dict[str, _Absence] = {}

    def find_farms(self, connected: Container[str] = ()) -> dict[str, FarmStatus | None]:
        """Return the status of each farm by name; `None` for those that are `connected`: the connection knows it."""
        names = known_farms()[:_NAMES]
        self._farms = {name: self._farms.get(name) or LocalFarm(name) for name in names}
        found = {name: None if name in connected else self._status(farm) for name, farm in self._farms.items()}
        self._absent = {name: absence for name, absence in self._absent.items() if name in self._farms}
        return found

    def _status(self, farm: LocalFarm) -> FarmStatus:
        files = _read_times(farm)
        absence = self._absent.get(farm.name)
        settled = max(files) < time.time_ns() - TRUSTED_AFTER * 1e9
        if absence is not None and absence.files == files and settled:
            return absence.status  # there are more stores than running farms
        status = inspect_farm(farm)
        if status.state in (FarmState.STOPPED, FarmState.DEAD):
            self._absent[farm.name] = _Absence(files, status)
        else:
            self._absent.pop(farm.name, None)
        return status


def _read_times(farm: LocalFarm) -> tuple[int, ...]:
    """Return the times of the files about a farm's processes; 0 for a missing file."""
    times = []
    for file in (farm.paths.lock, farm.paths.connection_file):
        try:
            times.append(os.stat(file, follow_symlinks=False).st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)
