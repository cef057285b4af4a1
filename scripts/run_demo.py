"""Run a notebook on a farm of its own, cell by cell, and print what it found.

The farm lives in a folder that is removed afterwards, so a demo meets neither your own tasks nor leaves any behind.
Cells that carry the tag `finding` say what is worth printing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from taskfc_ext import BlockingTaskClient, TaskFCError, attach

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "01_first_task.ipynb"
FOLDERS = {"XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r", "JUPYTER_RUNTIME_DIR": "j", "IPYTHONDIR": "i"}
"""Short names: a socket's path has at most 103 bytes on macOS."""


def main() -> int:
    """Run the notebook named on the command line; return 1 when a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", nargs="?", type=Path, default=NOTEBOOK)
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="folder for the executed notebook")
    options = parser.parse_args()
    notebook = nbformat.read(options.notebook, as_version=4)
    os.environ["JPY_SESSION_NAME"] = str(options.notebook)  # as Jupyter tells a kernel whose it is
    started = time.monotonic()
    with own_farm():
        error = execute(notebook)
    options.output.mkdir(parents=True, exist_ok=True)
    executed = options.output / options.notebook.name
    nbformat.write(notebook, executed)
    if error is not None:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print("\nWhat it found:\n")
    for text in findings(notebook):
        print("  " + text.rstrip().replace("\n", "\n  ") + "\n")
    print(f"{time.monotonic() - started:.0f} s. The executed notebook, with its pictures: {show(executed)}")
    return 0


@contextmanager
def own_farm() -> Iterator[None]:
    """Point stores, sockets and connection files at a new folder; stop whatever runs there, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="taskfc-demo-"))
    for variable, name in FOLDERS.items():
        path = folder / name
        path.mkdir(mode=0o700)
        os.environ[variable] = str(path)
    try:
        yield
    finally:
        taskfc("stop")
        shutil.rmtree(folder, ignore_errors=True)


def taskfc(*arguments: str) -> str:
    """Return what the terminal command answers; empty where it fails."""
    command = [sys.executable, "-m", "taskfc_ext.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()


def execute(notebook: Any) -> CellExecutionError | None:
    """Run every cell of `notebook` in place, saying which; return the first failure."""
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # what the kernel has to say about itself is not the demo's
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    cells = list(enumerate(notebook.cells))
    n_code = sum(cell.cell_type == "code" for _, cell in cells)
    print(f"{n_code} cells on a farm of its own (`%task start -n 2`)\n")
    done = 0
    with client.setup_kernel(), Queue() as queue:
        for index, cell in cells:
            if cell.cell_type == "markdown":
                announce(cell.source)
                continue
            done += 1
            with Progress(f"[{done:2}/{n_code}] {cell.id}", queue):
                try:
                    client.execute_cell(cell, index, execution_count=done)
                except CellExecutionError as error:
                    return error
    return None


def announce(markdown: str) -> None:
    """Print the headings in `markdown`."""
    for line in markdown.splitlines():
        if line.startswith("#"):
            print(f"\n{line.lstrip('# ')}")


class Queue:
    """The farm's queue, seen from outside while the notebook's kernel is at work."""

    def __init__(self) -> None:
        self._client: BlockingTaskClient | None = None

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._client is not None:
            self._client.close()

    def counts(self) -> str:
        """Return how many tasks are in which state; empty while no farm runs."""
        try:
            if self._client is None:
                self._client = attach(label="demo")
            status = self._client.queue_status()
        except TaskFCError:
            return ""
        shown = {("running" if state == "pending" else state): count for state, count in status.items() if count}
        return ", ".join(f"{count} {state}" for state, count in shown.items())


class Progress:
    """One line for a cell: its seconds and the queue, which on a terminal move while it runs."""

    def __init__(self, title: str, queue: Queue) -> None:
        self._title = title
        self._queue = queue
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.monotonic()
        if sys.stdout.isatty():
            self._ticker.start()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        seconds = time.monotonic() - self._started
        self._ended.set()
        if self._ticker.ident is not None:
            self._ticker.join()
        self._show(seconds, "\n")

    def _tick(self) -> None:
        while not self._ended.wait(0.2):
            self._show(time.monotonic() - self._started, "")

    def _show(self, seconds: float, end: str) -> None:
        start = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{start}  {self._title:<28} {seconds:6.1f} s   {self._queue.counts()}".rstrip(), end=end, flush=True)


def findings(notebook: Any) -> Iterator[str]:
    """Yield what the cells tagged `finding` have printed."""
    for cell in notebook.cells:
        if "finding" in cell.metadata.get("tags", ()):
            text = "".join(output.text for output in cell.outputs if output.output_type == "stream")
            if text:
                yield text


def show(path: Path) -> str:
    """Return `path` relative to here where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    sys.exit(main())
