"""Two hosts: network namespaces with addresses of their own. The network between them is cut, and healed.

`python -m tests.engines.two_hosts` cuts it for longer than the 30 seconds after which a host that has not heard from
its bridge ends its workers, and fails if a promise is broken:

- a task that may run only once runs once;
- a task that may be made again succeeds: without another run, if the cut was short;
- the near host goes on meanwhile;
- the cut host ends its workers by itself;
- 10 seconds after the heal, tasks run in all slots of both hosts.

The farm, Dask's scheduler and one Dask worker are on the near host, another Dask worker is on the far one, where it is
started again when it ends. Only root may make namespaces.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import start
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.processes import tagged_processes
from taskfc_ext.errors import EngineWarning, WorkerLost
from taskfc_ext.protocol.slot_messages import SILENCE
from tests.conftest import farm_home
from tests.engines.clusters import dask_cluster
from tests.processes import DEADLINE, until

NEAR, FAR = "10.213.7.1", "10.213.7.2"
"""The addresses of the hosts."""

THREADS = 2
"""Slots of each host."""

N_SLOTS = 2 * THREADS

BACK_WITHIN = 10.0
"""Seconds from the heal until tasks run in all slots."""

AGAIN = ("sh", "-c", 'while :; do "$@"; sleep 0.5; done', "sh")
"""Runs a command again and again, as a service manager does."""


def why_not() -> str:
    """Return why there can be no namespaces here; "" if there can."""
    if shutil.which("ip") is None:
        return "there is no `ip` command"
    if os.getuid() != 0:
        return "only root may make network namespaces"
    try:
        with _namespaces():
            return ""
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made: {error.stderr.decode().strip()}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def _namespaces() -> Iterator[tuple[str, str]]:
    """Make the near and the far host, with the network between them; yield their names."""
    names = f"tf{os.getpid()}near", f"tf{os.getpid()}far"
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", names[0], "link", "add", "net", "type", "veth", "peer", "name", "net", "netns", names[1])
        for name, address in zip(names, (NEAR, FAR), strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "net")
            _ip("-n", name, "link", "set", "net", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def inside(namespace: str) -> list[str]:
    """Return the beginning of a command that runs in a namespace."""
    return ["ip", "netns", "exec", namespace]


def note_run(log: str, number: int, go: str) -> int:
    """Note a run of this task and the host that it is on; wait until a file exists."""
    here = os.readlink("/proc/self/ns/net")
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{number} {here}\n".encode())
    os.close(fd)
    while not os.path.exists(go):
        time.sleep(0.01)
    return number


class Runs:
    """The runs of tasks, from the file that they share."""

    def __init__(self, folder: str) -> None:
        self.log = f"{folder}/runs"

    def _lines(self) -> list[list[str]]:
        try:
            return [line.split() for line in Path(self.log).read_text().splitlines()]
        except FileNotFoundError:
            return []

    def count(self) -> Counter[int]:
        """Return the number of runs of each task."""
        return Counter(int(number) for number, _ in self._lines())

    def far(self) -> set[int]:
        """Return the tasks that ran on the far host."""
        return {int(number) for number, host in self._lines() if host != os.readlink("/proc/self/ns/net")}


def cut_and_heal(far: str, seconds: float) -> list[str]:
    """Run tasks on both hosts, cut the network in the middle; return the broken promises. To be run on the near host.

    Args:
        far: the namespace of the far host.
        seconds: from the cut to the heal.
    """
    with (
        dask_cluster(host=NEAR, threads=THREADS) as cluster,
        tempfile.TemporaryDirectory(prefix="tfhosts") as folder,
    ):
        cluster.add_worker(host=FAR, through=[*inside(far), *AGAIN])
        with pytest.warns(EngineWarning, match="is not encrypted"):
            farm = start(N_SLOTS, on=cluster.url)
        with farm, farm.client() as client:
            return _cut_and_heal(client, far, seconds, folder)


def _cut_and_heal(client: Any, far: str, seconds: float, folder: str) -> list[str]:
    runs, near_go, far_go, last_go = Runs(folder), Path(folder, "near"), Path(folder, "far"), Path(folder, "last")
    each = [client.with_options(on_lost="retry"), client.with_options(on_lost="fail")]
    problems: list[str] = []

    def occupy(first: int, go: Path) -> list[Any]:
        numbers = range(first, first + N_SLOTS)
        tasks = [each[number % 2].submit(note_run, runs.log, number, str(go)) for number in numbers]
        until(lambda: set(runs.count()) >= set(numbers), "a task runs in each slot")
        return tasks

    first = occupy(0, near_go)  # which shows who is where
    near_go.touch()
    assert [task.result(DEADLINE) for task in first] == list(range(N_SLOTS))
    held = dict(enumerate(occupy(N_SLOTS, far_go), N_SLOTS))
    away = {number for number in held if number in runs.far()}
    print(f"  {len(held) - len(away)} tasks run on the near host, {len(away)} on the far one", flush=True)
    _ip("-n", far, "link", "set", "net", "down")
    cut_at = time.monotonic()
    if seconds > SILENCE:
        tag = farm_paths("default").tag
        until(lambda: not _processes_in(far, tag), "the far host has ended its workers", 2 * SILENCE)
        print(f"  {time.monotonic() - cut_at:.1f} s after the cut: the far host has ended its workers", flush=True)
    far_go.touch()
    for number in sorted(set(held) - away):
        assert held[number].result(DEADLINE) == number
    here = client.map(abs, [-1] * THREADS)
    print(f"  {time.monotonic() - cut_at:.1f} s after the cut: the near host works", flush=True)
    assert here == [1] * THREADS
    time.sleep(max(0.0, seconds - (time.monotonic() - cut_at)))
    _ip("-n", far, "link", "set", "net", "up")
    healed_at = time.monotonic()
    last = occupy(2 * N_SLOTS, last_go)
    took = time.monotonic() - healed_at
    print(f"  {took:.1f} s after the heal: tasks run in all slots", flush=True)
    if took > BACK_WITHIN:
        problems.append(f"tasks ran in all slots {took:.1f} s after the heal")
    last_go.touch()
    assert [task.result(DEADLINE) for task in last] == list(range(2 * N_SLOTS, 3 * N_SLOTS))
    return problems + _judge({number: held[number] for number in away}, runs.count(), is_lost=seconds > SILENCE)


def _judge(away: dict[int, Any], runs: Counter[int], *, is_lost: bool) -> list[str]:
    """Return the promises that were broken to tasks of the far host; those with even numbers may be made again."""
    problems = []
    for number, task in away.items():
        error, n_runs = task.exception(DEADLINE), runs[number]
        may_repeat = number % 2 == 0
        wanted = 2 if is_lost and may_repeat else 1
        if n_runs != wanted:
            problems.append(f"task {number} ran {n_runs} times, not {wanted}")
        if isinstance(error, WorkerLost) != (is_lost and not may_repeat):
            problems.append(f"task {number} ended with {error!r}")
    if not away:
        problems.append("no task ran on the far host")
    return problems


def _processes_in(namespace: str, tag: str) -> list[int]:
    """Return the pids of a farm's processes on a host."""
    there = subprocess.run(["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True)
    return [pid for pid in tagged_processes(tag) if pid in set(map(int, there.stdout.split()))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines.two_hosts", description=__doc__.splitlines()[0])
    parser.add_argument("--cut", type=float, default=45.0, help="seconds from the cut to the heal (default: 45)")
    parser.add_argument("--far", help=argparse.SUPPRESS)  # this process is on the near host
    options = parser.parse_args(arguments)
    if options.far:
        with farm_home():
            problems = cut_and_heal(options.far, options.cut)
        print("  " + ("; ".join(problems) or "whole"))
        return int(bool(problems))
    if reason := why_not():
        print(f"skipped: {reason}")
        return 0
    with _namespaces() as (near, far):
        print(f"the network is cut for {options.cut:g} s", flush=True)
        again = [sys.executable, "-m", "tests.engines.two_hosts", "--far", far, "--cut", str(options.cut)]
        return subprocess.run([*inside(near), *again], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
