"""Payloads on their way to the controller: small ones in messages, large ones in files."""

from __future__ import annotations

from typing import Any, Protocol

from taskfc_ext.client.context.context import EncodedContext, read_context
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.uploads import Sent, in_message
from taskfc_ext.protocol.client_messages import Define
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

    def share(self, digest: bytes, body: bytes, *, what: str) -> Sent:
        """Return a large body that many messages name, as it is sent: in one file as long as one of them needs it.

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


def context_to_send(uploader: Uploader, context: EncodedContext) -> list[tuple[bytes, Sent]]:
    """Return the bodies of a context and of its modules, by digest, as they are sent: large ones in files.

    Raises:
        StoreError: there is no room for one.
    """
    what = "the environment, or a module of yours"
    return [
        (digest, body if len(body) < LARGE else uploader.share(digest, body, what=what))
        for digest, body in context.defines
    ]


def make_fields(uploader: Uploader, cell: str = "") -> tuple[dict[str, Any], list[tuple[bytes, Sent]]]:
    """Return the fields of a request for the context of now, with all modules that are known to be needed.

    The files of the second part have to stay until the answer has come, since the message may have to be repeated.

    Args:
        uploader: the connection.
        cell: source in the request; the modules that it imports are included.

    Raises:
        StoreError: there is no room for one of the bodies.
    """
    sent = context_to_send(uploader, read_context(cell))
    *modules, context = [Define(digest, in_message(body)) for digest, body in sent]
    return {"context": context, "modules": tuple(modules)}, sent
