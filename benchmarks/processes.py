"""Processes of the system that is measured here, and what they use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

SETTLE_BYTES = 2**18
SETTLE_SECONDS = 0.5


def relatives() -> set[int]:
    """Return the processes of this measurement but for this one: its descendants, and all that have its folders.

    A farm's processes are no descendants; processes that rename themselves overwrite their environment.
    """
    found = {process.pid for process in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == os.environ["TMPDIR"]:
                found.add(process.pid)
        except psutil.Error:  # another user's, or gone
            continue
    return found - {os.getpid()}


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time of processes so far; in steps of 10 ms each on Linux."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def resident(pids: Iterable[int]) -> int:
    """Return the bytes of processes in memory; pages that they share count for each."""
    return _sum(pids, lambda process: process.memory_info().rss)


def proportional(pids: Iterable[int]) -> int:
    """Return the bytes of processes in memory; a page that k of them share counts 1/k for each. Linux only."""
    return _sum(pids, lambda process: process.memory_full_info().pss)


def settle(measure: Callable[[], int], seconds: float = 20) -> int:
    """Return the value of `measure` once it stays within 256 KB for half a second; after `seconds`, as it is."""
    deadline = time.monotonic() + seconds
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < SETTLE_SECONDS and time.monotonic() < deadline:
        time.sleep(0.05)
        now = measure()
        if abs(now - value) > SETTLE_BYTES:
            value, since = now, time.monotonic()
    return value


def age(pid: int) -> float:
    """Return the seconds since a process began; on Linux to 10 ms, elsewhere to what the system keeps."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return time.time() - psutil.Process(pid).create_time()
    ticks = int(stat.rpartition(")")[2].split()[19])  # since the machine's start: `man 5 proc`
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _sum(pids: Iterable[int], measure: Callable[[psutil.Process], int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += measure(psutil.Process(pid))
        except psutil.Error:  # gone
            continue
    return total
