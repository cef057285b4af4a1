"""The status pipe: one line that tells the starting process how the start went."""

from __future__ import annotations

import os

from taskfc_ext.protocol.launch import LaunchStatus, encode_status


class StatusPipe:
    """The write end of the status pipe, for one status: later ones are dropped.

    Args:
        fd: the descriptor, owned from now on.
    """

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def send(self, status: LaunchStatus) -> None:
        """Send `status`, and close the pipe."""
        if self._fd is None:
            return
        try:
            os.write(self._fd, encode_status(status))
        except OSError:  # nobody reads any more: the farm does not depend on the process that started it
            pass
        os.close(self._fd)
        self._fd = None
