"""A disk that is not full, and takes nothing all the same: the reason is told, and all goes on when it works again."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from taskfc_ext import StorageFull, start
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.drivers.paths import farm_paths
from tests.processes import DEADLINE, until


def refusal_of(future: TaskFuture) -> str:
    """Return why the task of `future` was not accepted; empty if it has ended, or waits."""
    try:
        future.result(1.0)
    except StorageFull as error:
        return str(error)
    except TimeoutError:
        pass
    return ""


def test_a_farm_whose_files_may_not_grow_says_so_and_goes_on_when_they_may(home: Path) -> None:
    with start(1) as farm, farm.client() as client:
        assert client.map(abs, range(-9, 0)) == list(range(9, 0, -1))
        pid = farm.pid
        as_usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, as_usual[1]))  # each write is an error
        try:
            first = client.submit(abs, -1)  # finds it out: it waits, since the controller has all but accepted it
            why = until(lambda: refusal_of(client.submit(abs, -2)), "the next ones are refused")
            assert "cannot be written" in why
            assert "its quota" in why
            told = subprocess.run(
                [sys.executable, "-m", "taskfc_ext.cli", "status"], capture_output=True, text=True, check=True
            )
            assert "The farm's store cannot be written" in told.stdout
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, as_usual)
        assert first.result(DEADLINE) == 1
        until(lambda: client.submit(abs, -4).exception(DEADLINE) is None, "new tasks are accepted again")
        assert farm.pid == pid
        assert "signal" not in farm_paths("default").controller_log.read_text()
        assert {info.state for info in client.list_tasks()} == {"succeeded"}
