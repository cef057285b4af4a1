"""`%task history`: tasks that have run, as a table and as data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from taskfc_ext.ipython.cards.render import Bundle, Table, task_cells
from taskfc_ext.ipython.notebook import Notebook
from taskfc_ext.ipython.parse.requests import History as Request
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.text import plural
from taskfc_ext.view.wording import state_of

COLUMNS = ("id", "name", "state", "reason", "submitted", "duration", "attempts", "worker", "message")

STARTED = ("running", "succeeded", "failed", "aborted")
"""States of tasks that have run; `%task status` shows those that wait."""


class History:
    """Tasks at the time of the call, oldest first; shown as a table.

    Attributes:
        rows: a dict for each task. `submitted` is aware, `duration` is seconds of the last attempt, `worker` is `None`
            where no worker had it.
    """

    def __init__(self, tasks: Sequence[TaskInfo], caption: str) -> None:
        self.rows = [_row(task) for task in tasks]
        self._tasks = tasks
        self._caption = caption

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]  # slow, and seldom wanted
        except ImportError as problem:
            raise PandasMissing(f"to_frame() needs pandas ({problem}); `%pip install pandas`, or use .rows") from None
        return pandas.DataFrame(self.rows, columns=list(COLUMNS))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return self._table().bundle()

    def _table(self) -> Table:
        headers = tuple(column for column in COLUMNS if column not in ("reason", "message"))
        rows = [_cells(task) for task in self._tasks]
        return Table(self._caption, (*headers, ""), rows, frozenset((0, 4, 5, 6)), frozenset((2, 3, 4)))


class PandasMissing(ModuleNotFoundError):
    """pandas is missing; shown in one line, as our frames would not help."""

    def _render_traceback_(self) -> list[str]:
        return [f"ModuleNotFoundError: {self}"]


def history(notebook: Notebook, request: Request) -> History:
    """Return tasks that have run: the named ones, or the newest of this notebook or of everybody."""
    session = notebook.session
    client = session.client_if_running()
    if client is None:
        return History([], f"no farm {session.name!r} runs")
    if request.tasks:
        found = client.list_tasks(taskids=notebook.taskids(request.tasks, everybodys=request.all), limit=request.limit)
    else:
        owner = None if request.all else session.owner
        found = client.list_tasks(owner=owner, states=STARTED, limit=request.limit)
    whose = "" if request.tasks or request.all else " of this notebook"
    return History(found, f"{session.name} · {plural(len(found), 'task')}{whose}")


def _row(task: TaskInfo) -> dict[str, Any]:
    values = (
        task.taskid,
        task.name or task.label,
        state_of(task),
        task.reason,
        datetime.fromtimestamp(task.submitted, UTC),
        task.elapsed,
        task.attempts,
        task.worker if task.worker >= 0 else None,
        task.message,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _cells(task: TaskInfo) -> tuple[str, ...]:
    taskid, title, state, *others = task_cells(task)
    return taskid, title, state, f"{datetime.fromtimestamp(task.submitted):%Y-%m-%d %H:%M:%S}", *others
