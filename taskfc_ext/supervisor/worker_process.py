"""One worker process: started in a session of its own, watched through its page, ended with all that it started."""

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
from taskfc_ext.supervisor.endings import describe_exit, has_ended, log_tail, signal_group

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

RECONNECT = b"r"
"""On the life pipe: a new controller; open a new connection."""


class WorkerProcess:
    """A worker that was started and has not been buried.

    Args:
        worker: its id.
        command: what to run, without the two descriptors that are appended: page, life pipe.
        environ: its environment.
        folder: where it runs.

    Raises:
        OSError: the process could not be started; nothing is left of it.
    """

    def __init__(
        self, paths: FarmPaths, worker: int, command: Sequence[str], environ: Mapping[str, str], folder: str
    ) -> None:
        self.worker = worker
        self.page_path = paths.page(worker)
        self.log_path = paths.worker_log(worker)
        self.ending = False  # we end it on purpose
        self.kill_at: float | None = None
        self._stopped = False  # a step of StopAttempt that a process does not survive
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
        """What to tell the controller of it."""
        return WorkerUp(self.worker, self.process.pid)

    def has_ended(self) -> bool:
        """Whether it is to be buried."""
        return has_ended(self.process)

    def ask_to_reconnect(self) -> None:
        """Tell it that there is a new controller."""
        try:
            os.write(self._life, RECONNECT)
        except OSError:  # it has ended; or it has 64 KiB of such orders to read, and one is as good as all
            pass

    def end(self, now: float) -> None:
        """Ask it to end, and have it killed if it does not."""
        if self.ending:
            return
        self.ending = True
        self.kill_at = now + GRACE
        os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and its process group."""
        self.kill_at = None
        signal_group(self.process.pid, signal.SIGKILL)

    def stop_attempt(self, lease: int, step: Step) -> None:
        """Take one step towards the end of the attempt under `lease`; no other attempt is hit."""
        if step is Step.INTERRUPT:
            # written also before it starts: the worker looks at it then
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

    def reap(self) -> WorkerDown:
        """Reap it, end what it has started, remove its files, and return what the controller has to know.

        An empty log is removed too, when there is no question how the worker ended.
        """
        # while it is a zombie nobody else can have its process group
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
