"""A worker's process as its parent sees it: the supervisor at home, the host of a slot on an engine.

The parent watches it through its page, stops an attempt in steps, and says exactly which attempt it died in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from taskfc_ext.drivers.child_exit import describe_exit, has_ended, is_suspended, log_tail, signal_group
from taskfc_ext.drivers.memory_watch import CHECK_EVERY, MemoryWatch
from taskfc_ext.drivers.processes import WatchedPage
from taskfc_ext.protocol.supervisor_messages import Step

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

RECONNECT = b"r"
"""Sent on the life pipe when there is a new controller: open a new connection."""


class End(NamedTuple):
    """The end of a worker's process; see `WorkerDown`.

    Attributes:
        started: the last lease that it started.
        running: that attempt had not ended.
        note: how the process ended, with the last lines of its stderr.
        planned: its parent ended it.
        over_memory: bytes that the attempt used, which was ended for it; 0: it was not.
    """

    started: int
    running: bool
    note: str
    planned: bool
    over_memory: int = 0


class _Stopped(NamedTuple):
    """The last step to stop an attempt that ends the process: of which lease, when, and for which use of memory."""

    lease: int
    at: float
    over_memory: int = 0

    def explains(self, started: int) -> bool:
        """Return whether it has ended a process that had last started this lease.

        A process with a handler of SIGTERM may go on, and die of a later attempt.
        """
        return started == self.lease or time.monotonic() - self.at < GRACE


class WorkerChild:
    """A worker's process that was started and is not reaped.

    Args:
        command: its command; the descriptors of page, life pipe and `inherited` are appended.
        page_fd: the page's file.
        log_fd: gets its stdout and stderr. Both descriptors may be closed afterwards.
        environ: its environment.
        folder: its current folder.
        umask: its umask; -1: that of this process.
        inherited: further descriptors that it inherits.
        before: runs in the child before the command; only for a parent with one thread.

    Attributes:
        is_ending: whether its parent ends it on purpose.
        kill_at: monotonic time at which it is to be killed.
        started_at: monotonic time of its start.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        page_fd: int,
        log_fd: int,
        environ: Mapping[str, str],
        folder: str,
        umask: int = -1,
        inherited: Sequence[int] = (),
        before: Callable[[], None] | None = None,
    ) -> None:
        self.is_ending = False
        self.kill_at: float | None = None
        self._stopped: _Stopped | None = None
        self._memory: MemoryWatch | None = None
        with ExitStack() as undo, ExitStack() as childs:
            self.page = WatchedPage(page_fd)
            undo.callback(self.page.close)
            life, self._life = os.pipe()
            childs.callback(os.close, life)
            undo.callback(os.close, self._life)
            os.set_blocking(self._life, False)
            self.process = subprocess.Popen(
                [*command, *map(str, (page_fd, life, *inherited))],
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                cwd=folder,
                umask=umask,
                env=environ,
                preexec_fn=before,
                pass_fds=(page_fd, life, *inherited),
                start_new_session=True,
            )
            undo.pop_all()
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Return whether the process has ended and has to be reaped."""
        return has_ended(self.process)

    def ask_to_reconnect(self) -> None:
        """Ask the worker to connect to a new controller."""
        try:
            os.write(self._life, RECONNECT)
        except OSError:  # the worker has ended, or has 64 KiB of these requests to read, of which one is enough
            pass

    def resume_if_stopped(self) -> bool:
        """Resume the process if a signal has suspended it and it runs no attempt; return whether it was so."""
        # in this order: a suspended process starts nothing, but one that was idle may have begun an attempt since
        if not is_suspended(self.process) or self.page.running:
            return False
        os.kill(self.pid, signal.SIGCONT)
        return True

    def end(self, now: float) -> None:
        """Ask the worker to end; it is to be killed after `GRACE` seconds."""
        if self.is_ending:
            return
        self.is_ending = True
        self.kill_at = now + GRACE
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its process group."""
        self.kill_at = None
        signal_group(self.pid, signal.SIGKILL)

    def stop_attempt(self, lease: int, step: Step) -> None:
        """Take one step to stop the attempt under `lease`, without effect on other attempts."""
        if step is Step.INTERRUPT:
            # also before the attempt starts: the worker reads it at the start
            self.page.interrupt(lease)
        if not self.page.is_running(lease):
            return
        match step:
            case Step.INTERRUPT:
                os.kill(self.pid, signal.SIGINT)
            case Step.TERMINATE:
                self._stopped = _Stopped(lease, time.monotonic())
                os.kill(self.pid, signal.SIGTERM)
            case Step.KILL:
                self._stopped = _Stopped(lease, time.monotonic())
                self.kill()

    def limit_memory(self, lease: int, limit: int) -> None:
        """Kill the process if the attempt under `lease` uses more than `limit` bytes on top of what it has now."""
        self._memory = MemoryWatch(self.pid, lease, limit)

    def act_on_time(self, now: float) -> None:
        """Kill the process if it did not end in time, or if its attempt uses more memory than it may."""
        if self.kill_at is not None and self.kill_at <= now:
            self.kill()
        if self._memory is not None and self._memory.check_at <= now:
            self._check_memory(self._memory, now)

    def wake_at(self) -> float | None:
        """Return the monotonic time of the next call of `act_on_time`."""
        times = (self.kill_at, self._memory.check_at if self._memory is not None else None)
        return min((at for at in times if at is not None), default=None)

    def _check_memory(self, watch: MemoryWatch, now: float) -> None:
        if self.kill_at is not None or self.page.has_ended(watch.lease):
            self._memory = None
        elif not self.page.is_running(watch.lease):
            watch.check_at = now + CHECK_EVERY
        elif (used := watch.excess(now)) and self.page.is_running(watch.lease):
            # at once: a handler of SIGTERM would go on, and the memory is short
            self._memory = None
            self._stopped = _Stopped(watch.lease, time.monotonic(), used)
            self.kill()

    def reap(self, log: Path) -> End:
        """Reap the process, kill its process group, and return its end.

        Args:
            log: the path of its log.
        """
        # while it is a zombie, its process group is not reused
        signal_group(self.pid, signal.SIGKILL)
        returncode = self.process.wait()
        stopped, started = self._stopped, self.page.started
        if stopped is None or returncode not in (-signal.SIGTERM, -signal.SIGKILL) or not stopped.explains(started):
            stopped = None
        planned = self.is_ending or stopped is not None
        over_memory = stopped.over_memory if stopped is not None and stopped.lease == started else 0
        end = End(started, self.page.running, _note(returncode, planned, log), planned, over_memory)
        os.close(self._life)
        self.page.close()
        return end


def _note(returncode: int, planned: bool, log: Path) -> str:
    how = describe_exit(returncode)
    if planned:
        how = f"ended by the farm: {how}"
    elif returncode == -signal.SIGKILL:
        how += ", which the farm did not send: the system may have run out of memory"
    tail = log_tail(log)
    return f"{how}\n{tail}" if tail else how
