"""The cores and GPUs of one attempt: set for its libraries before its code runs, and put back after it."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import Any

from taskfc_ext.drivers.cores import THREAD_POOLS
from taskfc_ext.drivers.machine import VISIBLE_GPUS
from taskfc_ext.protocol.resources import Needs


class Allotment:
    """The cores and GPUs that one attempt may use. It is in force from its making until `end`.

    Thread pools have as many threads as the task names cores: environment variables do that for libraries that the
    attempt loads, `threadpoolctl`, where it is installed, for those that are loaded. `CUDA_VISIBLE_DEVICES` names the
    attempt's GPUs.

    Args:
        needs: the task's.
        gpus: the devices of this attempt.
    """

    def __init__(self, needs: Needs, gpus: tuple[str, ...]) -> None:
        names = dict.fromkeys(THREAD_POOLS, str(needs.cores)) if needs.cores else {}
        if gpus:
            names[VISIBLE_GPUS] = ",".join(gpus)
        self._before = {name: os.environ.get(name) for name in names}
        self._has_gpus = bool(gpus)
        self._threads: dict[str, int] | None = None
        os.environ.update(names)
        if needs.cores:
            self._threads = {pool.filepath: pool.num_threads for pool in _loaded_pools()}
            _resize(dict.fromkeys(self._threads, needs.cores), needs.cores)

    def end(self) -> str:
        """Put back what was set; return why this process cannot run another task, or ""."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._threads is not None:
            own = os.environ.get("OMP_NUM_THREADS", "")
            _resize(self._threads, int(own) if own.isdecimal() else 0)
        return "CUDA keeps the GPUs of the task that used it first" if self._has_gpus and uses_cuda() else ""


def uses_cuda() -> bool:
    """Return whether this process has loaded the CUDA driver: from then on it ignores `CUDA_VISIBLE_DEVICES`."""
    try:
        with open("/proc/self/maps", "rb") as file:
            return b"/libcuda.so" in file.read()
    except OSError:
        return False


def _loaded_pools() -> list[Any]:
    """Return the thread pools of the loaded libraries, as `threadpoolctl` knows them; none without it."""
    try:
        controllers: list[Any] = importlib.import_module("threadpoolctl").ThreadpoolController().lib_controllers
    except Exception:  # noqa: BLE001  not installed, or a module of that name
        return []
    return controllers


def _resize(sizes: dict[str, int], others: int) -> None:
    """Set the sizes of the loaded pools.

    Args:
        sizes: file of a library -> threads.
        others: threads of the other libraries, which were loaded since; 0: leave these.
    """
    for pool in _loaded_pools():
        n_threads = sizes.get(pool.filepath, others)
        if n_threads:
            with suppress(Exception):
                pool.set_num_threads(n_threads)
