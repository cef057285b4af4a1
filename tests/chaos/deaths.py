"""Eight ways in which a task takes its worker along at its first execution, and succeeds at the next.

Workers load this module, so it imports little.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.ledger import note_run

OOM_LIMIT = 64 * 2**20
"""Bytes of the group in which a task uses too much memory."""


def by_kill(group: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def by_segfault(group: str) -> None:
    ctypes.string_at(0)


def by_exit(group: str) -> None:
    os._exit(3)


def by_abort(group: str) -> None:
    os.abort()


def by_exit_in_a_thread(group: str) -> None:
    """End a thread as if it were the process, which harms nobody."""
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()


def by_recursion(group: str) -> None:
    """Recurse in C until the stack ends; recursion in Python would take all memory instead."""
    sys.setrecursionlimit(10**9)

    def recur(_: object) -> int:
        return sorted([1, 2], key=recur)[0]

    recur(None)


def by_memory(group: str) -> None:
    """Use more memory than a control group has; without one, as its killer does it."""
    if not group:
        os.kill(os.getpid(), signal.SIGKILL)
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    blocks = []
    while True:
        blocks.append(b"x" * 2**20)


def by_closing_everything(group: str) -> None:
    os.closerange(3, 4096)


WAYS = (
    by_kill,
    by_segfault,
    by_exit,
    by_abort,
    by_exit_in_a_thread,
    by_recursion,
    by_memory,
    by_closing_everything,
)

HARMLESS = WAYS.index(by_exit_in_a_thread)
"""The way after which the worker lives on."""

BREAKS = WAYS.index(by_closing_everything)
"""The way after which the worker may begin another task before it dies, in vain."""


def die_once(folder: str, key: str, way: int, group: str) -> tuple[str, str]:
    """Note this execution, and take the worker along if it is the first one; else return as `run_noted` does."""
    run = note_run(folder, key)
    try:
        os.close(os.open(f"{folder}.died/{key}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
    except FileExistsError:
        return key, run
    WAYS[way](group)
    return key, run


@contextmanager
def memory_group(name: str) -> Iterator[str]:
    """Yield the folder of a new control group with little memory; empty where none can be made."""
    group, limit = Path("/sys/fs/cgroup/memory", name), "memory.limit_in_bytes"
    if not group.parent.is_dir():
        group, limit = Path("/sys/fs/cgroup", name), "memory.max"
    try:
        group.mkdir()
        group.joinpath(limit).write_text(str(OOM_LIMIT))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        yield ""
        return
    try:
        yield str(group)
    finally:
        group.rmdir()
