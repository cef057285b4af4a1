"""The code that attempts refer to, by digest."""

from __future__ import annotations

from collections.abc import Callable

from taskfc_ext import serialize
from taskfc_ext.errors import LoadingFailed
from taskfc_ext.protocol.payloads import Payload, size_of
from taskfc_ext.serialize import Received

_DAMAGED = "the task's code is gone from the store, or damaged"
_AGAIN = "submit it again; `taskfc doctor` examines the store"


class Bodies:
    """The bodies that the controller has sent: small ones are here, large ones stand in files. For any thread.

    Args:
        read: returns the content of a payload in a file; raises an `OSError` if that is gone or damaged.
    """

    def __init__(self, read: Callable[[Payload], Received]) -> None:
        self._read = read
        self._bodies: dict[bytes, Payload] = {}
        self._compared: set[bytes] = set()  # those in files whose content was compared with its digest

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The digests of all."""
        return tuple(self._bodies)

    def add(self, digest: bytes, body: Payload) -> None:
        """Keep a body."""
        self._bodies[digest] = body

    def drop(self, digest: bytes) -> int:
        """Drop a body; return its size in bytes, 0 if it is not here."""
        self._compared.discard(digest)
        return size_of(self._bodies.pop(digest, b""))

    def size(self, digest: bytes) -> int:
        """Return the size of a body in bytes; 0: it is not here."""
        return size_of(self._bodies.get(digest, b""))

    def read(self, digest: bytes) -> Received:
        """Return a body; one in a file is a mapping of its own, which may be written to.

        Raises:
            LookupError: it is not here.
            LoadingFailed: its file is gone or damaged.
        """
        body = self._bodies.get(digest)
        if body is None:
            raise LookupError(f"code {digest.hex()} did not reach this worker")
        if type(body) is bytes:
            return body
        try:
            content = self._read(body)
        except OSError as error:
            raise LoadingFailed(f"{_DAMAGED}: {error.strerror}", hint=_AGAIN) from error
        if digest not in self._compared:
            if serialize.digest(content) != digest:
                raise LoadingFailed(f"{_DAMAGED}: its content is not what was sent", hint=_AGAIN)
            self._compared.add(digest)
        return content
