"""Processes of a farm: start, identify, watch through a page, and kill them."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle
from pathlib import Path

from taskfc_ext.drivers.process_tree import FLAGS, STARTED, STATE, kill_checked, stat_fields
from taskfc_ext.drivers.socket_folder import FolderRefused, hold_folder, remove_below
from taskfc_ext.location import SOURCES
from taskfc_ext.protocol.ids import UNKNOWN_LEASE

FARM = "TASKFC_FARM"
"""Environment variable of workers and their descendants: the farm's tag."""

FARM_PID = "TASKFC_FARM_PID"
"""Environment variable of workers and their descendants: the supervisor's pid."""

FARM_WORKER = "TASKFC_FARM_WORKER"
"""Environment variable of workers and their descendants: the worker's id."""

ENGINE = "TASKFC_ENGINE"
"""Environment variable of workers on an engine: its address."""

_RESULT = struct.Struct("=Qd48p")
"""A kept result: lease, seconds, and a value of up to `_LONGEST` bytes."""

_LONGEST = 47
_RESULTS = 64  # behind the words
# One page of the system, so that a task which truncates the file but for a byte leaves the worker its memory. There is
# room for 63 results; those of a stuck worker were 15 to 56.
PAGE_SIZE = 4096
_PLACES = range(_RESULTS, PAGE_SIZE, _RESULT.size)

_pack_result = _RESULT.pack_into

_SETTLE = 0.001
"""Seconds from a write to a page until the worker reads it, and until what it wrote before can be read.

Python has no memory fence: a processor may read before its own earlier write leaves its store buffer, which takes it
less than a microsecond.
"""


def remove_page(path: Path) -> None:
    """Remove a page's file, if it exists."""
    with suppress(FolderRefused), hold_folder(path.parent) as folder:
        remove_below(folder, path.name)


class _Words:
    """The meaning of a page's words.

    Attributes:
        STARTED: index of the last lease that was started.
        ENDED: index of the last lease that has ended.
        INTERRUPT: index of the lease to be interrupted.
        REVOKED: index of the lease up to which none starts any more.
        KEPT: index of the place of the last kept result, an offset in the page; 0: none.
        READY: index of 1, once the worker has asked for work. The last word: no write of the others makes a page whole
            that was truncated.
    """

    STARTED = 0
    ENDED = 1
    INTERRUPT = 2
    REVOKED = 3
    KEPT = 4
    READY = 5

    def _read(self) -> Sequence[int] | None:
        """Return the words; `None` if the page is destroyed."""
        raise NotImplementedError

    @property
    def started(self) -> int:
        """The last lease that was started; 0: none; `UNKNOWN_LEASE`: unknown."""
        words = self._read()
        return UNKNOWN_LEASE if words is None else words[self.STARTED]

    @property
    def running(self) -> bool:
        """True if that lease has not ended."""
        words = self._read()
        return words is None or words[self.STARTED] != words[self.ENDED]

    def is_running(self, lease: int) -> bool:
        """Return whether the user's code of `lease` may be running."""
        words = self._read()
        return words is None or (words[self.STARTED] == lease and words[self.ENDED] != lease)

    def has_ended(self, lease: int) -> bool:
        """Return whether the attempt under `lease`, or a later one, has ended."""
        words = self._read()
        return words is not None and words[self.ENDED] >= lease

    @property
    def ready(self) -> bool:
        """True if the worker has ever asked for work."""
        words = self._read()
        return words is None or bool(words[self.READY] or words[self.STARTED])


_KEPT = _Words.KEPT


