"""Programs that a cell has started through IPython, and that are to end with it when it is interrupted."""

from __future__ import annotations

import os
import signal
import time

from taskfc_ext.drivers.processes import process_started


def moment() -> int:
    """Return the present as `process_started` counts it; 0 where that is not known."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def terminate_since(began: int) -> None:
    """Ask all descendants of this process that were started at `began` or later to end.

    An interrupt that IPython passes on reaches a shell, and not what the shell runs.
    """
    for pid in _descendants(os.getpid()):
        started = process_started(pid)
        if started is not None and started >= began:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def _descendants(root: int) -> list[int]:
    """Return the pids of all processes below `root`; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, pending = [], [root]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def _parents() -> list[tuple[int, int]]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except FileNotFoundError:
        return []
    pairs = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read()
        except OSError:  # gone meanwhile
            continue
        pairs.append((pid, int(text[text.rindex(b")") + 2 :].split()[1])))
    return pairs
