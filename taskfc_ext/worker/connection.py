"""What the main thread waits for: messages, and orders on the life pipe."""

from __future__ import annotations

import os
from pathlib import Path

import zmq

from taskfc_ext.drivers.transport import Dealer
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.worker_messages import ToWorker

_POLLIN = int(zmq.POLLIN)


class WorkerDealer(Dealer[ToWorker]):
    """A connection to the controller that can be waited on.

    Args:
        path: the controller's socket.
        life_fd: what else ends a wait.
    """

    def __init__(self, path: Path, life_fd: int) -> None:
        super().__init__(path, codec.to_worker)
        self._poller = zmq.Poller()
        self._poller.register(self.socket, _POLLIN)
        self._poller.register(life_fd, _POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Return when there is something to read, or after `timeout_ms`."""
        self._poller.poll(timeout_ms)


class LifePipe:
    """The pipe from the supervisor: a byte says "reconnect", its end says that the farm is gone.

    Args:
        fd: the end to read from.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)

    def check(self) -> None:
        """Raise an `OSError` if the pipe was closed: by a task that closes what is not its own, our sockets too."""
        os.get_blocking(self.fd)

    def wants_reconnect(self) -> bool:
        """Whether a reconnect was ordered since the last call. Ends the process if nobody is left to order one."""
        try:
            orders = os.read(self.fd, 64)
        except BlockingIOError:
            return False
        if not orders:
            os._exit(0)
        return True
