"""One measurement of one system in a notebook's kernel; the answer is one line of JSON.

Usage: python -m benchmarks.notebook SYSTEM cell|load N
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

TIMEOUT = 60  # s; a bound on hangs
WARM_UP = 10  # cells: the first ones import what they need
EMPTY = ""
INPUTS = "a, b = 3, [1, 2, 3]"


@dataclass(frozen=True)
class System:
    """The cells that its users write: those that load it, start two workers, send a small piece of work, and stop."""

    load: str
    start: str
    submit: str
    stop: str


SYSTEMS = {
    # the names that the cell uses are found and sent, it is stored, and its card is shown and kept up to date
    "taskfc_ext": System("%load_ext taskfc_ext", "%task start -n 2", "%%task\nsum(b) + a", "%task stop"),
    # the names are on the engine before, and one engine is asked
    "ipyparallel": System(
        "%load_ext ipyparallel",
        "import ipyparallel as ipp\n"
        "cluster = ipp.Cluster(n=2, log_level=40)\n"
        "client = cluster.start_and_connect_sync()\n"
        "view = client[[0]]\n"
        "view.activate()\n"
        "view.push(dict(a=a, b=b), block=True)",
        "%%px --noblock\nsum(b) + a",
        "client.close()\ncluster.stop_cluster_sync()",
    ),
    # nothing waits until the scheduler has it
    "dask": System(
        "import distributed",
        "cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)\n"
        "client = distributed.Client(cluster)",
        "future = client.submit(lambda: sum(b) + a, pure=False)\nfuture",
        "client.close()\ncluster.close()",
    ),
}


class Kernel:
    """A kernel that runs cells, one after another."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, source: str) -> float:
        """Run a cell; return the seconds until its front end knows that it has run.

        Raises:
            RuntimeError: the cell raised.
        """
        begun = time.perf_counter()
        cell = self._client.execute(source)
        while True:
            message = self._client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != cell:
                continue  # an earlier cell's card
            if message["msg_type"] == "error":
                raise RuntimeError(f"{source!r} raised {message['content']['evalue']}")
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return time.perf_counter() - begun

    def value(self, expression: str) -> float:
        """Return the value of an expression that is a number.

        Raises:
            RuntimeError: it raised.
        """
        asked = self._client.execute("", user_expressions={"value": expression})
        while True:
            answer = self._client.get_shell_msg(timeout=TIMEOUT)
            if answer["parent_header"].get("msg_id") == asked:
                break
        value = answer["content"]["user_expressions"]["value"]
        if value["status"] != "ok":
            raise RuntimeError(f"{expression!r} raised {value['evalue']}")
        return float(value["data"]["text/plain"])


@contextmanager
def fresh_kernel() -> Iterator[Kernel]:
    """Yield a kernel that has run one empty cell."""
    manager = KernelManager()
    manager.start_kernel(extra_arguments=["--log-level=ERROR"])  # it warns of TCP without encryption
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        kernel = Kernel(client)
        kernel.run(EMPTY)
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def cell(system: System, n: int) -> dict[str, float]:
    """What submitting adds to a cell: the median of `n`, less that of as many empty ones in between."""
    with fresh_kernel() as kernel:
        for source in (system.load, INPUTS, system.start):
            kernel.run(source)
        try:
            for _ in range(WARM_UP):
                kernel.run(system.submit)
            pairs = [(kernel.run(EMPTY), kernel.run(system.submit)) for _ in range(n)]
        finally:
            kernel.run(system.stop)
    empty, submitting = zip(*pairs, strict=True)
    return {"cell_ms": (median(submitting) - median(empty)) * 1e3}


def load(system: System, n: int) -> dict[str, float]:
    """What loading adds to a cell, in `n` fresh kernels, and how many processes it has started."""
    seconds, started = [], 0
    for _ in range(n):
        with fresh_kernel() as kernel:
            empty = median(kernel.run(EMPTY) for _ in range(10))
            before = _relatives()
            seconds.append(kernel.run(system.load) - empty)
            started = max(started, len(_relatives() - before))
    return {"load_ms": median(seconds) * 1e3, "load_processes": started}


def _relatives() -> set[int]:
    """Return the processes in this one's folders, whoever their parent is: a farm's let go of it."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == os.environ["TMPDIR"]:
                found.add(process.pid)
        except psutil.Error:  # another user's, or gone
            continue
    return found


MEASURES = {"cell": cell, "load": load}


if __name__ == "__main__":
    _system, _measure, _n = sys.argv[1:]
    print(json.dumps(MEASURES[_measure](SYSTEMS[_system], int(_n))))
