"""Processes of a farm: how they are started, known again, watched through a page, and swept."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

FARM = "TASKFC_FARM"
"""In the environment of workers and of all that they start: the farm's tag."""

FARM_PID = "TASKFC_FARM_PID"
"""Beside it: the supervisor's pid."""

FARM_WORKER = "TASKFC_FARM_WORKER"
"""Beside it: the worker's id."""

PAGE_SIZE = 4096


class Page:
    """What a worker is doing, in memory that it shares with the supervisor and that survives it.

    Words are unsigned 64-bit integers. A worker writes `STARTED` before the user's code and `ENDED` when the outcome
    has been computed; its leases only grow. On the hot path it writes to `words` itself.

    Args:
        fd: the page's file; may be closed afterwards.
    """

    STARTED = 0  # the last lease started
    ENDED = 1  # the last lease ended
    INTERRUPT = 2  # the lease to be interrupted
    READY = 3  # 1 when the worker has got as far as asking for work

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE_SIZE)
        self._bytes = memoryview(self._map)
        self.words = self._bytes.cast("Q")

    @staticmethod
    def create(path: Path) -> int:
        """Make a new page's file, all zeros, and return its descriptor."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, bytes(PAGE_SIZE), 0)  # a full disk is an error here, not a SIGBUS in the worker
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        return fd

    @property
    def started(self) -> int:
        """The last lease that was started; 0: none."""
        return self.words[self.STARTED]

    @property
    def running(self) -> bool:
        """Whether that lease has not ended."""
        return self.words[self.STARTED] != self.words[self.ENDED]

    def is_running(self, lease: int) -> bool:
        """Whether the user's code of `lease` may be running."""
        return self.running and self.started == lease

    @property
    def ready(self) -> bool:
        """Whether the worker has ever been able to work."""
        return bool(self.words[self.READY] or self.words[self.STARTED])

    def close(self) -> None:
        """Unmap it. The words cannot be read afterwards."""
        self.words.release()
        self._bytes.release()
        self._map.close()


# starting


def python_command(role: str, *args: object, python: str = sys.executable) -> list[str]:
    """Return the command that runs `taskfc_ext.<role>.app` with `args`; in this interpreter, from these sources.

    `-P` keeps the current folder off the path: a `zmq.py` beside a notebook must not become part of the farm.
    """
    start = f"from taskfc_ext.{role}.app import main; main()"
    if python != sys.executable:  # of another environment, in which this package is installed too
        return [python, "-P", "-c", start, *map(str, args)]
    source = str(Path(__file__).resolve().parents[2])
    # in front only when it is not installed: site-packages before the standard library would shadow that
    code = f"import sys; p = {source!r}; p in sys.path or sys.path.insert(0, p); {start}"
    return [python, "-P", "-c", code, *map(str, args)]


def environment_outside_farms(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return `environ` for a process that is no part of a farm, also if this one is.

    A farm that a task starts has to outlive the worker that the task runs on.
    """
    return {name: value for name, value in environ.items() if name not in (FARM, FARM_PID, FARM_WORKER)}


def worker_here(tag: str, environ: Mapping[str, str] = os.environ) -> int:
    """Return the worker of the farm `tag` that this process is, or was started by; -1 where it is on none."""
    worker = environ.get(FARM_WORKER, "")
    return int(worker) if environ.get(FARM) == tag and worker.isdecimal() and len(worker) < 16 else -1


def die_with_parent(parent: int) -> None:
    """End this process, now or later, when `parent` is gone. For the main thread, before anything else.

    Only Linux can do it; elsewhere the end of a pipe has to tell.
    """
    if sys.platform == "linux":
        import ctypes  # slow, and only workers need it

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the call above
        os.kill(os.getpid(), signal.SIGKILL)


# knowing again


def process_started(pid: int) -> int | None:
    """Return when the process began, in a unit of the system's; `None` when there is none, or a zombie.

    Together with the boot this tells a process from a later one with its pid.
    """
    if sys.platform != "linux":
        return _started_by_ps(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the command before it may hold spaces and parentheses
    state, started = fields[0], int(fields[19])  # fields 3 and 22 in proc(5)
    return None if state in (b"Z", b"X") else started


def _started_by_ps(pid: int) -> int | None:
    import subprocess  # slow, and Linux does without it

    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    output = subprocess.run(
        command, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"}
    ).stdout
    state, _, started = output.strip().partition(" ")
    if not started or state.startswith("Z"):
        return None
    return int(time.mktime(time.strptime(" ".join(started.split()), "%a %b %d %H:%M:%S %Y")))


def process_alive(pid: int, started: int | None) -> bool:
    """Whether the process that had `pid` and began at `started` (`None`: unknown) still runs."""
    now = process_started(pid)
    return now is not None and started in (None, now)


# sweeping


def tagged_processes(tag: str, worker: int | None = None) -> list[int]:
    """Return the pids of the processes that belong to the farm `tag` (to one `worker` of it) by their environment.

    It finds what left its process group, and what was left by a farm that was killed. Never this process. Linux only;
    elsewhere it finds nothing.
    """
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except FileNotFoundError:
        return []
    return [pid for pid in pids if pid != os.getpid() and _is_tagged(pid, tag, worker)]


def _is_tagged(pid: int, tag: str, worker: int | None) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            environ = b"\0" + file.readall()
    except OSError:  # another user's, or gone
        return False
    if f"\0{FARM}={tag}\0".encode() not in environ:
        return False
    return worker is None or f"\0{FARM_WORKER}={worker}\0".encode() in environ


def kill_tagged(tag: str, worker: int | None = None) -> list[int]:
    """Kill the `tagged_processes`; return those that were found."""
    found = tagged_processes(tag, worker)
    for pid in found:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            # looked at again through a handle on the process: the pid alone may by now be somebody else's
            if _is_tagged(pid, tag, worker):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        except OSError:
            pass
        finally:
            os.close(fd)
    return found


def sweep(tag: str, *, timeout: float = 2.0) -> list[int]:
    """Kill all `tagged_processes` until there are none; return those that are left after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (found := kill_tagged(tag)) and time.monotonic() < deadline:
        time.sleep(0.005)  # they are somebody else's children: nothing tells us of their end
    return found
