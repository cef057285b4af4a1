"""What tests with real processes need: a deadline, a wait with one, and a port that is free."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from taskfc_ext.drivers.processes import process_alive

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


def kill_and_wait(pid: int) -> None:
    """Kill a process, and return when it is dead: until then it may still do what its death is to prevent."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not process_alive(pid, None), "it is dead")


def free_port() -> int:
    """Return a port of this host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
