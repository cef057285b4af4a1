"""Connections of the workers' socket: the worker of each, and the ones that send what no worker sends."""

from __future__ import annotations

from taskfc_ext.protocol.ids import WorkerId

MAX_JUNK_SENDERS = 1024
"""Connections that are remembered as senders of junk; the oldest one is forgotten, and may send some again."""


class WorkerConnections:
    """The connections of the workers, by routing id. Pure: no socket.

    A worker has one connection at a time: it makes another one when it connects again.
    """

    def __init__(self) -> None:
        self._worker_of: dict[bytes, WorkerId] = {}
        self._identity_of: dict[WorkerId, bytes] = {}
        self._number_of: dict[WorkerId, int] = {}
        self._junk_senders: dict[bytes, None] = {}

    def worker_of(self, identity: bytes) -> WorkerId | None:
        """Return the worker of a connection; `None` if no worker has said that it is there."""
        return self._worker_of.get(identity)

    def identity_of(self, worker: WorkerId) -> bytes | None:
        """Return the connection of a worker; `None` if it has none now."""
        return self._identity_of.get(worker)

    def is_late(self, worker: WorkerId, number: int) -> bool:
        """Return whether a connection with this number is older than the one that the worker has, or had last.

        A worker that was told of a new controller connects to it, while its former connection may have done so by
        itself: the first message of that one may be the later one.
        """
        return number < self._number_of.get(worker, 0)

    def connect(self, identity: bytes, worker: WorkerId, number: int = 0) -> None:
        """Note that a worker has this connection from now on, and its former one no more."""
        self._number_of[worker] = number
        former = self._identity_of.get(worker)
        if former is not None:
            self._worker_of.pop(former, None)
        self._worker_of[identity] = worker
        self._identity_of[worker] = identity

    def forget(self, identity: bytes) -> None:
        """Forget a connection that is gone. If its worker has a newer one, it keeps that."""
        worker = self._worker_of.pop(identity, None)
        if worker is not None and self._identity_of.get(worker) == identity:
            del self._identity_of[worker]

    def end(self, worker: WorkerId) -> bytes | None:
        """Forget a worker that has ended; return its connection, if it had one."""
        self._number_of.pop(worker, None)
        identity = self._identity_of.get(worker)
        if identity is not None:
            self.forget(identity)
        return identity

    def note_junk(self, identity: bytes) -> None:
        """Note that a frame of this connection is not understood."""
        self._junk_senders[identity] = None
        if len(self._junk_senders) > MAX_JUNK_SENDERS:
            del self._junk_senders[next(iter(self._junk_senders))]

    def is_ignored(self, identity: bytes) -> bool:
        """Return whether no frame of this connection is worth a look: it has sent junk, and belongs to no worker.

        To find out that a frame is junk takes longer than most frames of workers do.
        """
        return identity in self._junk_senders and identity not in self._worker_of
