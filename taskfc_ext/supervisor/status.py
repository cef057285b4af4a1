"""The status pipe: one line that tells whoever started the supervisor how it went."""

from __future__ import annotations

import os

import msgspec


class Status:
    """Says one thing, once.

    Args:
        fd: the pipe's write end, owned from now on.
    """

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def ready(self, pid: int) -> None:
        """The controller, which has this pid, answers."""
        self._say({"ready": pid})

    def running(self) -> None:
        """Another supervisor holds the farm."""
        self._say({"running": True})

    def stopped(self) -> None:
        """The farm was stopped since this start was asked for."""
        self._say({"stopped": True})

    def error(self, message: str, hint: str = "") -> None:
        """The farm cannot be started."""
        self._say({"error": message, "hint": hint})

    def _say(self, line: dict[str, object]) -> None:
        if self._fd is None:
            return
        try:
            os.write(self._fd, msgspec.json.encode(line) + b"\n")
        except OSError:  # nobody listens any more: the farm does not depend on who started it
            pass
        os.close(self._fd)
        self._fd = None
