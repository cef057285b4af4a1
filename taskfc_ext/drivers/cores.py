"""The number of CPU cores that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

THREAD_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that set the size of numeric libraries' thread pools."""


def available_cores() -> int:
    """Return the cores that CPU affinity and control groups allow, at least 1."""
    # macOS has no affinity
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def cgroup_quota(membership: str | None = None, root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the smallest CPU quota of this process's control groups, in cores; `None` if there is none.

    Args:
        membership: the text of `/proc/self/cgroup`.
        root: where the control groups are mounted.
    """
    return least_limit("cpu", _quota_v2, _quota_v1, membership, root)


def least_limit(
    controller: str,
    read_v2: Callable[[Path], float | None],
    read_v1: Callable[[Path], float | None],
    membership: str | None,
    root: Path,
) -> float | None:
    """Return the smallest limit of this process's control groups; `None` if there is none.

    Args:
        controller: its name in version 1.
        read_v2: returns the limit of one group of version 2.
        read_v1: returns the limit of one group of version 1.
        membership: the text of `/proc/self/cgroup`; `None`: read it.
        root: where the control groups are mounted.
    """
    if membership is None:
        try:
            membership = Path("/proc/self/cgroup").read_text()
        except OSError:
            return None
    limits = []
    for line in membership.splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folder, read = root, read_v2
        elif controller in controllers.split(","):
            folder, read = root / controllers, read_v1
        else:
            continue
        # from the inner group up to the root; in a container the outer part of the path may not be visible
        inner = Path(group.lstrip("/"))
        limits += [read(folder / part) for part in (inner, *inner.parents)]
    return min((limit for limit in limits if limit), default=None)


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return quota / int((group / "cpu.cfs_period_us").read_text()) if quota > 0 else None
    except (OSError, ValueError):
        return None


def thread_pool_environment(workers: int) -> dict[str, str]:
    """Return the variables that divide the cores among `workers`, except those that the user has set."""
    share = str(max(1, available_cores() // max(1, workers)))
    return {name: share for name in THREAD_POOLS if name not in os.environ}
