"""`%task wait`: wait until tasks have ended, and raise unless all have succeeded, so that a headless run fails.

Without TASKS it also raises for earlier failures that are news: tasks of this notebook, submitted since the extension
was loaded, for which no wait has raised and which were not retried. A failure of last week does not stop today's run.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskfc_ext.errors import TasksFailed
from taskfc_ext.ipython.cards.render import shorten
from taskfc_ext.ipython.interrupts import waiting
from taskfc_ext.ipython.notebook import Notebook, WaitTimedOut
from taskfc_ext.ipython.parse.requests import Wait
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.states import FINISHED, UNFINISHED, UNSUCCESSFUL
from taskfc_ext.text import one_line, plural

_NAMED = 5
"""Tasks that a message names, as it is one line."""
_WHY = 120
"""Characters of each task's own message in it."""


def wait(notebook: Notebook, request: Wait) -> None:
    """Wait until tasks have ended.

    Raises:
        TasksFailed: one of them did not succeed.
        WaitTimedOut: one of them is unfinished after `request.timeout` seconds.
    """
    if request.tasks:
        taskids = list(dict.fromkeys(notebook.taskids(request.tasks, everybodys=request.all)))
    else:
        # in this order, so that a task which ends between the two requests is in both
        unfinished = [task.taskid for task in notebook.list_owned(UNFINISHED, everybodys=request.all)]
        before = [
            task.taskid for task in notebook.list_owned(UNSUCCESSFUL, everybodys=False) if _is_news(notebook, task)
        ]
        taskids = sorted({*unfinished, *before} - (_find_retried(notebook) if before else set()))
    if not taskids:
        notebook.session.notices.mark_all_seen(notebook.session.name)
        return
    client = notebook.session.client()
    try:
        with waiting(taskids):
            client.barrier(taskids, timeout=request.timeout)
    except TimeoutError:
        left = client.list_tasks(taskids=taskids, states=UNFINISHED, limit=MAX_IDS)
        states = [task.state for task in left]
        raise WaitTimedOut(
            f"{_of(left, taskids)} not ended after {request.timeout:g} s: {_name_tasks(left, states)}"
        ) from None
    notices = notebook.session.notices
    notices.mark_seen(taskids, notebook.session.name)
    if not request.tasks:
        notices.mark_all_seen(notebook.session.name)  # it would have waited for these too
    failed = client.list_tasks(taskids=taskids, states=UNSUCCESSFUL, limit=MAX_IDS)
    notebook.session.reported.update(_key(notebook, task) for task in failed)
    if failed:
        ends = [_end(task) for task in failed[:_NAMED]]
        raise TasksFailed(
            f"{_of(failed, taskids)} did not succeed: {_name_tasks(failed, ends)}",
            taskids=tuple(task.taskid for task in failed),
        )


def _is_news(notebook: Notebook, task: TaskInfo) -> bool:
    return task.submitted >= notebook.session.since and _key(notebook, task) not in notebook.session.reported


def _find_retried(notebook: Notebook) -> set[int]:
    """Return the tasks that were retried: the end of the retry counts."""
    tasks = notebook.list_owned((*UNFINISHED, *FINISHED), everybodys=True)
    return {task.retry_of for task in tasks if task.retry_of is not None}


def _key(notebook: Notebook, task: TaskInfo) -> tuple[str, int, float]:
    return notebook.session.name, task.taskid, task.submitted


def _of(some: Sequence[TaskInfo], taskids: Sequence[int]) -> str:
    return f"{len(some):,} of {plural(len(taskids), 'task')}"


def _end(task: TaskInfo) -> str:
    message = shorten(one_line(task.message), _WHY)
    if task.state != "failed" or not message:
        return task.state
    return f"{task.state}: {message}"


def _name_tasks(tasks: Sequence[TaskInfo], states: Sequence[str]) -> str:
    titles = [one_line(f"task {task.taskid} {task.name or ''}") for task in tasks[:_NAMED]]
    named = [f"{title} ({state})" for title, state in zip(titles, states, strict=False)]
    more = len(tasks) - _NAMED
    return ", ".join(named + ([f"and {more:,} more"] if more > 0 else []))