class Page(_Words):
    """A worker's view of its page: memory that it shares with the supervisor, and that survives the worker.

    Words are unsigned 64-bit integers. A worker writes `STARTED` before it runs the user's code, and `ENDED` when it
    has the outcome; its leases only grow. If it finds that the lease which it has just written is revoked, it sets
    `STARTED` back to `ENDED`. On the hot path it writes to `words` directly.

    Behind the words there is a place for each of the last results: see `keep`.

    Args:
        fd: the page's file; may be closed afterwards.
    """

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE_SIZE)
        self._bytes = memoryview(self._map)
        self.words = self._bytes.cast("Q")
        self._places = cycle(_PLACES)

    def _read(self) -> Sequence[int]:
        return self.words

    def keep(self, lease: int, seconds: float, value: bytes) -> None:
        """Keep a short result of a successful attempt for `WatchedPage.results`, before the next attempt starts.

        So the supervisor finds it while the next attempt lets no thread of this process send it.
        """
        if len(value) <= _LONGEST:
            place = next(self._places)
            _pack_result(self._bytes, place, lease, seconds, value)
            self.words[_KEPT] = place

    @staticmethod
    def create(path: Path) -> int:
        """Make a new page's file of zeros, and its folder if that is missing; return the file's descriptor."""
        with hold_folder(path.parent) as folder:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path.name, flags, 0o600, dir_fd=folder)
            try:
                os.pwrite(fd, bytes(PAGE_SIZE), 0)  # so a full disk is an error here, not a SIGBUS in the worker
            except OSError:
                os.close(fd)
                remove_below(folder, path.name)
                raise
            return fd

    @staticmethod
    def create_unnamed() -> int:
        """Make a new page's file without a name, which nobody has to remove; return its descriptor."""
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(bytes(PAGE_SIZE))
            return os.dup(file.fileno())

    def close(self) -> None:
        """Unmap the page. Its words cannot be read afterwards."""
        self.words.release()
        self._bytes.release()
        self._map.close()


class WatchedPage(_Words):
    """The supervisor's view of a worker's page. Not mapped: a task can truncate the file, and a read would be fatal.

    Args:
        fd: the page's file; may be closed afterwards.
    """

    _WORDS = struct.Struct("=6Q")

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)

    def _read(self) -> Sequence[int] | None:
        try:
            return self._WORDS.unpack(os.pread(self._fd, self._WORDS.size, 0))
        except (OSError, struct.error):
            return None

    def interrupt(self, lease: int) -> None:
        """Write the lease to be interrupted into the page."""
        self._write(self.INTERRUPT, lease)  # if that fails, the next step ends the worker

    def revoke(self, until: int) -> int | None:
        """Let no lease up to `until` start any more; return the last started one, or `None` without effect.

        The worker writes the lease that it starts, and then reads this word; here the word is written first. So of each
        lease either the worker reads that it is revoked, or this process reads that it has started. If both is so, the
        worker has not run it, and gives it back.
        """
        words = self._read()
        if words is None or not self._write(self.REVOKED, max(until, words[self.REVOKED])):
            return None
        time.sleep(_SETTLE)
        words = self._read()
        return None if words is None else words[self.STARTED]

    def results(self) -> list[tuple[int, float, bytes]]:
        """Return (lease, seconds, value) of the kept results; none if the worker starts another attempt meanwhile.

        Between two starts it changes one place only, the next one: it is left out.
        """
        before = self._read()
        try:
            kept = os.pread(self._fd, PAGE_SIZE - _RESULTS, _RESULTS)
        except OSError:
            return []
        if before is None or len(kept) != PAGE_SIZE - _RESULTS or self.started != before[self.STARTED]:
            return []
        place, started = before[self.KEPT], before[self.STARTED]
        following = place + _RESULT.size if place in _PLACES[:-1] else _RESULTS
        results = zip(_PLACES, _RESULT.iter_unpack(kept), strict=True)
        return [result for place, result in results if 0 < result[0] < started and place != following]

    def _write(self, word: int, value: int) -> bool:
        try:
            os.pwrite(self._fd, value.to_bytes(8, sys.byteorder), 8 * word)
        except OSError:  # a full disk, and a truncated page
            return False
        return True

    def close(self) -> None:
        """Close the page."""
        os.close(self._fd)


# starting


def python_command(role: str, *args: object, python: str = sys.executable) -> list[str]:
    """Return the command that runs `taskfc_ext.<role>.app` with `args`, by default from the sources of this process.

    `-P` keeps the current folder off the module path: the farm must not import a `zmq.py` beside a notebook.
    """
    return module_command(f"taskfc_ext.{role}.app", *args, python=python)


