"""The resources of this machine that a farm may give to tasks: cores, memory and GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from taskfc_ext.drivers.cores import available_cores, least_limit
from taskfc_ext.protocol.resources import Totals

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
"""Environment variable with the devices that CUDA programs may use, separated by commas."""


def machine_totals(others: Mapping[str, int]) -> Totals:
    """Return what this process may use, with a farm's own resources in `others`."""
    return Totals(cores=available_cores(), memory=available_memory(), gpus=visible_gpus(), others=others)


def available_memory(membership: str | None = None, root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory of this machine in bytes, or less where a control group limits it.

    Args:
        membership: the text of `/proc/self/cgroup`.
        root: where the control groups are mounted.
    """
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = least_limit("memory", _limit_v2, _limit_v1, membership, root)
    return installed if limit is None else min(installed, int(limit))


def visible_gpus(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> tuple[str, ...]:
    """Return the NVIDIA devices that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Args:
        environ: the environment. Without that variable, all devices of the machine are found.
        root: the root of the file system.
    """
    named = environ.get(VISIBLE_GPUS)
    if named is None:
        found = list(root.glob("proc/driver/nvidia/gpus/*")) or list(root.glob("dev/nvidia[0-9]*"))
        return tuple(str(number) for number in range(len(found)))
    gpus: dict[str, None] = {}
    for gpu in map(str.strip, named.split(",")):
        if not gpu or gpu.startswith("-") or gpu == "NoDevFiles":  # CUDA ignores all from the first invalid one on
            break
        gpus[gpu] = None
    return tuple(gpus)


def _limit_v2(group: Path) -> float | None:
    return _read_bytes(group / "memory.max")


def _limit_v1(group: Path) -> float | None:
    return _read_bytes(group / "memory.limit_in_bytes")


def _read_bytes(file: Path) -> float | None:
    """Return the number in `file`; `None` if there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
