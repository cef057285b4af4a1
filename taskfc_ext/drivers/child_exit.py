"""The end of a child process, detected before its pid can be reused and described in words; and its suspension."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

NOTE_SIZE = 4096
"""Bytes of a log that go into a note: a traceback or two."""

_MAX_READ = 64 * 1024
_FATAL = b"Fatal Python error"  # faulthandler begins with this; the cause of death follows


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the child has ended. It stays a zombie, so its pid and process group are not reused."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # already reaped
        return True


def is_suspended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a signal has suspended the child since the last call, and nobody has resumed it; not a debugger's.

    Detected by `waitid` only, so never on macOS before Python 3.13.
    """
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG) is not None
    except ChildProcessError:  # already reaped
        return False


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the process group that a child leads, before the child is reaped."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # the group is empty; macOS raises the latter for a group of zombies
        pass


def describe_exit(returncode: int) -> str:
    """Return the return code of a `Popen` in words."""
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # a real-time signal has no name
        name = "a signal"
    return f"killed by {name} (signal {-returncode})"


def log_tail(path: Path, start: int = 0) -> str:
    """Return the last whole lines of a log from byte `start` on, at most `NOTE_SIZE` bytes.

    If Python died of a fatal error, return the beginning of that message, since a dump of many threads can be longer.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _MAX_READ))
            text = file.read(_MAX_READ)
    except OSError:
        return ""
    fatal = text.rfind(_FATAL)
    if fatal >= 0 and len(text) - fatal > NOTE_SIZE:
        text = text[fatal : fatal + NOTE_SIZE]
    elif len(text) > NOTE_SIZE:
        text = text[-NOTE_SIZE:]
        text = text[text.find(b"\n") + 1 :]
    return text.decode(errors="replace").strip()
