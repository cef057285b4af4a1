"""`%task debug`: run a task again in the notebook's process, and enter the debugger where it fails."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from IPython.core.error import StdinNotImplementedError

from taskfc_ext.errors import ResultExpired
from taskfc_ext.ipython.cards.publishing import is_headless
from taskfc_ext.ipython.notebook import Notebook, error_line
from taskfc_ext.ipython.parse.requests import BadUsage, Debug
from taskfc_ext.ipython.verbs.replay import Replay
from taskfc_ext.protocol.infos import SubmittedTask
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.states import UNFINISHED
from taskfc_ext.text import one_line
from taskfc_ext.view.selection import names_one

_HINT = "`%debug` opens the debugger there"


def debug(notebook: Notebook, request: Debug) -> object:
    """Run the task here; return its value, or enter the debugger where it raises.

    Raises:
        BadUsage: the task cannot run here, or several are named.
    """
    task = _get_submission(notebook, request)
    title = one_line(f"task {task.taskid} {task.name or task.spec.label}")
    replay = Replay(notebook.shell, task, notebook.session.client().read_payload)
    keeps = task.spec.kind is Kind.STRING or task.spec.keep
    without = ", but without the names of its worker's namespace" if keeps else ""
    notebook.say(f"replaying {title} here, with its recorded inputs{without}")
    try:
        value = replay.run()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the task's
        _show(notebook.shell, error.with_traceback(_shown_part(error.__traceback__)))
    else:
        notebook.say(f"{title} does not raise here")
        return value
    if request.no_debugger or not _enter(notebook.shell):
        notebook.say(f"{title} raises here; {_HINT}")
    return None


def _get_submission(notebook: Notebook, request: Debug) -> SubmittedTask:
    taskids = notebook.taskids(request.tasks) if names_one(request.tasks) else []
    if len(taskids) != 1:
        raise BadUsage("%task debug: one task at a time")
    client = notebook.session.client()
    for task in client.list_tasks(taskids=taskids):
        if task.state in UNFINISHED:
            raise BadUsage(
                f"task {task.taskid} has not ended ({task.state}), so it would run twice; wait, or abort it first"
            )
        if task.state == "succeeded":
            raise BadUsage(f"task {task.taskid} succeeded: there is nothing to debug")
    try:
        return client.submission(taskids[0])
    except ResultExpired as error:
        hint = f"; `%task debug {error.taskid}` may tell more" if "cleared" not in error.message else ""
        raise BadUsage(f"{error_line(error)}{hint}") from None


def _shown_part(traceback: TracebackType | None) -> TracebackType | None:
    """Return the frames of the user's; where C code was called and there are none, the frame that called it."""
    from taskfc_ext.worker.run.tracebacks import from_users_frame

    return from_users_frame(traceback) or _last_of(traceback)


def _last_of(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _show(shell: Any, failure: BaseException) -> None:
    """Show the traceback, and leave it for `%debug`."""
    sys.last_type, sys.last_value, sys.last_traceback = type(failure), failure, failure.__traceback__
    sys.last_exc = failure  # type: ignore[attr-defined]  # from Python 3.12 on
    shell.showtraceback((type(failure), failure, failure.__traceback__), tb_offset=0)


def _enter(shell: Any) -> bool:
    """Enter the debugger; return false if nobody can type into it."""
    if sys.stdin is None or is_headless(shell):
        return False
    try:
        shell.debugger(force=True)
    except StdinNotImplementedError:
        return False
    return True
