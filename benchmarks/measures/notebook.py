"""Work in a notebook's kernel: submitting a cell, and loading the system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from benchmarks.answer import Answer, answer
from benchmarks.processes import relatives

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


def cell(system: str, n: int) -> Answer:
    """What submitting adds to a cell: the median of `n`, less that of as many empty ones in between."""
    cells = SYSTEMS[system]
    with fresh_kernel() as kernel:
        for source in (cells.load, INPUTS, cells.start):
            kernel.run(source)
        try:
            for _ in range(WARM_UP):
                kernel.run(cells.submit)
            pairs = [(kernel.run(EMPTY), kernel.run(cells.submit)) for _ in range(n)]
        finally:
            kernel.run(cells.stop)
    empty, submitting = zip(*pairs, strict=True)
    return {"cell_ms": (median(submitting) - median(empty)) * 1e3}


def load(system: str, n: int) -> Answer:
    """What loading adds to a cell, in `n` fresh kernels, and how many processes it has started."""
    return measure_load(SYSTEMS[system], n)


def measure_load(system: System, n: int) -> Answer:
    """Return that of any system."""
    seconds, started = [], 0
    for _ in range(n):
        with fresh_kernel() as kernel:
            empty = median(kernel.run(EMPTY) for _ in range(10))
            before = relatives()
            seconds.append(kernel.run(system.load) - empty)
            started = max(started, len(relatives() - before))
    return {"load_ms": median(seconds) * 1e3, "load_processes": started}


SWEEP = """
import time
from taskfc_ext import attach
client = attach()
def nap(seconds):
    time.sleep(seconds)
%config TaskMagics.progress = False
"""
NAP = 0.002  # s; two workers end 1,000 in a second

SWEEPS = 3  # with the card, and as many without


def group_card(system: str, n: int) -> Answer:
    """What the card of a map of `n` tasks costs the kernel: CPU of its process with and without the card, in turn."""
    cells = SYSTEMS[system]
    with fresh_kernel() as kernel:
        for source in (cells.load, cells.start, SWEEP):
            kernel.run(source)
        try:
            _sweep(kernel, 100, shown=True)  # the first one imports what it needs
            pairs = [(_sweep(kernel, n, shown=False), _sweep(kernel, n, shown=True)) for _ in range(SWEEPS)]
        finally:
            kernel.run(cells.stop)
    without, shown = zip(*pairs, strict=True)
    return {"group_card_percent": 100 * (median(shown) - median(without))}


def _sweep(kernel: Kernel, n: int, *, shown: bool) -> float:
    """Run a sweep; return the kernel's CPU in a second of it."""
    kernel.run(f"group = client.map_async(nap, [{NAP}] * {n})")
    before, begun = kernel.value("time.process_time()"), time.perf_counter()
    kernel.run("group" if shown else EMPTY)
    kernel.run("group.wait()")
    return (kernel.value("time.process_time()") - before) / (time.perf_counter() - begun)


if __name__ == "__main__":
    answer(cell, load, group_card)
