"""Programs that a cell has started through IPython, and that are to end with it when it is interrupted."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from taskfc_ext.drivers.process_tree import Process, descendants, is_zombie


class Programs:
    """The programs below this process that begin from now on.

    An interrupt that IPython passes on reaches a shell, and not what the shell runs. So whoever is interrupted calls
    `note` while the shell is still there to be seen, and `terminate` when IPython has done what it does.
    """

    def __init__(self) -> None:
        self._since = _moment()
        self._noted: set[Process] = set()

    def note(self) -> None:
        """Remember those that run: a process is nobody's descendant any more once its parent is gone."""
        self._noted.update(descendants(os.getpid(), lambda process: process.started < self._since))

    def terminate(self) -> None:
        """Ask all that were noted, and those that run now, to end."""
        self.note()
        for process in self._noted:
            with suppress(ProcessLookupError):
                if not is_zombie(process):
                    os.kill(process.pid, signal.SIGTERM)


def _moment() -> int:
    """Return the present as `Process.started` counts it; 0 where that is not known."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
