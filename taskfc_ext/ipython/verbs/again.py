"""A cell that is run again while its task is unfinished: the task is aborted, left, or shown with the choice."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from taskfc_ext.errors import UnknownTask
from taskfc_ext.ipython.notebook import Notebook
from taskfc_ext.ipython.parse.requests import BadUsage, Submission
from taskfc_ext.protocol.spec import Origin
from taskfc_ext.protocol.states import UNFINISHED
from taskfc_ext.text import as_sentence
from taskfc_ext.view.wording import describe_abort, name_tasks, state_text

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.client.submit.submitter import PreparedCell
    from taskfc_ext.protocol.infos import TaskInfo

REPLACE, BESIDE = "replace", "beside"
LABELS = {REPLACE: "Replace", BESIDE: "Run both"}


def cell_of(notebook: Notebook, submission: Submission, source: str) -> str:
    """Return what identifies the running cell in its notebook, across kernels; empty for an expression.

    Its id. Where the front end gives none: the name of its task, or its code.
    """
    if not submission.is_cell:
        return ""
    if notebook.cell_id:
        return notebook.cell_id[:200]
    if submission.name:
        return f"name {submission.name}"
    return f"code {hashlib.blake2b(source.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def way_of(notebook: Notebook, submission: Submission) -> str:
    """Return what becomes of an unfinished task of this cell: *ask*, *replace* or *beside*."""
    return REPLACE if submission.replace else BESIDE if submission.beside else notebook.session.when_running


def unfinished_of(notebook: Notebook, cell: str) -> list[TaskInfo]:
    """Return the unfinished tasks that earlier runs of a cell have submitted."""
    if not cell:
        return []
    session = notebook.session
    tasks = _list_unfinished(session.client(), session.owner, cell)
    # a cell may submit several, by `run_cell_magic` in a loop
    tasks = [task for task in tasks if task.taskid not in session.submitted]
    if notebook.cell_id or not notebook.is_headless:
        return tasks
    # each cell runs once: a task of this run is another cell's of the same name or code
    return [task for task in tasks if task.submitted < session.since]


def _list_unfinished(client: BlockingTaskClient, owner: str, cell: str) -> list[TaskInfo]:
    """Return the unfinished tasks of a cell of exactly this owner: others may be called the same."""
    found = client.list_tasks(owner=owner, states=UNFINISHED, origin=Origin(cell))
    return [task for task in found if task.owner == owner]


def abort_all(client: BlockingTaskClient, tasks: Sequence[TaskInfo]) -> None:
    """Abort tasks; those that have just ended are left as they are."""
    for task in tasks:
        with suppress(UnknownTask):
            client.abort(task.taskid)


def refuse(tasks: Sequence[TaskInfo]) -> BadUsage:
    """Return the error of a cell whose tasks are unfinished: nothing was submitted."""
    newest = tasks[-1]
    if len(tasks) == 1:
        title = f" ({newest.name})" if newest.name else ""
        text, them = f"task {newest.taskid}{title} of this cell is {state_text(newest)}", "it"
    else:
        text, them = f"{name_tasks([task.taskid for task in tasks])} of this cell are unfinished", "them"
    options = f"`--replace` aborts {them} and runs this, `--beside` runs {'both' if len(tasks) == 1 else 'all'}"
    return BadUsage(f"%%task: {text}, so nothing was submitted; {options}")


class Choice:
    """A submission that waits for a click: *Replace* or *Run both*. Clicks come on threads of their own.

    It keeps the inputs of the moment at which the cell was run, until the click, the end of the unfinished task, or
    the next run of the cell.

    Args:
        notebook: the notebook.
        cell: the cell.
        prepared: the submission.
        after: called on the main thread after a click, with the new task's future.
    """

    labels = LABELS

    def __init__(
        self, notebook: Notebook, cell: str, prepared: PreparedCell, after: Callable[[TaskFuture], None]
    ) -> None:
        self._notebook = notebook
        self._cell = cell
        self._client = notebook.session.client()
        self._prepared: PreparedCell | None = prepared
        self._after: Callable[[TaskFuture], None] | None = after
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether a click still submits it."""
        return self._prepared is not None

    def verbs_in(self, state: str) -> tuple[str, ...] | None:
        """Return its verbs while it is open and the task is unfinished."""
        return tuple(self.labels) if self.is_open and state in UNFINISHED else None

    def release(self) -> None:
        """Forget the submission: it is obsolete."""
        with self._lock:
            self._prepared = self._after = None

    def act(self, verb: str) -> tuple[TaskFuture, str]:
        """Carry out a click; return the future of the new task, and a line about it.

        Raises:
            BadUsage: it is obsolete.
        """
        with self._lock:
            prepared, after = self._prepared, self._after
            self._prepared = self._after = None
        if prepared is None or after is None:
            raise BadUsage("this cell was submitted since")
        left = _list_unfinished(self._client, self._notebook.session.owner, self._cell)
        if verb == REPLACE:
            abort_all(self._client, left)
        future = prepared.submit()
        self._client.flush()
        if future.taskid is None:
            future.result()  # raises why it was refused
        self._notebook.board.chosen.append(lambda: after(future))
        aborted = [task.taskid for task in left]
        said = describe_abort(aborted, aborted) if verb == REPLACE and aborted else ""
        return future, " ".join(filter(None, (said, as_sentence(f"task {future.taskid} was submitted"))))


def withdraw(notebook: Notebook, cell: str) -> None:
    """Release the choice of an earlier run of a cell."""
    earlier = notebook.session.offered.pop(cell, None)
    if earlier is not None:
        earlier.release()


def offer(notebook: Notebook, tasks: Sequence[TaskInfo], choice: Choice, cell: str) -> None:
    """Show the newest of these tasks with the buttons of a choice."""
    withdraw(notebook, cell)
    notebook.session.offered[cell] = choice
    notebook.board.show(notebook.session.future(tasks[-1].taskid), choice)
