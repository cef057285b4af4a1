"""A worker process at home: a `WorkerChild` with its files, of which others find what a killed supervisor leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from taskfc_ext.drivers.files import open_private, remove_if_empty
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.process_limits import restore_file_limit
from taskfc_ext.drivers.processes import Page, remove_page
from taskfc_ext.drivers.signals import unblock_signals
from taskfc_ext.drivers.worker_child import WorkerChild
from taskfc_ext.protocol.supervisor_messages import Revoked, WorkerDown, WorkerUp


def _prepare_child() -> None:
    restore_file_limit()
    unblock_signals()


class WorkerProcess(WorkerChild):
    """A worker process that was started and is not reaped.

    Args:
        worker: its id.
        command: its command; the descriptors of page and life pipe are appended.
        environ: its environment.
        folder: its current folder.
        umask: its umask; -1: that of this process.

    Raises:
        OSError: the process could not be started; no file of it is left.
    """

    def __init__(
        self,
        paths: FarmPaths,
        worker: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        folder: str,
        *,
        umask: int = -1,
    ) -> None:
        self.worker = worker
        self.page_path = paths.page(worker)
        self.log_path = paths.worker_log(worker)
        with ExitStack() as undo, ExitStack() as childs:
            page_fd = Page.create(self.page_path)
            undo.callback(remove_page, self.page_path)
            childs.callback(os.close, page_fd)
            log_fd = open_private(self.log_path, os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
            childs.callback(os.close, log_fd)
            super().__init__(
                command,
                page_fd=page_fd,
                log_fd=log_fd,
                environ=environ,
                folder=folder,
                umask=umask,
                before=_prepare_child,  # safe: this process has one thread
            )
            undo.pop_all()

    @property
    def up(self) -> WorkerUp:
        """The report of its start, for the controller."""
        return WorkerUp(self.worker, self.pid)

    def revoke(self, until: int) -> Revoked | None:
        """Let no lease up to `until` start any more; return the answer, or `None` if the page is destroyed."""
        started = self.page.revoke(until)
        if started is None:
            return None
        leases, seconds, values = tuple(zip(*self.page.results(), strict=True)) or ((), (), ())
        return Revoked(self.worker, until, started, leases, values, seconds)

    def bury(self) -> WorkerDown:
        """Reap the process, remove its files, and return the report for the controller.

        The log is removed if the farm ended the worker and the log is empty.
        """
        end = self.reap(self.log_path)
        remove_page(self.page_path)
        if end.planned:
            remove_if_empty(self.log_path)
        return WorkerDown(
            worker=self.worker,
            pid=self.pid,
            started=end.started,
            running=end.running,
            note=end.note,
            planned=end.planned,
            over_memory=end.over_memory,
        )
