"""Helpers of tests with real processes: a deadline, a wait with one, and the place of a Jupyter server listens."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_core.paths import jupyter_runtime_dir
from traitlets.config import Config

from taskfc_ext.drivers.processes import process_alive

if TYPE_CHECKING:
    from nbformat import NotebookNode

DEADLINE = 60.0
"""Seconds: a bound on hangs, far above what anything takes on a loaded machine."""


def until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> Any:
    """Return what `condition` returns as soon as that is true."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    pytest.fail(f"{what}: not within {deadline:g} s")


def await_workers(client: Any, n: int) -> None:
    """Return when there are `n` workers: on an engine they come with the tasks that they could run."""
    until(lambda: len(client.workers()) == n or client.map(time.sleep, [0.05] * 2 * n) is None, f"{n} workers")


def kill_and_wait(pid: int) -> None:
    """Kill a process, and return when it is dead: until then it may still do what its death is to prevent."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not process_alive(pid, None), "it is dead")


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def kernels_without_ports(folder: str | Path | None = None) -> Config:
    """Return settings of a kernel manager by which its kernel listens on files, not on TCP ports.

    Jupyter finds ports that are free, and lets go of them before the kernel takes them: another test may be faster. The
    kernel then ends, or a page waits for it for ever.

    Args:
        folder: for the files; a short path. Else Jupyter's own.
    """
    place = Path(folder or jupyter_runtime_dir(), f"k{secrets.token_hex(4)}")
    return Config({"KernelManager": {"transport": "ipc", "ip": str(place)}})


def run_notebook(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells of a notebook in a kernel in `folder`; their outputs are in the notebook then."""
    from nbclient import NotebookClient  # two seconds, and each worker that loads a test's function imports this module

    settings = kernels_without_ports()
    NotebookClient(notebook, timeout=DEADLINE, kernel_name="python3", config=settings).execute(cwd=str(folder))


def jupyter_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that a Jupyter server has found for itself, once it listens there; end one that never does.

    Args:
        process: the server, started with port 0.
        log: what it writes, shown when it ends instead.
    """
    info = Path(jupyter_runtime_dir(), f"jpserver-{process.pid}.json")

    def port() -> int | None:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            port = int(json.loads(info.read_text())["port"])
        except (FileNotFoundError, ValueError):
            return None  # it is not there, or half written
        with socket.socket() as probe:  # it tells of its port before it listens there
            return None if probe.connect_ex(("127.0.0.1", port)) else port

    try:
        # several servers, kernels and browsers may start at once
        return int(until(port, "the Jupyter server says where it listens", 3 * DEADLINE))
    except BaseException:
        process.kill()
        process.wait()
        raise
