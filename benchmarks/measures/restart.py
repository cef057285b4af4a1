"""Restart of the controller with many live tasks."""

from __future__ import annotations

import os
import signal
import time

import psutil

import taskfc_ext
from benchmarks.answer import Answer, answer
from benchmarks.processes import age


def echo(item: int) -> int:
    """Do nothing."""
    return item


def restart(system: str, n: int) -> Answer:
    """Kill the controller with `n` queued tasks: seconds from the next one's start until it answers, and from the kill.

    There is no worker meanwhile; one runs all tasks afterwards.
    """
    del system
    with taskfc_ext.start(0, name="restart") as controller, controller.client() as client:
        futures = [client.submit(echo, item) for item in range(n)]
        client.flush()
        killed = controller.pid
        process = psutil.Process(killed)
        begun = time.perf_counter()
        os.kill(killed, signal.SIGKILL)
        process.wait(10)
        status = client.queue_status()
        from_start, from_kill = age(controller.pid), time.perf_counter() - begun
        assert status["scheduled"] + status["pending"] == n, status
        assert controller.pid != killed
        client.scale(1)
        assert [future.result() for future in futures] == list(range(n))
    return {"restart_s": from_start, "restart_from_kill_s": from_kill}


if __name__ == "__main__":
    answer(restart)
