"""Making the card of a future: where it is asked what is known of a task."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from IPython.lib.pretty import pretty
from IPython.utils.dir2 import get_real_method

from taskfc_ext.errors import FarmError, TaskFCError, UnpicklableResult, WorkerLost, remote_traceback_of
from taskfc_ext.ipython import rich
from taskfc_ext.ipython.display import ERROR_CHARS, RESULT_CHARS, Card, shortened, state_of, why_in_state
from taskfc_ext.text import plain_text

if TYPE_CHECKING:  # importing the client takes long, and `%load_ext` imports this
    from taskfc_ext.client.future import TaskFuture


PLAIN = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set)
"""Types of results that have no other form than text."""

Formatters = Mapping[str, Any]
"""IPython's formatters by MIME type."""


def look(future: TaskFuture, now: datetime, formatters: Formatters | None = None) -> Card:
    """Return the card of `future` as it is now. Asks the controller while the task is unfinished.

    Args:
        formatters: what else than text the result may be shown as.
    """
    card = _looked(future, now, formatters or {})
    return replace(card, farm=future.farm, retry_of=future._template.retry_of)


def _looked(future: TaskFuture, now: datetime, formatters: Formatters) -> Card:
    title = future.name or future.label
    if future.done():
        return _finished(future, title, now, formatters)
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
        output=future.log if info.attempts else "",
        note=info.message,
        progress=info.progress,
        outputs=rich.shown(future.outputs) if info.attempts else (),
    )


def _finished(future: TaskFuture, title: str, now: datetime, formatters: Formatters) -> Card:
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
    lost_value = _lost_value(future) if failure is None else ""
    text = _result_text(future) if failure is None and not lost_value else ""
    drawn = _drawn(future.result(), formatters) if text else {}
    outputs = future.outputs
    if text and (drawn or rich.beneath(rich.shown(outputs))):  # the result comes last, wherever that is
        outputs = [*outputs, {"data": {rich.TEXT: text, **drawn}}]
        text = ""
    return Card(
        seen=now,
        taskid=future.taskid,
        title=title,
        state=future.state,
        attempts=result.attempts,
        elapsed=result.duration,
        output=future.log,
        result=text,
        outputs=rich.shown(outputs),
        error="" if failure is None else _error_text(failure),
        note="; ".join(filter(None, [lost_value, *map(" did not come back: ".join, result.lost.items())])),
    )


def _lost_value(future: TaskFuture) -> str:
    """Return why the value of a task that succeeded could not travel; empty where it did."""
    try:
        future.result()
    except UnpicklableResult as error:
        return error.message
    return ""


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


def _drawn(value: object, formatters: Formatters) -> dict[str, Any]:
    """Return the other forms of a result than text, as the notebook would show it.

    Not through IPython's `format`: it prints what fails, here under whatever cell runs, and displays what displays
    itself.
    """
    if type(value) in PLAIN or hasattr(type(value), "_ipython_display_"):
        return {}
    forms = {}
    for mime, formatter in formatters.items():
        try:
            form = _form(value, formatter) if mime != rich.TEXT and formatter.enabled else None
        except Exception:  # noqa: BLE001 - the user's code: that form is not to be had
            continue
        if isinstance(form, bytes):
            form = base64.b64encode(form).decode()
        if isinstance(form, str | dict):
            forms[mime] = form
    return forms


def _form(value: object, formatter: Any) -> object:
    try:
        draw = formatter.lookup(value)
    except KeyError:
        method = get_real_method(value, formatter.print_method)
        form = None if method is None else method()
    else:
        form = draw(value)
    return form[0] if isinstance(form, tuple) else form  # with metadata of its own, which are left out


def _error_text(error: BaseException) -> str:
    remote = remote_traceback_of(error)
    traceback = getattr(error, "remote_traceback", "") if remote is None else remote.text
    note = f"\n{error.note}" if isinstance(error, WorkerLost) and error.note else ""
    text = str(traceback) or f"{type(error).__name__}: {error}{note}"
    added = [line for line in getattr(error, "__notes__", ()) if isinstance(line, str) and line not in text]
    return "\n".join([shortened(text.rstrip("\n") if added else text, ERROR_CHARS), *added])  # by us, here


def remote_lines(error: BaseException) -> list[str]:
    """Return a task's error as lines for IPython: which task, and the worker's traceback."""
    remote = remote_traceback_of(error)
    task = [] if remote is None or remote.taskid is None else [f"in task {remote.taskid}:"]
    return [*task, plain_text(_error_text(error)).rstrip()]
