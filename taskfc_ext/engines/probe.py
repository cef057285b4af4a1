"""A plain connection to an engine's address: it fails at once and for one reason, where a library tries for a while."""

from __future__ import annotations

import asyncio
import os
import socket
from urllib.parse import urlsplit

from taskfc_ext.engines.adapter import Unreachable

TIMEOUT = 2.0
"""Seconds to open the connection."""


async def probe(url: str) -> None:
    """Check that something listens at the host and port of an address.

    Raises:
        Unreachable: nothing does.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        return
    try:
        await asyncio.wait_for(asyncio.to_thread(_connect, parts.hostname, parts.port), TIMEOUT)
    except OSError as error:  # also a TimeoutError
        raise Unreachable(_explain(error, parts.hostname)) from error


def _connect(host: str, port: int) -> None:
    socket.create_connection((host, port), TIMEOUT).close()


def _explain(error: OSError, host: str) -> str:
    match error:
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return f"the name {host} cannot be resolved now: {error.strerror}"
        case socket.gaierror():
            return f"there is no host {host}: {error.strerror}"
        case TimeoutError():
            return f"{host} does not answer"
        case _:
            return os.strerror(error.errno).lower() if error.errno else str(error)
