"""Signals to random processes of one farm, each held by a descriptor first: a pid alone may be used again."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.drivers.process_tree import children, command_line

Find = Callable[[], Iterable[int]]
"""Returns the pids of the processes of a kind."""


class Held:
    """A process that is held by a descriptor, so that a signal meets it or nothing. As a context manager it lets go."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self._fd = fd

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was still there."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except OSError:
            return False
        return True

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def hold_one(find: Find, chance: random.Random) -> Held | None:
    """Hold a random process of those that `find` returns; `None` if there is none, or it ends meanwhile."""
    found = sorted(find())
    if not found:
        return None
    pid = chance.choice(found)
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    if pid not in set(find()):  # another process may have got its pid before it was held
        os.close(fd)
        return None
    return Held(pid, fd)


def kill_one(find: Find, chance: random.Random) -> int | None:
    """Kill a random process of those that `find` returns; return its pid, or `None` if none was killed."""
    held = hold_one(find, chance)
    if held is None:
        return None
    with held:
        return held.pid if held.send(signal.SIGKILL) else None


class FarmProcesses:
    """The processes of a farm on this machine, by kind."""

    def __init__(self, name: str = "default") -> None:
        self._farm = LocalFarm(name)

    def supervisors(self) -> list[int]:
        """The supervisor of a farm that answers."""
        found = self._farm.connection()
        return [] if found is None else [found.supervisor_pid]

    def controllers(self) -> list[int]:
        """The controller, once clients can find it."""
        found = self._farm.connection()
        return [] if found is None else [found.pid]

    def workers(self) -> list[int]:
        """The workers, also those that start."""
        return [
            child.pid
            for supervisor in self.supervisors()
            for child in children(supervisor)
            if b"taskfc_ext.worker.app" in command_line(child.pid)
        ]
