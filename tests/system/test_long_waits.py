"""Bars of long waits where users see them: in a terminal, and under the cell of a kernel."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, kernels_without_ports, until
from tests.terminals import TerminalScript

from .conftest import run_script

TASKS = """
import time
from pathlib import Path
from taskfc_ext import attach

def hold(item):
    while item > 2 and not Path(go).exists():
        time.sleep(0.01)
    if item == 1:
        raise ValueError("item 1")
    return item

client = attach()
go = str(Path("go").absolute())
"""
"""Tasks that last until a file appears; of `hold`, the first three end at once, the second of them in an error."""

pytestmark = pytest.mark.usefixtures("shared_farm")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., TerminalScript]]:
    """Runs a script in a terminal."""
    scripts: list[TerminalScript] = []

    def start(source: str, **variables: str) -> TerminalScript:
        scripts.append(TerminalScript(tmp_path, f"{TASKS}{source}\nclient.close()\n", **variables))
        return scripts[-1]

    yield start
    tmp_path.joinpath("go").touch()
    for script in scripts:
        script.close()


def test_a_map_shows_a_bar_which_vanishes_with_it(run: Callable[..., TerminalScript], tmp_path: Path) -> None:
    source = "try:\n    client.map(hold, range(6))\nexcept ValueError as error:\n    print(error)"
    script = run(source)
    script.read_until(r"hold, 1 failed: +50%")
    tmp_path.joinpath("go").touch()
    assert script.read_to_end() == ["item 1"]


def test_the_lines_of_a_loop_over_imap_stand_above_its_bar(run: Callable[..., TerminalScript], tmp_path: Path) -> None:
    script = run(
        "results = client.imap(hold, [0, 2, 0, 4, 5, 6])\n"
        "for item in results:\n    print('got', item)\n    if item == 5:\n        break\nprint('end')"
    )
    script.read_until(r"hold: +50%")
    tmp_path.joinpath("go").touch()
    assert script.read_to_end() == ["got 0", "got 2", "got 0", "got 4", "got 5", "end"]


def test_an_interrupt_removes_the_bar(run: Callable[..., TerminalScript], tmp_path: Path) -> None:
    source = (
        "futures = [client.submit(hold, i) for i in range(6)]\n"
        "try:\n    client.barrier(futures)\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    script = run(source)
    script.read_until(r"barrier.*: +\d+%")
    script.process.send_signal(signal.SIGINT)
    assert script.read_to_end() == ["interrupted"]


def test_without_a_screen_nothing_is_shown_or_imported(tmp_path: Path) -> None:
    source = "import sys, time\nsys.stderr = sys.stdout\nclient.map(time.sleep, [2.3])"
    assert run_script(tmp_path, f"{source}\nassert not {{'tqdm', 'rich'}}.intersection(sys.modules)") == ""


@pytest.fixture(scope="module")
def kernel(shared_farm: Controller, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a kernel; its `interrupt` is that of the kernel."""
    folder = tmp_path_factory.mktemp("kernel")
    environment = {**os.environ, "IPYTHONDIR": str(folder / "ipython")}
    manager = KernelManager(config=kernels_without_ports())
    manager.start_kernel(cwd=str(folder), env=environment)
    client: Any = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(DEADLINE)
    client.interrupt = manager.interrupt_kernel
    Cell(client, f"{TASKS}%load_ext taskfc_ext").end()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


class Cell:
    """A cell that runs in a kernel.

    Attributes:
        outputs: display id -> text, of what it has displayed; a repr or a traceback has no id.
        printed: the text that it has printed.
        error: the type of the exception that ended it.
        traceback: the lines that are shown of it.
    """

    def __init__(self, kernel: Any, source: str) -> None:
        self._kernel = kernel
        self._id = kernel.execute(source, stop_on_error=False)  # else an error may abort the next one
        self.outputs: dict[str, str] = {}
        self.is_over = False
        self.printed = self.error = ""
        self.traceback: list[str] = []

    def read_until(self, condition: Callable[[], object], what: str) -> None:
        """Read messages until the condition is true."""
        until(lambda: condition() or self._read(), what)

    def end(self) -> None:
        """Read until the cell has ended."""
        self.read_until(lambda: self.is_over, "the cell ends")

    def _read(self) -> None:
        message = self._kernel.get_iopub_msg(timeout=DEADLINE)
        if message["parent_header"].get("msg_id") != self._id:
            return
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.outputs[content["transient"]["display_id"]] = content["data"]["text/plain"]
        elif message["msg_type"] == "error":
            self.error, self.traceback = content["ename"], content["traceback"]
        elif message["msg_type"] == "stream":
            self.printed += content["text"]
        self.is_over = message["msg_type"] == "status" and content["execution_state"] == "idle"


def shows(cell: Cell, text: str) -> Callable[[], bool]:
    return lambda: any(text in output for output in cell.outputs.values())


def test_a_map_in_a_cell_shows_the_card_of_its_group_and_no_bar(kernel: Any, tmp_path: Path) -> None:
    cell = Cell(kernel, f"go = {str(tmp_path / 'go')!r}\nclient.map(hold, range(6))")
    cell.read_until(shows(cell, "map hold · running · 3 of 6 · 2 succeeded · 1 failed · "), "a card is shown")
    assert not shows(cell, "50%")()
    tmp_path.joinpath("go").touch()
    cell.end()
    assert shows(cell, "✘ map hold · failed · 6 tasks · 5 succeeded · 1 failed · ")()
    assert shows(cell, ": ValueError: item 1")()
    assert cell.error == "ValueError"


def test_an_interrupted_map_leaves_its_group_in_the_last_output(kernel: Any, tmp_path: Path) -> None:
    Cell(kernel, "'an output before'").end()
    cell = Cell(kernel, f"go = {str(tmp_path / 'go')!r}\nclient.map(hold, range(3, 7))")
    cell.read_until(shows(cell, "map hold · running · 0 of 4 · "), "a card is shown")
    kernel.interrupt()
    cell.end()
    assert cell.traceback == [
        "KeyboardInterrupt: 4 tasks of the map go on: `_` holds their group, `_.abort()` stops them"
    ]
    tmp_path.joinpath("go").touch()
    after = Cell(kernel, "print(__, _.result())\n1 + 1")
    after.end()
    assert after.printed == "an output before [3, 4, 5, 6]\n"
    after = Cell(kernel, "print(_, __.done())")
    after.end()
    assert after.printed == "2 True\n"


def test_a_line_that_waits_shows_a_bar_and_an_interrupt_removes_it(kernel: Any, tmp_path: Path) -> None:
    Cell(kernel, f"go = {str(tmp_path / 'go')!r}\nfutures = [client.submit(hold, i) for i in range(3, 7)]").end()
    cell = Cell(kernel, "%task wait futures")
    cell.read_until(shows(cell, "barrier:   0%"), "a bar is shown")
    kernel.interrupt()
    cell.end()
    assert (list(cell.outputs.values()), cell.error) == ([""], "WaitInterrupted")
    tmp_path.joinpath("go").touch()
