"""Payloads on their way to the controller: small ones in messages, large ones in files."""

from __future__ import annotations

from typing import Protocol

from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.uploads import Sent
from taskfc_ext.serialize import Body


class Uploader(Protocol):
    """A connection that takes large payloads."""

    def upload(self, body: Body, *, what: str) -> Sent:
        """Return a large body as it is sent.

        Args:
            body: the body.
            what: how messages call it.

        Raises:
            StoreError: there is no room for it.
        """
        ...


def to_send(uploader: Uploader, body: Body, what: str) -> Sent:
    """Return `body`, which messages call `what`, as it is sent: a large one in a file.

    Raises:
        StoreError: there is no room for it.
    """
    if isinstance(body, bytes) and len(body) < LARGE:
        return body
    return uploader.upload(body, what=what)
