"""What becomes of open clients when the interpreter ends, and in the child of a fork."""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import sys
import time
import weakref
from typing import Protocol

from taskfc_ext.errors import TaskFCError

FLUSH_AT_EXIT = 10.0
"""Seconds, for all clients together."""


class Closable(Protocol):
    """A connection that was not closed yet."""

    @property
    def n_unaccepted(self) -> int: ...

    def flush(self) -> concurrent.futures.Future[None]: ...

    def close(self) -> None: ...

    def disown(self) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def opened(connection: Closable) -> None:
    """Look after `connection` from now on."""
    _open.add(connection)


def closed(connection: Closable) -> None:
    """It needs no looking after any more."""
    _open.discard(connection)


def flush_at_exit() -> None:
    """Wait for what was submitted to be accepted, say on stderr what is lost, and close all clients."""
    deadline = time.monotonic() + FLUSH_AT_EXIT
    for connection in list(_open):
        if connection.n_unaccepted:
            try:
                connection.flush().result(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, KeyboardInterrupt, TaskFCError):
                n = connection.n_unaccepted
                print(f"taskfc: {n} tasks were not accepted and may be lost", file=sys.stderr)  # noqa: T201
        connection.close()


def _disown_all() -> None:
    for connection in list(_open):
        connection.disown()
    _open.clear()


atexit.register(flush_at_exit)
os.register_at_fork(after_in_child=_disown_all)
