"""A Ray cluster on this machine, for tests that `TASKFC_TEST_RAY=1` asks for: Ray is large, and not in our extras."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from taskfc_ext.drivers.process_tree import children, command_line
from tests.engines.clusters import THREADS
from tests.processes import until

SWITCH = "TASKFC_TEST_RAY"
"""Environment variable that asks for the tests on Ray."""

needs_ray = pytest.mark.skipif(
    os.environ.get(SWITCH) != "1" or importlib.util.find_spec("ray") is None,
    reason=f"on Ray only with {SWITCH}=1, and where Ray is installed",
)

ACTOR = "ray::RaySlot"
"""The beginning of the command line of an actor with a slot."""


class RayCluster:
    """A head of Ray, which is its only node.

    Args:
        kind: `client`: farms reach it through Ray Client; `node`: as a node of it, with `RAY_ADDRESS`.
    """

    def __init__(self, folder: Path, kind: str, *, port: int = 0, client_port: int = 0) -> None:
        free = free_ports(2)
        self.port, self.client_port = port or free[0], client_port or free[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"ray://127.0.0.1:{self.client_port}" if kind == "client" else "ray"
        # Ray imports jsonschema, which makes a grammar with this for 2 seconds, in each process
        (folder / "rfc3987_syntax.py").write_text("raise ImportError\n")
        options = {
            "node-ip-address": "127.0.0.1",
            "port": self.port,
            "ray-client-server-port": self.client_port,
            "min-worker-port": 0,
            "max-worker-port": 0,
            "num-cpus": THREADS,
            "resources": '{"half": 1}',
            "object-store-memory": 100_000_000,
            "include-dashboard": "false",
            "temp-dir": folder / "t",
        }
        self._log = folder / "head.log"
        with self._log.open("wb") as log:
            self.head = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
                    *(f"--{name}={value}" for name, value in options.items()),
                    "--disable-usage-stats",
                ],
                stdout=log,
                stderr=log,
                env=_environ(folder),
                cwd=folder,
            )
        until(self._has_started, "Ray has started", 180)

    def _has_started(self) -> bool:
        assert self.head.poll() is None, self._log.read_text(errors="replace")
        return "Ray runtime started" in self._log.read_text(errors="replace")

    def processes(self, name: str) -> list[int]:
        """Return the processes of the cluster with `name` in their command line."""
        return [pid for pid in _descendants(self.head.pid) if name in str(command_line(pid))]

    def lose_places(self) -> None:
        """See `Cluster`."""
        for pid in self.processes(ACTOR):
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End all of its processes: `ray stop` would end those of all clusters of this machine."""
        for pid in _descendants(self.head.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.head.kill()
        self.head.wait()


def _environ(folder: Path) -> dict[str, str]:
    environ = {**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_raylet_start_wait_time_s": "120"}
    environ["RAY_worker_niceness"] = "0"  # by default 15, with which workers starve beside other tests
    for name in ("TASKFC_TEST_HOME", "RAY_ADDRESS"):  # it outlives the farms of a test
        environ.pop(name, None)
    paths = [str(folder), str(Path(__file__).parents[2]), environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environ


def _descendants(pid: int) -> list[int]:
    return [found for child in children(pid) for found in (child.pid, *_descendants(child.pid))]


def free_ports(n: int) -> list[int]:
    """Return ports of this machine at which nothing listens."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [server.getsockname()[1] for server in servers]


@contextmanager
def ray_cluster(kind: str, **ports: int) -> Iterator[RayCluster]:
    """Run a Ray cluster, with the environment for farms on it."""
    with tempfile.TemporaryDirectory(prefix="tfray", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it depends on a file of this user
        cluster = RayCluster(Path(folder), kind, **ports)
        if kind == "client":
            patch.delenv("RAY_ADDRESS", raising=False)
        else:
            patch.setenv("RAY_ADDRESS", cluster.address)
        try:
            yield cluster
        finally:
            cluster.close()
