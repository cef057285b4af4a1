"""One run of a notebook in a kernel of its own, and what was seen of every cell.

`here` runs each cell plain. `tasks` runs each that is not set-up as a user would run it as a task: `%%task --wait`,
with its names brought back. `calls` runs each plain, with the calls of its own functions as tasks.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
from nbclient import NotebookClient

from tests.processes import kernels_without_ports
from tests.same.cells import Cell
from tests.same.probe import PREFIX

How = Literal["here", "tasks", "calls"]
Bring = Literal["bound", "told", "all"]
"""`-o` of the names that a cell binds; of those and the ones that `--dry-run` says are changed there only; `-o '*'`."""

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120  # s; a bound on hangs
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""Sums are taken in the same order in every process."""

_TOLD = re.compile(r"`?-o ([\w,*]+)`? brings")


@dataclass
class Seen:
    """The observable results of one cell: portraits, texts, and contents by MIME type."""

    value: Any = ("NoneType", None)
    error: Any = ("NoneType", None)
    names: dict[str, Any] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    """What the last expression is shown as."""
    shown: list[dict[str, Any]] | None = None
    """What the card of a task shows, its outputs beneath included."""
    refused: str = ""


def run(cells: Sequence[Cell], how: How, say: Callable[[str], None], bring: Bring = "all") -> list[Seen]:
    """Run the cells of a notebook in a fresh kernel, with a farm of its own; return what was seen of each."""
    with _kernel(how) as (client, folder):
        _run(client, "%load_ext tests.same.probe")
        if how == "tasks":
            _run(client, "%load_ext taskfc_ext\n%task start -n 2")
        seen = []
        for cell in cells:
            say(f"cell {cell.number} of {len(cells)}")
            seen.append(_run_cell(client, folder, cell, how, bring))
        return seen


def _run_cell(client: NotebookClient, folder: Path, cell: Cell, how: How, bring: Bring) -> Seen:
    source = cell.source if how != "tasks" or cell.is_set_up else _as_task(client, cell, bring)
    folder.joinpath("now").write_text(str(cell.number))
    outputs = _run(client, source)
    written = folder / f"{cell.number}.pickle"
    if not written.exists():
        return Seen(refused="the kernel did not run it")
    record = pickle.loads(written.read_bytes())
    paged = record.pop("paged")
    facts = {**_in_notebook(outputs), **record}
    return Seen(**{**facts, "stdout": facts["stdout"] + paged})


def _as_task(client: NotebookClient, cell: Cell, bring: Bring) -> str:
    names = list(cell.binds)
    if bring == "told":
        printed = _run(client, f"%%task --dry-run{_out(names)}\n{cell.source}")
        told = [name for output in printed for names in _TOLD.findall(_text(output)) for name in names.split(",")]
        names += [name for name in told if name not in names]
    out = " -o '*'" if bring == "all" else _out(names)
    return f"%%task {PREFIX}{cell.number} --wait{out}\n{cell.source}"


def _out(names: Sequence[str]) -> str:
    return f" -o {','.join(names)}" if names else ""


def _run(client: NotebookClient, source: str) -> list[Any]:
    client.nb.cells.append(nbformat.v4.new_code_cell(source))
    place = len(client.nb.cells) - 1
    client.execute_cell(client.nb.cells[place], place)
    return list(client.nb.cells[place].outputs)


def _text(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


def _in_notebook(outputs: Sequence[Any]) -> dict[str, Any]:
    """Return what a plain cell has printed and shown."""
    kinds = [output.output_type for output in outputs]
    streams = {"stdout": "", "stderr": ""}
    for output in outputs:
        if output.output_type == "stream":
            streams[output.name] += output.text
    displays = [dict(output.data) for output in outputs if output.output_type == "display_data"]
    results = [dict(output.data) for output in outputs if output.output_type == "execute_result"]
    assert set(kinds) <= {"stream", "display_data", "execute_result", "error"}
    return {**streams, "displays": displays, "result": results[-1] if results else {}}


@contextmanager
def _kernel(how: How) -> Iterator[tuple[NotebookClient, Path]]:
    """Start a kernel in an empty folder, with homes of its own; yield it, and the folder of its records."""
    folder = Path(tempfile.mkdtemp(prefix="same", dir="/tmp"))  # short: a socket's path has 107 bytes
    homes = {"XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r", "JUPYTER_RUNTIME_DIR": "j", "IPYTHONDIR": "i"}
    for name in (*homes.values(), "nb", "records"):
        folder.joinpath(name).mkdir(mode=0o700)
    environment = {
        **os.environ,
        **ONE_THREAD,
        **{variable: str(folder / name) for variable, name in homes.items()},
        "SAME_RECORDS": str(folder / "records"),
        "SAME_HOW": how,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONHASHSEED": "0",
        "JPY_SESSION_NAME": str(folder / "nb" / "notebook.ipynb"),
    }
    client = NotebookClient(
        nbformat.v4.new_notebook(),
        timeout=TIMEOUT,
        kernel_name="python3",
        allow_errors=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder / "nb")}},
        config=kernels_without_ports(folder),
    )
    try:
        with client.setup_kernel(env=environment):
            try:
                yield client, folder / "records"
            finally:
                if how != "here":
                    _run(client, "%load_ext taskfc_ext\n%task stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
