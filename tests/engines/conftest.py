"""Farms on engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import start
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.processes import tagged_processes
from tests.conftest import farm_home
from tests.engines.clusters import Cluster, FakeCluster, dask_cluster
from tests.engines.ray_cluster import needs_ray, ray_cluster
from tests.processes import until

ENGINES = ["fake", "dask", pytest.param("ray-node", marks=needs_ray), pytest.param("ray-client", marks=needs_ray)]


@pytest.fixture(scope="module", params=ENGINES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An engine with room for four workers."""
    if request.param == "fake":
        yield FakeCluster(tmp_path_factory.mktemp("fake"))
    else:
        kind, _, how = request.param.partition("-")
        with dask_cluster() if kind == "dask" else ray_cluster(how) as found:
            yield found


@contextmanager
def farm_on(cluster: Cluster) -> Iterator[Controller]:
    """Start a farm of at most two workers on the engine; at the end none of its processes is left on any host."""
    with start(2, on=cluster.url) as controller:
        yield controller
    tag = farm_paths("default").tag
    until(lambda: not tagged_processes(tag), "all workers have ended")


@pytest.fixture
def farm(home: Path, cluster: Cluster) -> Iterator[Controller]:
    """A farm of a test's own."""
    with farm_on(cluster) as controller:
        yield controller


@pytest.fixture
def own_client(farm: Controller) -> Iterator[Any]:
    """A client of the test's own farm."""
    with farm.client() as client:
        yield client


@pytest.fixture(scope="module")
def shared_farm(cluster: Cluster) -> Iterator[Controller]:
    """A farm for all tests of a module on the engine that need no new one."""
    with farm_home(), farm_on(cluster) as controller:
        yield controller


@pytest.fixture
def client(shared_farm: Controller) -> Iterator[Any]:
    """A client of the shared farm."""
    with shared_farm.client() as client:
        yield client
