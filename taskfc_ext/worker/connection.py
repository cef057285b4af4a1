"""The connections that the main thread waits on: the controller's socket and the life pipe."""

from __future__ import annotations

import os
from pathlib import Path

import zmq

from taskfc_ext.drivers.transport import Dealer
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.worker_messages import ToWorker

_POLLIN = int(zmq.POLLIN)


class WorkerDealer(Dealer[ToWorker]):
    """Connection to the controller; a wait on it also ends when the life pipe has data.

    Args:
        path: the controller's socket.
        life_fd: the life pipe.
    """

    def __init__(self, path: Path, life_fd: int) -> None:
        super().__init__(path, codec.to_worker)
        self._poller = zmq.Poller()
        self._poller.register(self.socket, _POLLIN)
        self._poller.register(life_fd, _POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Return when either has data, or after `timeout_ms`."""
        self._poller.poll(timeout_ms)


class LifePipe:
    """The pipe from the supervisor: a byte orders a reconnect; its end means that the farm is gone.

    Args:
        fd: the read end.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)

    def check(self) -> None:
        """Raise an `OSError` if a task closed the pipe; it has then probably closed our sockets too."""
        os.get_blocking(self.fd)

    def wants_reconnect(self) -> bool:
        """Return whether a reconnect was ordered since the last call. Ends the process if the supervisor is gone."""
        try:
            orders = os.read(self.fd, 64)
        except BlockingIOError:
            return False
        if not orders:
            os._exit(0)
        return True
