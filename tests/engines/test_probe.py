"""`probe`: why nothing answers at an address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from taskfc_ext.engines.adapter import Unreachable
from taskfc_ext.engines.probe import probe


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(listener: socket.socket, host: str = "127.0.0.1") -> str:
    return f"tcp://{host}:{listener.getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_where_something_listens_is_enough(listener: socket.socket, host: str) -> None:
    asyncio.run(probe(address_of(listener, host)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_closed_port_refuses(listener: socket.socket, host: str) -> None:
    address = address_of(listener, host)
    listener.close()
    with pytest.raises(Unreachable, match=r"^connection refused$"):
        asyncio.run(probe(address))


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(Unreachable, match=r"^(there is no host|the name) nowhere\.invalid"):
        asyncio.run(probe("tls://nowhere.invalid:8786"))


def test_a_full_port_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = []
        for _ in range(4):  # the system takes one or two more than the backlog, and lets others wait
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(server.getsockname())
        with pytest.raises(Unreachable, match=r"^127\.0\.0\.1 does not answer$"):
            asyncio.run(probe(address_of(server)))
        for each in waiting:
            each.close()


def test_an_address_without_a_port_is_not_checked() -> None:
    asyncio.run(probe("gateway://head/cluster"))
