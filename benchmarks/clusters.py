"""The systems whose processes are killed, each with what its documentation offers against that: retries, nannies.

Each is a context manager that yields a `Cluster` of `N_WORKERS` workers. Names and options are those of `systems`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.systems import OURS
from taskfc_ext.drivers.processes import process_alive

N_WORKERS = 3

RETRIES = 10
"""Of each task, where the system has such an option: far more than any of them needs."""

START = 60
"""Seconds within which a cluster is there."""

Call = Callable[..., Any]


@dataclass(frozen=True)
class Cluster:
    """A running system.

    Attributes:
        submit: submits a task and returns a handle.
        flush: waits until what was submitted is accepted, where a system has that.
        is_done: tells whether a handle's task has ended, in any way.
        result: returns the result of a task that has ended, or raises.
        workers: returns the pids of the workers.
        kill_controller: kills what holds the queue; `None`: that is the client.
        client: source of a client in another process; it defines `submit` and `keep`, which is called with all handles.
    """

    submit: Callable[..., Any]
    flush: Callable[[], object]
    is_done: Callable[[Any], bool]
    result: Callable[[Any], Any]
    workers: Callable[[], Sequence[int]]
    kill_controller: Callable[[], None] | None
    client: str


@contextmanager
def taskfc() -> Iterator[Cluster]:
    """This project; retries after deaths are its default, and so are new workers."""
    import taskfc_ext
    from tests.chaos.killer import FarmProcesses

    processes = FarmProcesses("deaths")
    with (
        taskfc_ext.start(N_WORKERS, name="deaths", max_deaths=RETRIES) as controller,
        contextlib.closing(controller.client(owner="deaths")) as client,
    ):
        yield Cluster(
            submit=client.submit,
            flush=client.flush,
            is_done=lambda future: future.done(),
            result=lambda future: future.result(0),
            workers=processes.workers,
            kill_controller=lambda: os.kill(controller.pid, signal.SIGKILL),
            client="""
from taskfc_ext import attach
client = attach("deaths")
submit = client.submit
def keep(handles): client.flush()
""",
        )


@contextmanager
def dask() -> Iterator[Cluster]:
    """dask.distributed: a scheduler, and workers each with a nanny that starts it again; more failures are allowed.

    A killed scheduler is started again at the same address, as a service manager would do it.
    """
    from distributed import Client

    os.environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = str(RETRIES)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    scheduler = _Scheduler(port)
    with contextlib.ExitStack() as stack:
        stack.callback(scheduler.end)
        scheduler.start()
        command = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nanny"]
        command += ["--nthreads", "1", "--no-dashboard", "--local-directory", os.environ["TMPDIR"]]
        nannies = [_spawn(command) for _ in range(N_WORKERS)]
        for nanny in nannies:
            stack.callback(_end, nanny)
        client = stack.enter_context(Client(f"tcp://127.0.0.1:{port}", timeout=START))
        client.wait_for_workers(N_WORKERS, timeout=START)

        def workers() -> list[int]:
            return [pid for nanny in nannies for pid in _python_children(nanny.pid, "spawn_main")]

        yield Cluster(
            submit=lambda function, *args: client.submit(function, *args, pure=False, retries=RETRIES),
            flush=lambda: None,
            is_done=lambda future: future.done(),
            result=lambda future: future.result(timeout=START),
            workers=workers,
            kill_controller=scheduler.kill_and_start,
            client=f"""
from distributed import Client
client = Client("tcp://127.0.0.1:{port}")
def submit(function, *args): return client.submit(function, *args, pure=False, retries={RETRIES})
def keep(handles): client.publish_dataset(kept=handles)
""",
        )


class _Scheduler:
    """Dask's scheduler in a process of its own."""

    def __init__(self, port: int) -> None:
        self._command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--no-jupyter"]
        self._command += ["--host", "127.0.0.1", "--port", str(port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = _spawn(self._command)

    def kill_and_start(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.start()

    def end(self) -> None:
        if self._process is not None:
            _end(self._process)


@contextmanager
def ipyparallel() -> Iterator[Cluster]:
    """ipyparallel: a load-balanced view with retries, and a hub that keeps results in memory."""
    import ipyparallel as ipp

    cluster = ipp.Cluster(n=N_WORKERS, log_level=40, controller_args=["--dictdb"])
    client = cluster.start_and_connect_sync()
    try:
        view = client.load_balanced_view()
        view.set_flags(retries=RETRIES)
        engines = client[:].apply_sync(os.getpid)

        def kill_controller() -> None:
            root = psutil.Process(cluster.controller.pid)
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    process.kill()

        yield Cluster(
            submit=view.apply_async,
            flush=lambda: None,
            is_done=lambda handle: bool(handle.ready()),
            result=lambda handle: handle.get(START),
            workers=lambda: [pid for pid in engines if process_alive(pid, None)],
            kill_controller=kill_controller,
            client=f"""
import ipyparallel
client = ipyparallel.Client(profile_dir={cluster.profile_dir!r}, cluster_id={cluster.cluster_id!r})
view = client.load_balanced_view()
view.set_flags(retries={RETRIES})
submit = view.apply_async
def keep(handles): __import__("time").sleep(0.5)  # nothing tells whether they are sent
""",
        )
    finally:
        client.close()
        with contextlib.suppress(Exception):
            cluster.stop_cluster_sync()
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        asyncio.set_event_loop(None)


@contextmanager
def loky() -> Iterator[Cluster]:
    """loky's reusable executor, which has no retries: its queue is in the client's process."""
    from loky import get_reusable_executor

    executor = get_reusable_executor(max_workers=N_WORKERS)

    def submit(function: Call, *args: Any) -> Any:
        return get_reusable_executor(max_workers=N_WORKERS).submit(function, *args)

    submit(abs, -1).result()
    try:
        yield Cluster(
            submit=submit,
            flush=lambda: None,
            is_done=lambda future: future.done(),
            result=lambda future: future.result(0),
            workers=lambda: _python_children(os.getpid(), "popen_loky"),
            kill_controller=None,
            client=f"""
from loky import get_reusable_executor
submit = get_reusable_executor(max_workers={N_WORKERS}).submit
def keep(handles): pass
""",
        )
    finally:
        executor.shutdown(wait=False, kill_workers=True)


CLUSTERS = {OURS: taskfc, "ipyparallel": ipyparallel, "dask": dask, "loky": loky}


def _spawn(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _python_children(pid: int, word: str) -> list[int]:
    """Return the pids of the descendants that have this word in their command."""
    return [child.pid for child in _children(pid) if word in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    children = _children(process.pid)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition holds before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
