"""Making the card of a future: where it is asked what is known of a task."""

from __future__ import annotations

from concurrent.futures import CancelledError
from datetime import datetime
from typing import TYPE_CHECKING

from IPython.lib.pretty import pretty

from taskfc_ext.errors import FarmError, TaskFCError, WorkerLost
from taskfc_ext.ipython.display import ERROR_CHARS, RESULT_CHARS, Card, shortened, state_of, why_in_state
from taskfc_ext.text import plain_text

if TYPE_CHECKING:  # importing the client takes long, and `%load_ext` imports this
    from taskfc_ext.client.future import TaskFuture


def look(future: TaskFuture, now: datetime) -> Card:
    """Return the card of `future` as it is now. Asks the controller while the task is unfinished."""
    title = future.name or future.label
    if future.done():
        return _finished(future, title, now)
    if future.taskid is None:
        return Card(seen=now, title=title, state="scheduled", note="not yet accepted")
    # all of it at once: `state`, `attempts` and the rest would ask one by one
    info = future._template.owner.describe(future.taskid)
    return Card(
        seen=now,
        taskid=future.taskid,
        title=title,
        state=state_of(info),
        reason=why_in_state(info),
        attempts=info.attempts,
        elapsed=info.elapsed,
        output=future.stdout if info.attempts else "",
        note=info.message,
        progress=info.progress,
    )


def _finished(future: TaskFuture, title: str, now: datetime) -> Card:
    try:
        result = future.task_result()
    except CancelledError:
        return Card(seen=now, taskid=future.taskid, title=title, state="aborted", note="cancelled before it started")
    except FarmError as error:
        state = "unknown" if future.accepted else "failed"
        return Card(seen=now, taskid=future.taskid, title=title, state=state, error=str(error))
    except TaskFCError as error:
        return Card(seen=now, taskid=future.taskid, title=title, state="failed", error=_error_text(error))
    failure = result.failure
    return Card(
        seen=now,
        taskid=future.taskid,
        title=title,
        state=future.state,
        attempts=result.attempts,
        elapsed=result.duration,
        output=future.stdout,
        result=_result_text(future) if failure is None else "",
        error="" if failure is None else _error_text(failure),
    )


def _result_text(future: TaskFuture) -> str:
    from taskfc_ext.tasks import TaskResult

    value = future.result()
    if isinstance(value, TaskResult):  # of a `StringTask`: the rest of it is on the card already
        value = value.results or None
    if value is None:
        return ""
    try:
        text = str(pretty(value, max_seq_length=200))  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - the user's __repr__
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return shortened(text, RESULT_CHARS)


def _error_text(error: BaseException) -> str:
    traceback = getattr(error.__cause__, "text", "") or getattr(error, "remote_traceback", "")
    note = f"\n{error.note}" if isinstance(error, WorkerLost) and error.note else ""
    return shortened(str(traceback) or f"{type(error).__name__}: {error}{note}", ERROR_CHARS)


def remote_lines(error: BaseException) -> list[str]:
    """Return a task's error as lines for IPython: which task, and the worker's traceback."""
    taskid = getattr(error.__cause__, "taskid", None)
    return [*([] if taskid is None else [f"in task {taskid}:"]), plain_text(_error_text(error)).rstrip()]
