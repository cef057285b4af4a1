"""A kernel that waits for a task, interrupted, restarted or killed at a random moment. The task is not harmed."""

from __future__ import annotations

import os
import queue
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from taskfc_ext import start
from taskfc_ext.client.blocking import BlockingTaskClient
from tests.chaos.report import Report, times
from tests.processes import DEADLINE, kernels_without_ports, until

PROMISED = 0.2
"""Seconds from an interrupt until the wait has ended."""

JITTER = 0.2
"""Seconds from the begin of the wait until it is disturbed, at most: before, in and after its first round trip."""

BEGUN = "begun"
"""Printed by each cell first."""

KINDS = ("interrupt",) * 8 + ("restart", "kill -9")
"""What happens to the kernel, in turn: most often an interrupt."""

WAITS = (
    "task.result()",
    "%task wait",
    "%task result task",
    "client.barrier([task])",
    "next(iter(client.imap(hold, [1])))",
)
"""Cells that wait, in turn."""

LOAD = """import sys
sys.path.insert(0, {root!r})
%load_ext taskfc_ext
%config TaskMagics.greet = False
from taskfc_ext import TaskClient
from tests.chaos.ledger import run_until
client = TaskClient()
"""

SUBMIT = """
def hold(item):
    return run_until({log!r}, {gate!r})
task = client.with_options(name={name!r}).submit(run_until, {log!r}, {gate!r})
client.flush()
"""


class Kernel:
    """A kernel with the extension, that is started again when it was killed."""

    def __init__(self, folder: str) -> None:
        self._manager = KernelManager(kernel_name="python3", config=kernels_without_ports())
        self._manager.start_kernel(cwd=folder)
        self._connect()

    def _connect(self) -> None:
        self._client: Any = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=DEADLINE)
        root = str(Path(__file__).resolve().parents[2])
        self.run(LOAD.format(root=root))

    def run(self, cell: str) -> None:
        """Run a cell.

        Raises:
            AssertionError: it raised.
        """
        content = self.reply(self.send(cell))
        assert content["status"] == "ok", content

    def value(self, expression: str) -> str:
        """Return the text of an expression's value."""
        asked = self._client.execute("", user_expressions={"value": expression})
        return str(self.reply(asked)["user_expressions"]["value"]["data"]["text/plain"])

    def send(self, cell: str) -> str:
        """Send a cell, and return when it has begun. Before that, ipykernel ignores an interrupt or sends no reply.

        An error in it does not let ipykernel abort the next cells: that would meet one which is sent right after the
        reply.
        """
        sent = self._client.execute(f"print({BEGUN!r}, flush=True)\n{cell}", stop_on_error=False)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = self._client.get_iopub_msg(timeout=DEADLINE)
            is_of_it = message["parent_header"].get("msg_id") == sent
            if is_of_it and BEGUN in message["content"].get("text", ""):
                return str(sent)
        raise AssertionError(f"the kernel never ran {cell!r}")

    def reply(self, sent: str) -> dict[str, Any]:
        """Return the reply to a cell."""
        while True:
            try:
                message = self._client.get_shell_msg(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError(f"no reply after {DEADLINE:g} s") from None
            if message["parent_header"].get("msg_id") == sent:
                return dict(message["content"])

    def interrupt(self) -> None:
        """Interrupt it, as ■ does."""
        self._manager.interrupt_kernel()

    def restart(self, *, killed: bool) -> None:
        """Restart it, after `kill -9` or in order."""
        if killed:
            pid = self._manager.provisioner.process.pid  # type: ignore[union-attr]
            os.kill(pid, signal.SIGKILL)
        self._client.stop_channels()
        self._manager.restart_kernel(now=killed)
        self._connect()

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def run(n_waits: int, seed: int, show: Callable[[str], object]) -> Report:
    """Disturb so many waits at random moments."""
    chance = random.Random(seed)
    report = Report("interrupts", seed)
    kinds: Counter[str] = Counter()
    seconds: list[tuple[float, str]] = []
    with tempfile.TemporaryDirectory(prefix="tfchaos") as folder, start(1) as farm, farm.client() as client:
        kernel = Kernel(folder)
        begun = time.monotonic()
        try:
            for number in range(n_waits):
                kind = KINDS[number % len(KINDS)]
                kinds[kind] += 1
                report.problems += _disturb(kernel, client, folder, number, kind, chance, seconds)
                if number % 20 == 19:
                    show(f"{time.monotonic() - begun:4.0f} s, {number + 1} of {n_waits} waits")
        finally:
            kernel.close()
        report.seconds = round(time.monotonic() - begun, 1)
    report.figures = {
        "interrupts": kinds["interrupt"],
        "restarts of the kernel": kinds["restart"],
        "kill -9 of the kernel": kinds["kill -9"],
        **times("until the wait has ended", [value for value, _ in seconds]),
        f"ended within {PROMISED:g} s": sum(value <= PROMISED for value, _ in seconds),
        "the slowest wait": max(seconds)[1] if seconds else "",
    }
    return report


def _disturb(
    kernel: Kernel,
    client: BlockingTaskClient,
    folder: str,
    number: int,
    kind: str,
    chance: random.Random,
    seconds: list[tuple[float, str]],
) -> list[str]:
    """Disturb one wait, and return the broken promises; an interrupt's seconds are added."""
    log, gate, name = f"{folder}/log-{number}", f"{folder}/gate-{number}", f"t{number}"
    kernel.run(SUBMIT.format(log=log, gate=gate, name=name))
    problems = []
    wait = WAITS[number % len(WAITS)]
    cell = kernel.send(wait)
    time.sleep(chance.uniform(0, JITTER))
    if kind == "interrupt":
        begun = time.monotonic()
        kernel.interrupt()
        reply = kernel.reply(cell)
        seconds.append((time.monotonic() - begun, wait))
        if reply.get("ename") not in ("KeyboardInterrupt", "WaitInterrupted"):
            problems.append(f"wait {number}, {wait}: ended with {reply}")
    else:
        kernel.restart(killed=kind == "kill -9")
    task = client.list_tasks(name=name)[-1]
    until(Path(log).exists, "the task runs")
    Path(gate).touch()
    if kind == "interrupt":
        value = kernel.value("task.result()")
    else:
        kernel.run(f"task = client.future({task.taskid})")
        value = kernel.value(f"task.result({DEADLINE})")
    attempts = client.future(task.taskid).attempts
    if value != repr(gate) or attempts != 1:
        problems.append(f"wait {number}, {kind}: the task gave {value} after {attempts} attempts")
    client.barrier(timeout=DEADLINE)
    return problems
