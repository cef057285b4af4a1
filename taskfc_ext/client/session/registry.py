"""Registry of the open clients of this process: flushed and closed at its exit, disowned in the child of a fork."""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import sys
import time
import weakref
from contextlib import suppress
from typing import Protocol

from taskfc_ext.drivers.uploads import remove_left
from taskfc_ext.errors import TaskFCError

FLUSH_AT_EXIT = 10.0
"""Seconds, for all clients together."""


class Closable(Protocol):
    """A client session that is open."""

    @property
    def farm_name(self) -> str: ...

    @property
    def n_unaccepted(self) -> int: ...

    def flush(self) -> concurrent.futures.Future[None]: ...

    def close(self) -> None: ...

    def disown(self) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def register(connection: Closable) -> None:
    """Let `connection` be flushed and closed at the exit of this process."""
    _open.add(connection)


def unregister(connection: Closable) -> None:
    """Forget `connection`, which is closed."""
    _open.discard(connection)


def flush_all(farm: str) -> None:
    """Wait until all earlier submissions to `farm`, by any client of this process, have been accepted or refused.

    The futures raise the errors.
    """
    flushes: list[concurrent.futures.Future[None]] = []
    for connection in list(_open):
        if connection.farm_name == farm:
            with suppress(TaskFCError):  # another thread may close it now
                flushes.append(connection.flush())
    for flush in flushes:
        with suppress(TaskFCError):
            flush.result()


def flush_at_exit() -> None:
    """Flush and close all clients; report lost tasks on stderr. Remove the files in which something was sent."""
    deadline = time.monotonic() + FLUSH_AT_EXIT
    for connection in list(_open):
        if connection.n_unaccepted:
            try:
                connection.flush().result(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, KeyboardInterrupt, TaskFCError):
                n = connection.n_unaccepted
                print(f"taskfc: {n} tasks were not accepted and may be lost", file=sys.stderr)  # noqa: T201
        connection.close()
    remove_left()


def _disown_all() -> None:
    for connection in list(_open):
        connection.disown()
    _open.clear()


atexit.register(flush_at_exit)
os.register_at_fork(after_in_child=_disown_all)
