"""The measure of an attack: round trips of a client with manners, and the controller's memory, before and meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from taskfc_ext import BlockingTaskClient, start
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.memory import resident
from taskfc_ext.drivers.paths import farm_paths
from tests.hostile.attacks import RESULTS

QUEUE = 200_000
"""Tasks that wait in the queue meanwhile."""

N_RESULTS, RESULT_BYTES = 700, 60_000
"""Results that can be asked for: 42 MB, each under the size from which a result is a file."""


class Measured(NamedTuple):
    """The outcome of an attack. Seconds and bytes.

    Attributes:
        sent: what the attacker says that it did.
        before: p50 and p99 of round trips before the attack.
        during: p50 and p99 meanwhile.
        worst: the longest round trip.
        n: round trips meanwhile.
        growth: the controller's memory at its highest, above the memory before.
        left: its memory some seconds after the attack, above the memory before.
        log_bytes: bytes that the farm's log grew by.
    """

    sent: str
    before: tuple[float, float]
    during: tuple[float, float]
    worst: float
    n: int
    growth: int
    left: int
    log_bytes: int

    @property
    def ratio(self) -> float:
        """How many times longer the p99 was."""
        return self.during[1] / self.before[1]


def echo(item: int) -> int:
    """Do nothing."""
    return item


def blob(item: int) -> bytes:
    """Return a result that is almost large."""
    return bytes([item % 256]) * RESULT_BYTES


@contextmanager
def farm(name: str, *, queue: int = QUEUE, results: int = N_RESULTS) -> Iterator[tuple[Controller, BlockingTaskClient]]:
    """Yield a farm of two workers with a long queue and many results, and a client of it."""
    with start(2, name=name) as controller, controller.client() as client:
        if results:
            client.with_options(name=RESULTS).map(blob, range(results))
        first = client.submit(time.sleep, 1.0)
        blocked = client.with_options(after=first).submit(echo, 1)
        client.hold(blocked)
        first.result()
        if queue:
            client.with_options(after=blocked).map_async(echo, range(queue))
            client.flush()
        yield controller, client


def round_trips(client: BlockingTaskClient, seconds: float, *, at_least: int = 0) -> list[float]:
    """Return the seconds of round trips of tiny tasks, one after the other."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < at_least:
        begun = time.perf_counter()
        assert client.submit(echo, len(times)).result(timeout=120) == len(times)
        times.append(time.perf_counter() - begun)
    return times


def quantiles(times: list[float]) -> tuple[float, float]:
    """Return the p50 and the p99."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


class Peak:
    """The highest memory of a process while it is watched."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.highest = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            self.highest = max(self.highest, resident(self.pid))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        self._thread.join()


def measure(controller: Controller, client: BlockingTaskClient, attack: str, seconds: float) -> Measured:
    """Run one attack for `seconds`, again and again if it ends before."""
    pid, log = controller.pid, farm_paths(controller.name).controller_log
    command = [sys.executable, "-m", "tests.hostile.attacks", attack, controller.name, str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attacker:
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "ready\n"
        before = round_trips(client, min(3.0, seconds), at_least=200)
        memory, log_before = resident(pid), log.stat().st_size
        with Peak(pid) as peak:
            attacker.stdin.write("go\n")
            attacker.stdin.flush()
            during: list[float] = []
            while attacker.poll() is None:
                during += round_trips(client, 0.05, at_least=1)
            sent = attacker.stdout.read().strip()
            assert attacker.returncode == 0
    round_trips(client, 6.0)  # until its session is forgotten, and the housekeeping has come
    return Measured(
        sent=sent,
        before=quantiles(before),
        during=quantiles(during),
        worst=max(during),
        n=len(during),
        growth=peak.highest - memory,
        left=resident(pid) - memory,
        log_bytes=log.stat().st_size - log_before,
    )
