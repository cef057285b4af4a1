"""Programs that a cell has started through IPython, which end with it on an interrupt."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from taskfc_ext.drivers.process_tree import Process, descendants, is_zombie


class Subprocesses:
    """Programs below this process that begin from now on.

    An interrupt that IPython passes on reaches a shell, and not the programs that the shell runs. So call `note` at the
    interrupt, while the shell is still there, and `terminate` when IPython has ended it.
    """

    def __init__(self) -> None:
        self._since = _moment()
        self._noted: set[Process] = set()

    def note(self) -> None:
        """Remember the running programs, as a process cannot be found once its parent has ended."""
        self._noted.update(descendants(os.getpid(), lambda process: process.started < self._since))

    def terminate(self) -> None:
        """Send SIGTERM to all programs that were noted or run now."""
        self.note()
        for process in self._noted:
            with suppress(ProcessLookupError):
                if not is_zombie(process):
                    os.kill(process.pid, signal.SIGTERM)


def _moment() -> int:
    """Return the time in the units of `Process.started`; 0 where that is unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
