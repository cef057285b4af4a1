"""Leftovers of an attempt, in this process."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskfc_ext.worker.context.leftovers import Leftovers


@contextmanager
def without_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_task_that_uses_up_all_descriptors_does_not_end_a_broadcasts_processes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with subprocess.Popen(["sleep", "60"]) as of_broadcast:
        leftovers = Leftovers()
        with subprocess.Popen(["sleep", "60"]) as of_task:
            try:
                with without_descriptors():
                    leftovers.end()
                assert "cannot end the processes" in caplog.text
                leftovers.end()  # after the next task
                assert of_task.wait(0) is not None
                assert of_broadcast.poll() is None
            finally:
                of_task.kill()
                of_broadcast.kill()
