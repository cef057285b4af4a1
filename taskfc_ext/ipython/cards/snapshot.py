"""Makes the card of a future: asks what is known of its task."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from taskfc_ext.errors import FarmError, TaskFCError, UnpicklableResult, WorkerLost, remote_traceback_of
from taskfc_ext.ipython.cards import rich
from taskfc_ext.ipython.cards.local_forms import has_own_printers, other_forms, own_forms, text_form
from taskfc_ext.ipython.cards.render import ERROR_CHARS, RESULT_CHARS, Card, shortened, state_of, why_in_state
from taskfc_ext.protocol.outputs import all_outputs_of, is_value
from taskfc_ext.text import plain_text

if TYPE_CHECKING:  # importing the client takes long, and `%load_ext` imports this
    from taskfc_ext.client.future.future import TaskFuture


def look(future: TaskFuture, now: datetime, formatter: Any = None) -> Card:
    """Return the card of `future` as it is now. Asks the controller while the task is unfinished.

    Args:
        formatter: IPython's `DisplayFormatter`, for results that their task has not formatted.
    """
    card = _looked(future, now, formatter)
    return replace(card, farm=future.farm, retry_of=future.retry_of)


def _looked(future: TaskFuture, now: datetime, formatter: Any) -> Card:
    title = future.name or future.label
    if future.done():
        return _finished(future, title, now, formatter)
    # all of it at once: `state`, `attempts` and the rest would ask one by one
    info = future.describe()
    if info is None:
        return Card(seen=now, title=title, state="scheduled", note="not yet accepted")
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


def _finished(future: TaskFuture, title: str, now: datetime, formatter: Any) -> Card:
    facts, outputs = future.facts, _outputs(future)
    if facts is not None and not facts.reason and any(map(is_value, outputs)):  # a cell that has shown its value
        future.mark_read()  # as opening it would
        shown = [*map(partial(_in_own_forms, future, formatter), outputs)]
        return _ended(future, title, now, shown, note=_lost_names(future))
    try:
        result = future.task_result()
    except CancelledError:
        return Card(seen=now, taskid=future.taskid, title=title, state="aborted", note="cancelled before it started")
    except FarmError as error:
        state = "unknown" if future.accepted else "failed"
        return Card(seen=now, taskid=future.taskid, title=title, state=state, error=str(error))
    except TaskFCError as error:
        return Card(seen=now, taskid=future.taskid, title=title, state="failed", error=_error_text(error))
    if result.failure is not None:
        return _ended(future, title, now, outputs, error=_error_text(result.failure))
    lost = _lost_value(future)
    note = "; ".join(filter(None, [lost, *map(" did not come back: ".join, result.lost.items())]))
    text = "" if lost else _result_text(future, formatter)
    forms = other_forms(future.result(), formatter) if text and formatter is not None else []
    if not text:
        return _ended(future, title, now, outputs, note=note)
    if not forms and not rich.beneath(rich.shown(outputs)):
        return _ended(future, title, now, outputs, result=text, note=note)
    # the result comes last, wherever that is
    forms = [{**form, "data": {rich.TEXT: text, **form["data"]}} for form in forms or [{"data": {}}]]
    return _ended(future, title, now, [*outputs, *forms], note=note)


def _lost_names(future: TaskFuture) -> str:
    """Return what did not come back of a cell, as far as its result was opened: for this alone nobody opens it."""
    from taskfc_ext.client.future.outcome import lost_of

    return "; ".join(map(" did not come back: ".join, lost_of(future.known_outcome).items()))


def _lost_value(future: TaskFuture) -> str:
    """Return why the value of a task that succeeded could not be sent; empty where it was."""
    try:
        future.result()
    except UnpicklableResult as error:
        return error.message
    return ""


def _ended(
    future: TaskFuture,
    title: str,
    now: datetime,
    outputs: list[rich.Output],
    *,
    result: str = "",
    error: str = "",
    note: str = "",
) -> Card:
    facts = future.facts
    assert facts is not None
    return Card(
        seen=now,
        taskid=future.taskid,
        title=title,
        state=future.state,
        attempts=facts.attempts,
        elapsed=facts.seconds,
        output=future.log,
        outputs=rich.shown(outputs),
        result=result,
        error=error,
        note=note,
    )


def _in_own_forms(future: TaskFuture, formatter: Any, output: rich.Output) -> rich.Output:
    """Return a cell's value also in the forms that this notebook has registered; any other output as it is."""
    if formatter is None or not is_value(output) or not output["data"] or not has_own_printers(formatter):
        return output
    from taskfc_ext.serialize import SourceResult  # brings cloudpickle

    outcome = future.outcome()
    if not isinstance(outcome, SourceResult):  # it cannot be rebuilt here
        return output
    return {**output, "data": {**output["data"], **own_forms(outcome.value, formatter)}}


def _outputs(future: TaskFuture) -> list[rich.Output]:
    """Return what a finished task has displayed, and a cell's value, in order."""
    facts = future.facts
    return [] if facts is None else [*all_outputs_of(facts.displays)]


def _result_text(future: TaskFuture, formatter: Any) -> str:
    from taskfc_ext.tasks import TaskResult

    value = future.result()
    if isinstance(value, TaskResult):  # of a `StringTask`: the rest of it is on the card already
        value = value.results or None
    return "" if value is None else shortened(text_form(value, formatter), RESULT_CHARS)


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
