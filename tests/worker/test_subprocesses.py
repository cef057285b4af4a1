"""Programs of a cell end with it, also if the shell between them ends first."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from taskfc_ext.drivers.processes import process_started
from taskfc_ext.worker.run.subprocesses import Subprocesses
from tests.processes import until


def shell_with_a_program() -> tuple[subprocess.Popen[str], int]:
    """Start a shell that waits for a program; return it and the program's pid."""
    shell = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    program = int(shell.stdout.readline())
    shell.stdout.close()
    return shell, program


def test_a_program_ends_although_its_shell_was_killed_before() -> None:
    programs = Subprocesses()
    shell, program = shell_with_a_program()
    programs.note()
    shell.kill()
    shell.wait()
    programs.terminate()
    until(lambda: process_started(program) is None, "the program has ended")


def test_earlier_programs_are_left_alone() -> None:
    shell, program = shell_with_a_program()
    try:
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # processes' beginnings are known to a tick
        programs = Subprocesses()
        programs.note()
        programs.terminate()
        time.sleep(0.05)
        assert process_started(program) is not None
        assert shell.poll() is None
    finally:
        os.kill(program, signal.SIGKILL)
        shell.wait()
