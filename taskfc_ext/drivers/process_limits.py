"""The system's limits on open files, processes and threads, checked before something fails that cannot report it.

ZMQ aborts the process if it gets no descriptor or no thread.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from pathlib import Path

from taskfc_ext.drivers.cores import least_limit
from taskfc_ext.errors import FarmError, StartFailed

FILES_OF_FARM = 40
"""Descriptors of a controller or supervisor without workers, and of some clients: the controller has 21 at first."""

FILES_OF_WORKER = 2
"""Descriptors of the supervisor for each worker; the controller has one."""

THREADS_OF_FARM = 8
"""Threads of supervisor and controller: 4, and some that the store and a start need for a moment."""

THREADS_OF_WORKER = 4
"""Threads of a worker that runs nothing."""

_ENDED_WITHIN = 0.1
"""Seconds until the system has removed threads that have ended."""

_files_at_start: tuple[int, int] | None = None


def raise_file_limit() -> None:
    """Let this process open as many files as it may; `restore_file_limit` undoes it in a child."""
    global _files_at_start
    _files_at_start = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit, which it does not name
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def restore_file_limit() -> None:
    """Give this process the limit that `raise_file_limit` has found: that of the user, for the user's code."""
    if _files_at_start is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, _files_at_start)


def require_files(n: int, purpose: str) -> None:
    """Check that `n` more files can be opened.

    Args:
        n: the number.
        purpose: how messages call what needs them.

    Raises:
        FarmError: they cannot; the message has the numbers.
    """
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        while len(opened) < n:
            opened.append(os.dup(opened[0]))
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise FarmError(
            f"{purpose} needs {n} more open files, and this process can open {len(opened)} ({error.strerror}; "
            f"its limit is {limit})",
            hint="close files, or raise the limit: ulimit -n",
        ) from error
    finally:
        for fd in opened:
            os.close(fd)


def require_threads(n: int, purpose: str) -> None:
    """Check that this process can start `n` more threads, which takes 0.1 ms each.

    Args:
        n: the number.
        purpose: how messages call what needs them.

    Raises:
        FarmError: it cannot.
    """
    before = _n_threads()
    gate = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(n):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise no_threads(purpose) from error
    finally:
        gate.set()
        for thread in started:
            thread.join()
        deadline = time.monotonic() + _ENDED_WITHIN
        while _n_threads() > before and time.monotonic() < deadline:
            time.sleep(0.0005)  # the system counts a thread for a moment after its `join`


def no_threads(purpose: str) -> FarmError:
    """Return the error of a process that cannot start a thread.

    Args:
        purpose: how messages call what needs it.
    """
    return FarmError(
        f"{purpose} needs a thread, and the system starts none: too many processes and threads, or too little memory",
        hint="end some processes, or raise the limits: ulimit -u, ulimit -v, or those of the control group",
    )


def require_limits_of_farm(n_workers: int, n_running: int | None = None) -> None:
    """Check that a farm with so many workers at home can have the files, processes and threads that it needs.

    Args:
        n_workers: the number.
        n_running: the workers of the farm if it runs already.

    Raises:
        StartFailed: it cannot; the message has the numbers.
    """
    wanted = FILES_OF_FARM + FILES_OF_WORKER * n_workers
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and wanted > limit:
        raise StartFailed(
            f"a farm with {_workers(n_workers)} needs {wanted} open files in one process, and the limit is {limit}",
            hint=_advice((limit - FILES_OF_FARM) // FILES_OF_WORKER, "ulimit -Hn", n_running),
        )
    present = -THREADS_OF_FARM if n_running is None else THREADS_OF_WORKER * n_running
    wanted = THREADS_OF_WORKER * n_workers - present
    free = _free_threads(wanted)
    if free is not None and wanted > free:
        raise StartFailed(
            f"a farm with {_workers(n_workers)} needs {wanted}{'' if n_running is None else ' more'} processes and "
            f"threads, and the system lets this user start {free} more",
            hint=_advice((free + present) // THREADS_OF_WORKER, "ulimit -u, or that of the control group", n_running),
        )


def _workers(n: int) -> str:
    return f"{n} worker{'' if n == 1 else 's'}"


def _advice(most: int, how: str, n_running: int | None) -> str:
    fewer = f"have at most {_workers(most)}, or " if most > 0 else ""
    return f"{fewer}raise the limit{'' if n_running is None else ' and restart the farm'}: {how}"


def _free_threads(wanted: int) -> int | None:
    """Return how many threads this user may start, at least 0; `None`: `wanted` or more, or not known."""
    if sys.platform != "linux":
        return None
    found = [least_limit("pids", _free_in_group, _free_in_group, None, Path("/sys/fs/cgroup"))]
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    is_limited = limit != resource.RLIM_INFINITY and os.getuid() != 0  # the kernel lets root start any number
    if is_limited and limit < 4 * wanted:  # else not worth a look at all processes
        found.append(max(0, limit - _n_threads_of_user()))
    return min((int(free) for free in found if free is not None), default=None)


def _free_in_group(group: Path) -> float | None:
    try:
        most = (group / "pids.max").read_text().strip()
        return None if most == "max" else max(1, int(most) - int((group / "pids.current").read_text()))
    except (OSError, ValueError):
        return None


def _n_threads() -> int:
    """Return the threads of this process as the system counts them; 0 where it does not say."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def _n_threads_of_user() -> int:
    n, user = 0, os.getuid()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            n += len(os.listdir(f"/proc/{name}/task")) if os.stat(f"/proc/{name}").st_uid == user else 0
    return n
