"""Farms that do not answer, or do not run: `status`, `stop` and `abort` answer within seconds all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskfc_ext import TaskClient, attach, start
from taskfc_ext.cli import main
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.drivers.processes import process_alive
from taskfc_ext.errors import ControllerLost, TaskAborted
from tests.processes import DEADLINE, kill_and_wait, until

WITHIN = 5.0
"""Seconds; on a loaded machine an answer is late, but a hang would be one for ever."""

SUSPEND = """
import os, signal, sys

os.write(1, b"b")  # it begins
try:
    while True:
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
except ProcessLookupError:
    pass
"""
"""Suspends a process again and again until it has ended. A fork of this process, which has threads, may hang."""


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command of the terminal, which has to answer within seconds."""
    began = time.monotonic()
    code = main(words)
    assert time.monotonic() - began < 3 * WITHIN
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.mark.parametrize("who", ["controller", "supervisor", "both"])
def test_a_suspended_farm_is_seen_and_stopped(home: Path, capsys: pytest.CaptureFixture[str], who: str) -> None:
    farm = start(1)
    pids = {"controller": farm.pid, "supervisor": farm.supervisor_pid}
    suspended = list(pids.values()) if who == "both" else [pids[who]]
    for pid in suspended:
        os.kill(pid, signal.SIGSTOP)
    if who != "supervisor":
        code, said = answer(capsys, "status")
        assert code == 1
        assert (
            f"the controller of farm 'default' (pid {pids['controller']}) does not answer: a signal has suspended it"
            in said
        )
        assert "`taskfc stop` ends it" in said
        with attach() as client, pytest.raises(ControllerLost, match="has suspended it"):
            client.queue_status()
    else:
        code, said = answer(capsys, "status")
        assert code == 0
        assert f"a signal has suspended its supervisor (SIGSTOP); `kill -CONT {pids['supervisor']}`" in said
    seen = "supervisor" if who == "supervisor" else "controller"
    assert f"a signal has suspended its {seen}" in answer(capsys, "list")[1]
    code, said = answer(capsys, "stop")
    assert (code, said) == (0, "default: stopped; unfinished tasks stay in its store\n")
    assert "suspended" not in answer(capsys, "list")[1]
    assert not any(process_alive(pid, None) for pid in pids.values())


def test_a_controller_that_neither_answers_nor_goes_on_is_replaced_and_stops(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    farm = start(1)
    with farm.client() as client:
        future = client.submit(time.sleep, 600)
        client.flush()
        assert future.taskid == 0
    pid = farm.pid
    os.kill(pid, signal.SIGSTOP)  # resumed by `stop`, and suspended again before it can answer
    with subprocess.Popen([sys.executable, "-c", SUSPEND, str(pid)], stdout=subprocess.PIPE) as stopper:
        assert stopper.stdout is not None
        assert stopper.stdout.read(1) == b"b"
        code, said = answer(capsys, "stop")
    assert stopper.returncode == 0
    assert (code, said) == (0, "default: stopped; unfinished tasks stay in its store\n")
    assert LocalFarm("default").connection() is None


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_task_of_a_farm_that_does_not_run_can_be_aborted(
    home: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    log = home / "log"
    farm = start(1)
    with farm.client() as client:
        running = client.submit(note_and_wait, str(log))
        behind = client.submit(note_and_wait, str(log))
        until(log.exists, "it runs")
        ids = [running.taskid, behind.taskid]
    if how == "stopped":
        farm.stop()
    else:
        kill_and_wait(farm.supervisor_pid)
    code, said = answer(capsys, "abort", *map(str, ids))
    assert (code, said) == (0, "Aborted tasks 0, 1.\n")
    assert LocalFarm("default").connection() is None
    assert json.loads((LocalFarm("default").paths.options).read_bytes())["n_workers"] == 1
    with TaskClient() as client:
        for taskid in ids:
            with pytest.raises(TaskAborted):
                client.future(taskid).result(DEADLINE)
        assert log.read_text() == "x"
    start().stop()


def note_and_wait(log: str) -> None:
    with open(log, "a") as file:
        file.write("x")
    time.sleep(600)


def test_what_cannot_be_aborted_is_said_of_a_farm_that_does_not_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start(1) as farm, farm.client() as client:
        client.submit(abs, -1).result(DEADLINE)
    assert answer(capsys, "abort", "0") == (1, "taskfc: task 0 has ended already (succeeded)\n")
    assert answer(capsys, "abort", "--name", "other", "0")[0] == 1
