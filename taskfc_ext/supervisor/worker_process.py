"""One worker process: runs in a session of its own, is watched through its page, and ends with its descendants."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from taskfc_ext.drivers.files import remove_if_empty
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.processes import Page, WatchedPage, remove_page
from taskfc_ext.drivers.signals import unblock_signals
from taskfc_ext.protocol.supervisor_messages import Step, WorkerDown, WorkerUp
from taskfc_ext.supervisor.child_exit import describe_exit, has_ended, log_tail, signal_group
from taskfc_ext.supervisor.memory_watch import CHECK_EVERY, MemoryWatch

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

RECONNECT = b"r"
"""Sent on the life pipe when there is a new controller: open a new connection."""


class WorkerProcess:
    """A worker process that was started and is not reaped.

    Args:
        worker: its id.
        command: its command; the descriptors of page and life pipe are appended.
        environ: its environment.
        folder: its current folder.

    Raises:
        OSError: the process could not be started; no file of it is left.
    """

    def __init__(
        self, paths: FarmPaths, worker: int, command: Sequence[str], environ: Mapping[str, str], folder: str
    ) -> None:
        self.worker = worker
        self.page_path = paths.page(worker)
        self.log_path = paths.worker_log(worker)
        self.ending = False  # whether the farm ends it on purpose
        self.kill_at: float | None = None
        self.memory: MemoryWatch | None = None
        self._stopped = False  # whether a step was taken that ends the process
        self._over_memory = 0
        with ExitStack() as undo, ExitStack() as childs:
            page_fd = Page.create(self.page_path)
            undo.callback(remove_page, self.page_path)
            childs.callback(os.close, page_fd)
            self.page = WatchedPage(page_fd)
            undo.callback(self.page.close)
            life, self._life = os.pipe()
            childs.callback(os.close, life)
            undo.callback(os.close, self._life)
            os.set_blocking(self._life, False)
            log_fd = os.open(
                self.log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            childs.callback(os.close, log_fd)
            self.process = subprocess.Popen(
                [*command, str(page_fd), str(life)],
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                cwd=folder,
                env=environ,
                preexec_fn=unblock_signals,  # safe: this process has one thread
                pass_fds=(page_fd, life),
                start_new_session=True,
            )
            undo.pop_all()
        self.started_at = time.monotonic()

    @property
    def up(self) -> WorkerUp:
        """The report of its start, for the controller."""
        return WorkerUp(self.worker, self.process.pid)

    def has_ended(self) -> bool:
        """Return whether the process has ended and has to be reaped."""
        return has_ended(self.process)

    def ask_to_reconnect(self) -> None:
        """Ask the worker to connect to a new controller."""
        try:
            os.write(self._life, RECONNECT)
        except OSError:  # the worker has ended, or has 64 KiB of these requests to read, of which one is enough
            pass

    def end(self, now: float) -> None:
        """Ask the worker to end; it is killed after `GRACE` seconds."""
        if self.ending:
            return
        self.ending = True
        self.kill_at = now + GRACE
        os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its process group."""
        self.kill_at = None
        signal_group(self.process.pid, signal.SIGKILL)

    def stop_attempt(self, lease: int, step: Step) -> None:
        """Take one step to stop the attempt under `lease`, without effect on other attempts."""
        if step is Step.INTERRUPT:
            # also before the attempt starts: the worker reads it at the start
            self.page.interrupt(lease)
        if not self.page.is_running(lease):
            return
        match step:
            case Step.INTERRUPT:
                os.kill(self.process.pid, signal.SIGINT)
            case Step.TERMINATE:
                self._stopped = True
                os.kill(self.process.pid, signal.SIGTERM)
            case Step.KILL:
                self._stopped = True
                self.kill()

    def check_memory(self, now: float) -> None:
        """End the worker if its attempt uses more memory than it may; it is killed after `GRACE` seconds."""
        watch = self.memory
        if watch is None or watch.check_at > now:
            return
        if self.kill_at is not None or self.page.has_ended(watch.lease):
            self.memory = None
        elif not self.page.is_running(watch.lease):
            watch.check_at = now + CHECK_EVERY
        elif (used := watch.excess(now)) and self.page.is_running(watch.lease):
            self.memory = None
            self._stopped = True
            self._over_memory = used
            self.kill_at = now + GRACE
            os.kill(self.process.pid, signal.SIGTERM)

    def reap(self) -> WorkerDown:
        """Reap the process, kill its process group, remove its files, and return the report for the controller.

        The log is removed if the farm ended the worker and the log is empty.
        """
        # while it is a zombie, its process group is not reused
        signal_group(self.process.pid, signal.SIGKILL)
        returncode = self.process.wait()
        by_us = self.ending or (self._stopped and returncode in (-signal.SIGTERM, -signal.SIGKILL))
        down = WorkerDown(
            worker=self.worker,
            pid=self.process.pid,
            started=self.page.started,
            running=self.page.running,
            note=_note(returncode, by_us, self.log_path),
            planned=by_us,
            over_memory=self._over_memory if by_us else 0,
        )
        os.close(self._life)
        self.page.close()
        remove_page(self.page_path)
        if by_us:
            remove_if_empty(self.log_path)
        return down


def _note(returncode: int, by_us: bool, log: Path) -> str:
    how = describe_exit(returncode)
    if by_us:
        how = f"ended by the farm: {how}"
    elif returncode == -signal.SIGKILL:
        how += ", which the farm did not send: the system may have run out of memory"
    tail = log_tail(log)
    return f"{how}\n{tail}" if tail else how
