"""Engines for tests: the fake one, and a real Dask cluster on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self

from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.process_tree import children, command_line, descendants, is_zombie
from tests.processes import kill_and_wait, until

THREADS = 4


def process_of(farm: Controller, role: str) -> int:
    """Return the pid of the process of the supervisor that has a role."""
    pids = [child.pid for child in children(farm.supervisor_pid)]
    (found,) = [pid for pid in pids if f"taskfc_ext.{role}" in str(command_line(pid))]
    return found


class Cluster(Protocol):
    """An engine that runs, with room for `THREADS` workers.

    Attributes:
        url: its address.
    """

    url: str

    def lose_places(self) -> None:
        """Kill the processes that hold slots now; there is room again soon."""


class FakeCluster:
    """The fake engine, whose slots are in the bridge."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"fake://{folder}"

    def lose_places(self) -> None:
        """See `Cluster`."""
        file = self._folder / "lose"
        file.touch()
        until(lambda: not file.exists(), "the bridge has seen it")


class DaskCluster:
    """A scheduler and workers of Dask.

    Args:
        folder: for files of its processes.
        port: of the scheduler; 0: any.
        n_workers: Dask's, each with some slots.
        has_nannies: each worker has a parent process that starts it again when it dies.
        host: the address that it has.
        threads: the slots of each worker.
        options: of each of its processes.
        before: a folder whose modules its processes find before all others.

    Attributes:
        url: the scheduler's address.
        scheduler: its process.
        worker: the process of `dask worker` that was started last; with nannies, that is the nanny.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        n_workers: int = 1,
        has_nannies: bool = False,
        host: str = "127.0.0.1",
        threads: int = THREADS,
        options: Sequence[str] = (),
        before: Path | None = None,
    ) -> None:
        self._folder = folder
        self._path = [str(folder) for folder in (before, Path(__file__).parents[2]) if folder is not None]
        self._threads = threads
        self._options = options
        self._host = host
        self._file = folder / "scheduler.json"
        self._nanny = "--nanny" if has_nannies else "--no-nanny"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            "scheduler", "--port", str(port), "--scheduler-file", str(self._file), "--no-dashboard", "--no-show"
        )
        self.url = until(self._address, "the scheduler has started")
        for _ in range(n_workers):
            self.worker = self.add_worker()

    def _address(self) -> str:
        try:
            return str(json.loads(self._file.read_text())["address"])
        except (FileNotFoundError, ValueError, KeyError):
            return ""

    def add_worker(
        self, *more: str, host: str = "", way: Way | None = None, through: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a Dask worker with `more` options.

        Args:
            host: another address than the cluster's.
            way: it is reached on this way only.
            through: a command that runs it.
        """
        own = ["--nthreads", str(self._threads), self._nanny, "--no-dashboard", "--local-directory", str(self._folder)]
        if way is not None:
            own += ["--listen-address", f"tcp://127.0.0.1:{way.to}", "--contact-address", way.url]
        return self._start("worker", self.url, *own, *more, host=host, through=through)

    def _start(self, role: str, *options: str, host: str = "", through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        environ = {**os.environ, "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"}
        environ.pop("TASKFC_TEST_HOME", None)  # it outlives the farms of a test
        environ["PYTHONPATH"] = os.pathsep.join([*self._path, *filter(None, [environ.get("PYTHONPATH")])])
        with open(self._folder / f"{role}{len(self._processes)}.log", "wb") as log:
            command = [
                sys.executable,
                "-m",
                "distributed.cli.dask_" + role,
                *([] if "--listen-address" in options else ["--host", host or self._host]),
                *self._options,
                *options,
            ]
            process = subprocess.Popen(
                [*through, *command],
                stdout=log,
                stderr=log,
                env=environ,
                cwd=self._folder,
                start_new_session=True,  # a task that signals its process group must not end the tests
            )
        self._processes.append(process)
        return process

    @property
    def nannies(self) -> list[int]:
        """The pids of the nannies that run, where the workers have some."""
        return [process.pid for process in self._processes[1:] if process.poll() is None]

    @property
    def watched_workers(self) -> list[int]:
        """The pids of the workers that the nannies watch."""
        found = [child.pid for nanny in self.nannies for child in children(nanny)]
        return [pid for pid in found if b"spawn_main" in command_line(pid)]

    def lose_places(self) -> None:
        """See `Cluster`."""
        kill_and_wait(self.worker.pid)
        self.worker.wait()
        self.worker = self.add_worker()

    def close(self) -> None:
        """End all of its processes."""
        for process in self._processes:
            below = descendants(process.pid, lambda _: False)
            process.kill()
            process.wait()
            for one in below:  # some end by themselves
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
                until(lambda one=one: is_zombie(one), "it is dead")


class Way:
    """A way through the network to a port of this machine, that can be cut.

    Attributes:
        to: the port that it leads to, which is free.
        url: its near end.
        n_refused: the connections that it has refused.
    """

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.to = server.getsockname()[1]
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.n_refused = 0
        self._is_open = True
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                if not self._is_open:
                    raise OSError("the way is cut")
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                self.n_refused += 1
                continue
            self._ends += [near, far]
            for ends in ((near, far), (far, near)):
                copying = threading.Thread(target=_copy, args=ends)
                copying.start()
                self._threads.append(copying)

    def cut(self) -> None:
        """End all connections, and let none be made."""
        self._is_open = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def mend(self) -> None:
        """Let connections be made again."""
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join()


def _copy(source: socket.socket, to: socket.socket) -> None:
    """Copy what comes until one of the two is shut."""
    with suppress(OSError):
        while data := source.recv(2**16):
            to.sendall(data)
    for end in (source, to):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


@contextmanager
def dask_cluster(**options: Any) -> Iterator[DaskCluster]:
    """Run a Dask cluster with the options of `DaskCluster`."""
    with tempfile.TemporaryDirectory(prefix="tfdask") as folder:
        cluster = DaskCluster(Path(folder), **options)
        try:
            yield cluster
        finally:
            cluster.close()
