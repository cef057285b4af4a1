"""Ledger of executions, kept apart from the farm: each process appends a line of its own for each execution.

Workers load this module for each task, so it imports little.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path


def append(path: str, line: str) -> None:
    """Append a line to a file by one write: it is there whole, or not at all, if this process is killed."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def note_run(folder: str, key: str) -> str:
    """Note that this process executes the task `key`; return a name that no other execution has."""
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    append(f"{folder}/{os.getpid()}", f"{key} {run}")
    return run


def run_noted(folder: str, key: str, seconds: float) -> tuple[str, str]:
    """Note this execution, take some time, and return the key with the name of the execution."""
    run = note_run(folder, key)
    time.sleep(seconds)
    return key, run


def stay_noted(file: str) -> None:
    """Write the pid of this process to a file, and never end."""
    append(file, str(os.getpid()))
    while True:
        time.sleep(1)


def run_until(log: str, gate: str) -> str:
    """Note this execution, and end as soon as the file `gate` is there."""
    append(log, str(os.getpid()))
    while not os.path.exists(gate):
        time.sleep(0.005)
    return gate


def read_runs(folder: str | Path) -> dict[str, list[str]]:
    """Return the names of the executions of each task that has any."""
    runs: dict[str, list[str]] = {}
    for key, run in read_lines(*Path(folder).iterdir()):
        runs.setdefault(key, []).append(run)
    return runs


def read_lines(*files: Path) -> Iterator[list[str]]:
    """Return the words of each line of files, in the order of the lines."""
    for file in files:
        for line in file.read_text().splitlines():
            yield line.split(" ")
