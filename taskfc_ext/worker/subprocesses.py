"""Programs that a cell has started through IPython, and that are to end with it when it is interrupted."""

from __future__ import annotations

import os
import signal
import time

from taskfc_ext.drivers.processes import process_alive, process_started


class Programs:
    """The programs below this process that begin from now on.

    An interrupt that IPython passes on reaches a shell, and not what the shell runs. So whoever is interrupted calls
    `note` while the shell is still there to be seen, and `terminate` when IPython has done what it does.
    """

    def __init__(self) -> None:
        self._since = _moment()
        self._noted: dict[int, int] = {}  # when a process began, by pid

    def note(self) -> None:
        """Remember those that run: a process is nobody's descendant any more once its parent is gone."""
        for pid in _descendants(os.getpid()):
            began = process_started(pid)
            if began is not None and began >= self._since:
                self._noted[pid] = began

    def terminate(self) -> None:
        """Ask all that were noted, and those that run now, to end."""
        self.note()
        for pid, began in self._noted.items():
            try:
                if process_alive(pid, began):
                    os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def _moment() -> int:
    """Return the present as `process_started` counts it; 0 where that is not known."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


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
