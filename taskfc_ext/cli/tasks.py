"""Commands that show tasks: tasks, history, show, log and result."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime

from taskfc_ext.cli.output import (
    HEADER,
    format_tasks,
    highlight,
    is_terminal,
    paint_state,
    plain_data,
    print_error,
    print_json,
    print_note,
    print_table,
)
from taskfc_ext.cli.selected import find_taskids
from taskfc_ext.client.attach import attach_to_running
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.errors import TaskFCError, UnpicklableResult
from taskfc_ext.protocol.infos import Details, TaskInfo
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.protocol.states import FINISHED
from taskfc_ext.text import format_progress, one_line, plain_text
from taskfc_ext.view.wording import task_row

FOLLOW_EVERY = 0.3
"""Seconds between two readings of a log that is followed."""

RAN = ("running", *FINISHED)
"""States of tasks that have run."""


def tasks(arguments: argparse.Namespace) -> int:
    """List tasks."""
    return _list(arguments, arguments.state)


def history(arguments: argparse.Namespace) -> int:
    """List tasks that have run."""
    return _list(arguments, RAN)


def _list(arguments: argparse.Namespace, states: list[str] | tuple[str, ...] | None) -> int:
    with attach_to_running(arguments.name) as client:
        taskids = find_taskids(client, arguments.tasks) if arguments.tasks else None
        found = client.list_tasks(taskids=taskids, states=states, limit=arguments.limit)
    if arguments.json:
        print_json(plain_data(found))
    elif not found:
        print("no tasks")
    elif arguments.command == "tasks":
        print(format_tasks(found))
    else:
        headers = ["id", "name", "state", "submitted", "time", "attempts", "worker", ""]
        print_table([_history_cells(task) for task in found], headers, right=(0, 4, 5, 6))
    return 0


def _history_cells(task: TaskInfo) -> list[str]:
    row = task_row(task)
    return [row.taskid, row.title, row.state, _moment(task.submitted), row.time, row.attempts, row.worker, row.message]


def _moment(wall: float) -> str:
    return f"{datetime.fromtimestamp(wall):%Y-%m-%d %H:%M:%S}"


# one task


def show(arguments: argparse.Namespace) -> int:
    """Show all about tasks. Nothing of them is unpickled."""
    with attach_to_running(arguments.name) as client:
        found = [client.details(taskid) for taskid in find_taskids(client, arguments.tasks)]
    if arguments.json:
        print_json([_details_data(details) for details in found])
    else:
        print("\n\n".join(_details_text(details) for details in found))
    return 0


def _details_data(details: Details) -> dict[str, object]:
    failure = details.failure
    return {
        "task": plain_data(details.task),
        "log": log_of(details.printed),
        "exception": failure.type_name if failure else "",
        "traceback": failure.traceback if failure else "",
        "note": failure.note if failure else "",
    }


def _details_text(details: Details) -> str:
    task, failure = details.task, details.failure
    row = task_row(task)
    progress = task.progress
    facts = {
        "state": paint_state(row.state),
        "code": row.label,
        "notebook": one_line(task.owner),
        "submitted": _moment(task.submitted),
        "ended": "" if task.completed is None else _moment(task.completed),
        "time": row.time,
        "worker": row.worker,
        "attempts": row.attempts,
        "priority": str(task.priority) if task.priority else "",
        "progress": "" if progress is None else format_progress(progress.done, progress.total, progress.description),
        "waits for": ", ".join(map(str, task.waits_for)),
        "message": row.message,
        "note": one_line(failure.note) if failure else "",
    }
    lines = [highlight(f"task {row.taskid} {row.name}".rstrip(), HEADER)]
    lines += [f"{name + ':':<11}{fact}" for name, fact in facts.items() if fact]
    for heading, text in (("output", log_of(details.printed)), ("traceback", failure.traceback if failure else "")):
        if text.strip():
            lines += ["", highlight(f"{heading}:", HEADER), plain_text(text).rstrip("\n")]
    return "\n".join(lines)


# output


def log(arguments: argparse.Namespace) -> int:
    """Print what tasks have printed."""
    with attach_to_running(arguments.name) as client:
        taskids = find_taskids(client, arguments.tasks)
        if arguments.follow and len(taskids) > 1:
            arguments.parser.error("-f follows one task")
        if arguments.follow and not arguments.json:
            _follow(client, taskids[0])
            return 0
        if arguments.follow:
            client.barrier(taskids)
        texts = [(taskid, client.log(taskid)) for taskid in taskids]
    if arguments.json:
        found = [{"taskid": taskid, "text": text} for taskid, text in texts]
        print_json(found[0] if len(found) == 1 else found)
        return 0
    for taskid, text in texts:
        if len(texts) > 1:
            print(highlight(f"--- task {taskid}", HEADER))
        shown = plain_text(text)
        print(shown, end="" if shown.endswith("\n") or not shown else "\n")
    return 0


def _follow(client: BlockingTaskClient, taskid: int) -> None:
    """Print the output of a task as it comes, until it has ended."""
    has_rewrites = is_terminal(sys.stdout)
    before = ""
    for text, is_all in _logs(client, taskid):
        n_shown = len(before) if text.startswith(before) else 0  # another attempt begins its log again
        end = text.rfind("\n") + 1
        lines, rest = plain_text(text[n_shown:end]), plain_text(text[end:])
        before = text[:end]
        erase = "\r\x1b[K" if has_rewrites else ""
        if lines:
            print(f"{erase}{lines}", end="", flush=True)
        if rest and (is_all or has_rewrites):  # a line that is not complete: on a terminal, it is written again
            print(f"{erase}{rest}", end="\n" if is_all else "", flush=True)


def _logs(client: BlockingTaskClient, taskid: int) -> Iterator[tuple[str, bool]]:
    """Yield the whole log of a task again and again, and whether the task had ended before."""
    has_ended = False
    while not has_ended:
        details = client.details(taskid)
        has_ended = details.task.state in FINISHED
        yield log_of(details.printed), has_ended
        if not has_ended:
            try:
                client.barrier(taskid, timeout=FOLLOW_EVERY)
            except TimeoutError:
                pass


# values


def result(arguments: argparse.Namespace) -> int:
    """Wait for tasks, and print their values."""
    sys.path.insert(0, os.getcwd())  # a value may need modules of this folder
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    values: list[dict[str, object]] = []
    has_failed = False
    with attach_to_running(arguments.name) as client:
        for taskid in find_taskids(client, arguments.tasks):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            value = _read(client.future(taskid), taskid, left)
            if value is None:
                has_failed = True
            else:
                values.append({"taskid": taskid, **value})
                if not arguments.json:
                    print(plain_text(str(value["text"])), flush=True)
    if arguments.json:
        print_json(values)
    return 1 if has_failed else 0


def _read(future: TaskFuture, taskid: int, timeout: float | None) -> dict[str, str] | None:
    """Return the type and the text of a task's value; `None`, and a line on stderr, if there is none.

    Raises:
        TimeoutError: it has not ended.
    """
    try:
        value = future.result(timeout)
        return {"type": type(value).__name__, "text": repr(value)}
    except UnpicklableResult as error:
        more = "" if error.__cause__ is None else "; run this in the folder and the environment of its modules"
        print_note(f"{one_line(error.message)}{more}")
    except TaskFCError as error:
        print_error(error)
    except TimeoutError as error:
        if not future.done():
            raise TimeoutError(f"task {taskid} has not ended; it goes on") from None
        print_note(_failure_line(future, taskid, error))
    except Exception as error:  # noqa: BLE001 - the task's own, or of its value's `__repr__`
        print_note(_failure_line(future, taskid, error))
    return None


def _failure_line(future: TaskFuture, taskid: int, error: Exception) -> str:
    task = future.describe()
    raised = f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")
    if task is None or task.state == "succeeded":
        return f"the value of task {taskid} cannot be shown: its __repr__ raised {raised}"
    return f"task {taskid} {task.state}: {raised} (traceback: taskfc show {taskid})"
