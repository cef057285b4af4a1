"""Construction of clients. Their modules are imported late: the processes of a farm start first."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.drivers.processes import worker_here
from taskfc_ext.text import encodable
from taskfc_ext.version import __version__

if TYPE_CHECKING:
    from taskfc_ext.client.aio import FCTaskClient
    from taskfc_ext.client.blocking import BlockingTaskClient
    from taskfc_ext.client.session.controller import RemoteController


def load_clients() -> None:
    """Import the modules of the clients, while a farm starts: its starter needs them next."""
    from taskfc_ext.client import blocking  # noqa: F401


def blocking_client(farm: LocalFarm, *, owner: str, label: str) -> BlockingTaskClient:
    """Return a client whose methods block."""
    from taskfc_ext.client.blocking import BlockingTaskClient

    return BlockingTaskClient(async_client(farm, owner=owner, label=label))


def async_client(farm: LocalFarm, *, owner: str, label: str) -> FCTaskClient:
    """Return a client for code that awaits."""
    from taskfc_ext.client.aio import FCTaskClient

    return FCTaskClient(connect(farm, owner=owner, label=label))


def connect(farm: LocalFarm, *, owner: str, label: str) -> RemoteController:
    """Return a connected `RemoteController`."""
    from taskfc_ext.client.session.controller import RemoteController

    label = label or f"{os.path.basename(sys.argv[0]) if sys.argv else ''}:{os.getpid()}"
    owner, label = encodable(owner)[:1000], encodable(label)[:200]
    worker = worker_here(farm.paths.tag)
    return RemoteController(farm, version=__version__, owner=owner, label=label, worker=worker)
