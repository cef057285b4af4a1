"""The open clients of this process: what they have on its way, and what becomes of them at its end and in a fork."""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import sys
import time
import weakref
from contextlib import suppress
from typing import Protocol

from taskfc_ext.errors import TaskFCError

FLUSH_AT_EXIT = 10.0
"""Seconds, for all clients together."""


class Closable(Protocol):
    """A connection that was not closed yet."""

    @property
    def farm_name(self) -> str: ...

    @property
    def n_unaccepted(self) -> int: ...

    def flush(self) -> concurrent.futures.Future[None]: ...

    def close(self) -> None: ...

    def disown(self) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def register(connection: Closable) -> None:
    """Look after `connection` from now on."""
    _open.add(connection)


def unregister(connection: Closable) -> None:
    """It needs no looking after any more."""
    _open.discard(connection)


def flush_all(farm: str) -> None:
    """Wait until all has been accepted, or refused, that any client has submitted to `farm` before.

    Whatever goes wrong is told by the futures.
    """
    flushes: list[concurrent.futures.Future[None]] = []
    for connection in list(_open):
        if connection.farm_name == farm:
            with suppress(TaskFCError):  # another thread may close it just now
                flushes.append(connection.flush())
    for flush in flushes:
        with suppress(TaskFCError):
            flush.result()


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
