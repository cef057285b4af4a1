"""A farm whose controller is a thread, and a client of it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.testing import FakeFarm


@pytest.fixture(autouse=True)
def failures_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a library under test has done to all loggers: its configuration disables those that are there."""
    for name in ("concurrent.futures", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)


@pytest.fixture
def farm() -> Iterator[FakeFarm]:
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))
    farm = FakeFarm(folder)
    yield farm
    farm.close()
    shutil.rmtree(folder)


@pytest.fixture
def remote(farm: FakeFarm) -> Iterator[RemoteController]:
    remote = RemoteController(farm, version="test", label="tester")
    yield remote
    remote.close()


@pytest.fixture
def client(remote: RemoteController) -> BlockingTaskClient:
    return BlockingTaskClient(FCTaskClient(remote))
