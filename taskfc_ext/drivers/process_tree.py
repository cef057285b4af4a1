"""The descendants of this process: find, kill and reap them.

A subreaper stays the ancestor of all processes that it starts: one that loses its parent, as a daemon does, becomes a
child of the subreaper. Linux only; on other systems nothing is found.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

_SUPERVISOR = b"taskfc_ext.supervisor.app"  # part of its command line, see `python_command`

STATE, _PARENT, _GROUP, FLAGS, STARTED = 0, 1, 2, 6, 19
"""Indices in `stat_fields`."""

_PAUSE = 0.001
"""Seconds between checks of whether killed processes have ended."""


class Process(NamedTuple):
    """A process. The start time distinguishes it from a later process with the same pid."""

    pid: int
    started: int


def become_subreaper() -> None:
    """Make this process stay the ancestor of all processes that it or its descendants start, also of daemons."""
    if sys.platform == "linux":
        import ctypes  # slow

        pr_set_child_subreaper = 36
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def has_children() -> bool:
    """Return whether this process has children, including zombies; `True` if the system does not tell."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children(pid: int) -> list[Process]:
    """Return the children of `pid`, including zombies."""
    return [Process(child, facts[2]) for child in _child_pids(pid) if (facts := _facts(child)) is not None]


def descendants(root: int, spare: Callable[[Process], bool]) -> list[Process]:
    """Return the running descendants of `root`, except those that `spare` accepts and their descendants."""
    found: list[Process] = []
    pending = [root]
    while pending:
        for process in children(pending.pop()):
            if not spare(process):
                pending.append(process.pid)
                if not is_zombie(process):
                    found.append(process)
    return found


def is_zombie(process: Process) -> bool:
    """Return whether the process has ended, reaped or not."""
    facts = _facts(process.pid)
    return facts is None or facts[0] in "ZX" or facts[2] != process.started


def is_supervisor(process: Process) -> bool:
    """Return whether the process is the supervisor of a farm; a farm that a task starts outlives the task."""
    return _SUPERVISOR in command_line(process.pid)


def command_line(pid: int) -> bytes:
    """Return the command line of a process; empty if it has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def kill_descendants(spare: Callable[[Process], bool], *, timeout: float) -> list[Process]:
    """Kill the `descendants` of this process until there are none; return those that are left after `timeout` seconds.

    Each is reaped by its parent; `reap` does that for the children of this process.
    """
    deadline = time.monotonic() + timeout
    n_empty = 0
    while n_empty < 2:  # a process that loses its parent during the search may be missed, but not twice
        found = descendants(os.getpid(), spare)
        n_empty = 0 if found else n_empty + 1
        for process in found:
            _kill(process)
        while not all(map(is_zombie, found)):
            if time.monotonic() > deadline:
                return [process for process in found if not is_zombie(process)]
            time.sleep(_PAUSE)
    return []


def reap(spare: Callable[[Process], bool]) -> None:
    """Reap the children of this process that have ended, except those that `spare` accepts."""
    for process in children(os.getpid()):
        if not spare(process):
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue  # another thread was faster


def is_stopped(pid: int) -> bool:
    """Return whether a signal has suspended the process, so that it waits for SIGCONT."""
    facts = _facts(pid)
    return facts is not None and facts[0] in "Tt"


def runs_outside(pid: int, root: int) -> bool:
    """Return whether `pid` exists, possibly as a zombie, and is neither `root` nor one of its descendants."""
    at, lost = pid, 0
    while at > 1 and at != root:
        facts = _facts(at)
        if facts is not None:
            at = facts[1]
        elif at == pid:
            return False
        elif at == lost:
            return True  # hidden, as `hidepid` hides processes of other users, so it is not ours
        else:
            at, lost = pid, at  # an ancestor has just ended, so its children have another parent now
    return at != root


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        kill_checked(process.pid, lambda: not is_zombie(process))


def kill_checked(pid: int, is_meant: Callable[[], bool]) -> None:
    """Kill the process `pid` if `is_meant` returns true once a descriptor holds it: a pid alone may be reused.

    Raises:
        OSError: there is no such process, or no free descriptor.
    """
    fd = os.pidfd_open(pid)
    try:
        if is_meant():
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:  # it has ended, or belongs to another user now
        pass
    finally:
        os.close(fd)


def _child_pids(pid: int) -> list[int]:
    """Return the pids of the children of all threads of `pid`."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            fd = os.open(f"/proc/{pid}/task/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if os.path.exists("/proc/self/task") and not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
                return [child for child, parent in _parents() if parent == pid]  # a kernel without these files
            continue  # the thread has ended
        except OSError:
            continue
        with open(fd, "rb") as file:
            try:
                found += map(int, file.read().split())
            except OSError:
                continue
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdecimal() and (facts := _facts(int(name))) is not None:
            yield int(name), facts[1]


def _facts(pid: int) -> tuple[str, int, int] | None:
    """Return state, parent and start time of a process; `None` if it does not exist."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return None
    if fields[_GROUP] == b"-1":  # it is being reaped, and its parent is not reported any more
        return None
    return fields[STATE].decode(), int(fields[_PARENT]), int(fields[STARTED])


def stat_fields(pid: int) -> list[bytes]:
    """Return the fields of `/proc/PID/stat`, from the state on, which is field 3 in proc(5).

    Raises:
        OSError: there is no such process, or no free descriptor.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    return text[text.rindex(b")") + 2 :].split()  # the command before it may contain spaces and parentheses
