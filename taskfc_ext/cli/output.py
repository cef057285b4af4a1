"""The output of `taskfc`: tables, JSON, colours, and errors in one line."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sys
from collections.abc import Container, Mapping, Sequence
from typing import TextIO

import msgspec

from taskfc_ext.errors import ResultExpired, TaskFCError, UnknownTask
from taskfc_ext.protocol.infos import TaskInfo, WorkerInfo
from taskfc_ext.text import one_line, paint, table, workers_table
from taskfc_ext.view.wording import task_row

SEE = "list them with: taskfc tasks"
"""The hint about tasks that are not there."""

HEADER = "1"
FAINT = "2"
STYLES = {
    "waiting": "2",
    "running": "36",
    "stopping": "33",
    "succeeded": "32",
    "failed": "31",
    "aborted": "33",
    "dead": "31",
}
"""State -> the parameter of its colour; a scheduled task has none."""

_SPELLINGS = {"…": "...", "·": "-", "—": "-", "→": "->"}
"""Our own characters, for an encoding that lacks them."""


# colours


def has_colours(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to colour what `stream` gets: `NO_COLOR` first, then `FORCE_COLOR`, then the terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream, environ)


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether `stream` is a terminal that understands escape sequences."""
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb"


def highlight(text: str, style: str | None) -> str:
    """Return `text` for stdout in a style; as it is where there are no colours."""
    return paint(text, style) if style and has_colours(sys.stdout) else text


def paint_state(text: str) -> str:
    """Return a state, also with what follows it, in its colour."""
    return highlight(text, STYLES.get(text.partition(" ")[0]))


# answers


def print_table(rows: Sequence[Sequence[str]], headers: Sequence[str], right: Container[int] = ()) -> None:
    """Print a table; on a terminal, lines are cut at its width, and the column `state` has colours."""
    print(format_table(rows, headers, right))


def format_table(rows: Sequence[Sequence[str]], headers: Sequence[str], right: Container[int] = ()) -> str:
    """Return a table for stdout, see `print_table`."""
    if has_colours(sys.stdout):
        places = [place for place, header in enumerate(headers) if header == "state"]
        rows = [[paint_state(cell) if place in places else cell for place, cell in enumerate(row)] for row in rows]
        headers = [highlight(header, HEADER) for header in headers]
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return table(rows, headers, right=right, most=most)


def format_tasks(tasks: Sequence[TaskInfo]) -> str:
    """Return a table of tasks."""
    headers = ["id", "name", "state", "worker", "attempts", "time", "what", ""]
    return format_table([_cells(task) for task in tasks], headers, right=(0, 3, 4, 5))


def _cells(task: TaskInfo) -> list[str]:
    row = task_row(task)
    return [row.taskid, row.name, row.state, row.worker, row.attempts, row.time, row.label, row.message]


def format_workers(workers: Sequence[WorkerInfo]) -> str:
    """Return a table of workers."""
    headers, rows = workers_table(workers)
    return format_table(rows, headers, right=(0, 1, 3))


def plain_data(value: object) -> object:
    """Return structs as plain data, for JSON."""
    return msgspec.to_builtins(value)


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print one JSON document. It has only ASCII: text of tasks cannot steer the terminal."""
    print(json.dumps(value, indent=indent), flush=indent is None)


# errors


def print_error(error: BaseException) -> None:
    """Print an error in one line on stderr."""
    message = error.message if isinstance(error, TaskFCError) else str(error) or type(error).__name__
    hint = error.hint if isinstance(error, TaskFCError) else ""
    if hint and isinstance(error, UnknownTask) and not isinstance(error, ResultExpired):
        hint = SEE  # the client's own hint is for Python
    print_note(f"{one_line(message)}{f' ({one_line(hint)})' if hint else ''}")


def print_note(text: str) -> None:
    """Print a line on stderr."""
    print(f"taskfc: {text}", file=sys.stderr)


def tolerate_any_text() -> None:
    """Have both streams spell what their encoding lacks: names of tasks, their output, our own signs."""
    codecs.register_error("taskfc", _spell)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="taskfc")


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    spelt = "".join(_SPELLINGS.get(char) or char.encode("ascii", "backslashreplace").decode() for char in text)
    return spelt, error.end