def module_command(module: str, *args: object, python: str = sys.executable) -> list[str]:
    """Return the command that runs `main` of one of our modules; see `python_command`."""
    start = f"from {module} import main; main()"
    if python != sys.executable:  # another environment, which has this package installed
        return [python, "-P", "-c", start, *map(str, args)]
    # only if the package is not installed: site-packages at the front would shadow the standard library
    code = f"import sys; p = {SOURCES!r}; p in sys.path or sys.path.insert(0, p); {start}"
    return [python, "-P", "-c", code, *map(str, args)]


def environment_outside_farms(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return `environ` without the variables of a farm, for a process that is not part of this process's farm.

    A farm that a task starts has to outlive the worker of the task.
    """
    return {name: value for name, value in environ.items() if name not in (FARM, FARM_PID, FARM_WORKER)}


def worker_here(tag: str, environ: Mapping[str, str] = os.environ) -> int:
    """Return the id of the worker of farm `tag` that this process is or was started by; -1: none."""
    worker = environ.get(FARM_WORKER, "")
    return int(worker) if environ.get(FARM) == tag and worker.isdecimal() and len(worker) < 16 else -1


def die_with_parent(parent: int) -> None:
    """Kill this process when `parent` ends, or has ended already. Call this first, in the main thread.

    Linux only; on other systems the worker notices the end of a pipe.
    """
    if sys.platform == "linux":
        import ctypes  # slow, and only workers need it

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call above
        os.kill(os.getpid(), signal.SIGKILL)


# identifying


_EXITING = 0x4
"""`PF_EXITING` of Linux's `include/linux/sched.h`, in the flags of a process."""


def process_started(pid: int) -> int | None:
    """Return the start time of a process, in a unit of the system; `None` if it does not exist, exits or is a zombie.

    Together with the boot id, it distinguishes the process from a later one with the same pid.
    """
    if sys.platform != "linux":
        return _started_by_ps(pid)
    try:
        fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # one that exits still holds its locks for a moment, and answers nothing any more
    has_ended = fields[STATE] in (b"Z", b"X") or int(fields[FLAGS]) & _EXITING
    return None if has_ended else int(fields[STARTED])


def _started_by_ps(pid: int) -> int | None:
    import subprocess  # slow, and not needed on Linux

    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    output = subprocess.run(
        command, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"}
    ).stdout
    state, _, started = output.strip().partition(" ")
    if not started or state.startswith("Z"):
        return None
    return int(time.mktime(time.strptime(" ".join(started.split()), "%a %b %d %H:%M:%S %Y")))


def process_alive(pid: int, started: int | None) -> bool:
    """Return whether the process with this pid and this start time (`None`: unknown) still runs."""
    now = process_started(pid)
    return now is not None and started in (None, now)


# killing


def tagged_processes(tag: str, worker: int | None = None) -> list[int]:
    """Return the pids of processes whose environment names the farm `tag`, or one `worker` of it, except this process.

    So it finds processes that left their process group, and those that a killed farm left behind. Linux only; on other
    systems it finds nothing.
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
    except OSError:  # it belongs to another user, or has ended
        return False
    if f"\0{FARM}={tag}\0".encode() not in environ:
        return False
    return worker is None or f"\0{FARM_WORKER}={worker}\0".encode() in environ


def kill_tagged(tag: str, worker: int | None = None) -> list[int]:
    """Kill the `tagged_processes` and return them."""
    found = tagged_processes(tag, worker)
    for pid in found:
        with suppress(OSError):
            kill_checked(pid, partial(_is_tagged, pid, tag, worker))
    return found


def sweep(tag: str, *, timeout: float = 2.0) -> list[int]:
    """Kill all `tagged_processes` until there are none; return those that are left after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (found := kill_tagged(tag)) and time.monotonic() < deadline:
        time.sleep(0.005)  # they need not be children of this process, so their end sends no signal
    return found
