"""Round trips of tiny tasks while large payloads flow."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np

import taskfc_ext
from benchmarks.answer import Answer, answer
from benchmarks.systems import N_WORKERS

N_PAYLOADS = 2
"""Large payloads each way."""

FARM = "flow"

STILL = 5.0
"""Seconds without payloads, at most."""

_PER_PAGE = 4096 // 8


def echo(item: int) -> int:
    """Do nothing."""
    return item


def read(array: Any) -> float:
    """Return the sum of one element of each page."""
    return float(array[::_PER_PAGE].sum())


def make(megabytes: int, seed: int) -> Any:
    """Return an array."""
    return np.full(megabytes * 2**20 // 8, float(seed))


def flow(system: str, n: int) -> Answer:
    """The p99 of round trips while another client sends and takes arrays of `n` MB, and without, around it."""
    del system
    with taskfc_ext.start(N_WORKERS, name=FARM) as controller, controller.client() as client:

        def round_trip(item: int) -> float:
            begun = time.perf_counter()
            assert client.submit(echo, item).result() == item
            return time.perf_counter() - begun

        for item in range(100):
            round_trip(item)
        command = [sys.executable, "-m", "benchmarks.measures.flow", FARM, "send", str(n)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            assert sender.stdout.readline() == "ready\n"
            still = [round_trip(item) for item in range(500)]
            sender.stdin.write("go\n")
            sender.stdin.flush()
            begun = time.perf_counter()
            flowing = []
            while sender.poll() is None:
                flowing.append(round_trip(len(flowing)))
            seconds = time.perf_counter() - begun
            assert sender.returncode == 0
        until = time.perf_counter() + min(seconds, STILL)
        while time.perf_counter() < until:
            still.append(round_trip(len(still)))
    return {"still_p99_us": _p99(still) * 1e6, "flowing_p99_us": _p99(flowing) * 1e6, "flow_s": seconds}


def send(system: str, n: int) -> Answer:
    """Be the other client, in the farm `system`; begin when a line comes on stdin."""
    with taskfc_ext.attach(system) as client:
        assert client.submit(make, 1, 1).result()[0] == 1
        print("ready", flush=True)
        sys.stdin.readline()
        for seed in range(N_PAYLOADS):
            array = make(n, seed)
            assert client.submit(read, array).result() == read(array)
            assert read(client.submit(make, n, seed).result()) == read(array)
    return {}


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


if __name__ == "__main__":
    answer(flow, send)
