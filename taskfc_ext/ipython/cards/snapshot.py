"""Making the card of a future."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from taskfc_ext.errors import FarmError, TaskFCError, UnpicklableResult, WorkerLost, remote_traceback_of
from taskfc_ext.ipython.cards import rich
from taskfc_ext.ipython.cards.local_forms import has_own_printers, other_forms, own_forms, text_form
from taskfc_ext.ipython.cards.render import ERROR_CHARS, FARM_STOPPED, RESULT_CHARS, Card, shorten
from taskfc_ext.protocol.outputs import all_outputs_of, is_value
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.protocol.states import State
from taskfc_ext.text import plain_text
from taskfc_ext.view.wording import reason_of, state_of

if TYPE_CHECKING:  # importing the client takes long, and `%load_ext` imports this
    from taskfc_ext.client.future.future import TaskFuture


def make_card(future: TaskFuture, now: datetime, formatter: Any = None) -> Card:
    """Return the card of `future` as it is now. Asks the controller while the task is unfinished.

    Args:
        future: the task.
        now: the time to show on the card.
        formatter: IPython's `DisplayFormatter`, for results that the worker has not formatted.
    """
    card = _read_card(future, now, formatter)
    return replace(card, farm=future.farm, retry_of=future.retry_of)


def _read_card(future: TaskFuture, now: datetime, formatter: Any) -> Card:
    title = future.name or future.label
    if future.done():
        return _finished_card(future, title, now, formatter)
    if future.taskid is None:
        return Card(as_of=now, title=title, state="scheduled", note="not yet accepted")
    # one round trip: `state`, `attempts`, `log` and `outputs` would be one each
    details, outputs = future.get_details()
    info = details.task
    return Card(
        as_of=now,
        taskid=future.taskid,
        submitted=info.submitted,
        title=title,
        state=state_of(info),
        reason=reason_of(info),
        attempts=info.attempts,
        elapsed=info.elapsed,
        output=log_of(details.printed),
        note=info.message,
        progress=info.progress,
        outputs=rich.select(outputs),
    )


def _finished_card(future: TaskFuture, title: str, now: datetime, formatter: Any) -> Card:
    facts, outputs = future.facts, _outputs(future)
    if facts is not None and not facts.reason and any(map(is_value, outputs)):  # the worker has formatted the value
        future.mark_read()  # as `result()` does
        shown = [*map(partial(_in_own_forms, future, formatter), outputs)]
        return _ended_card(future, title, now, shown, note=_lost_names(future))
    try:
        result = future.task_result()
    except CancelledError:
        return Card(as_of=now, taskid=future.taskid, title=title, state="aborted", note="cancelled before it started")
    except FarmError as error:
        if future.accepted:  # the task waits in the store, whatever became of the farm
            return Card(as_of=now, taskid=future.taskid, title=title, state=State.WAITING.value, reason=FARM_STOPPED)
        return Card(as_of=now, taskid=future.taskid, title=title, state="failed", error=str(error))
    except TaskFCError as error:
        return Card(as_of=now, taskid=future.taskid, title=title, state="failed", error=_error_text(error))
    if result.failure is not None:
        return _ended_card(future, title, now, outputs, error=_error_text(result.failure))
    lost = _lost_value(future)
    note = "; ".join(filter(None, [lost, *map(" did not come back: ".join, result.lost.items())]))
    text = "" if lost else _result_text(future, formatter)
    forms = other_forms(future.result(), formatter) if text and formatter is not None else []
    if not text:
        return _ended_card(future, title, now, outputs, note=note)
    if not forms and not rich.beneath(rich.select(outputs)):
        return _ended_card(future, title, now, outputs, result=text, note=note)
    # the result comes last, on the card or beneath it
    forms = [{**form, "data": {rich.TEXT: text, **form["data"]}} for form in forms or [{"data": {}}]]
    return _ended_card(future, title, now, [*outputs, *forms], note=note)


def _lost_names(future: TaskFuture) -> str:
    """Return the names that did not come back of a cell, if its result was loaded already."""
    from taskfc_ext.client.future.outcome import lost_of

    return "; ".join(map(" did not come back: ".join, lost_of(future.known_outcome).items()))


def _lost_value(future: TaskFuture) -> str:
    """Return why the value of a successful task could not be sent; empty if it was sent."""
    try:
        future.result()
    except UnpicklableResult as error:
        return error.message
    return ""


def _ended_card(
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
        as_of=now,
        taskid=future.taskid,
        submitted=facts.submitted,
        title=title,
        state=future.state,
        attempts=facts.attempts,
        elapsed=facts.seconds,
        output=future.log,
        outputs=rich.select(outputs),
        result=result,
        error=error,
        note=note,
    )


def _in_own_forms(future: TaskFuture, formatter: Any, output: rich.Output) -> rich.Output:
    """Return a cell's value with the forms that this notebook has registered; any other output unchanged."""
    if formatter is None or not is_value(output) or not output["data"] or not has_own_printers(formatter):
        return output
    from taskfc_ext.serialize import SourceResult  # brings cloudpickle

    outcome = future.outcome()
    if not isinstance(outcome, SourceResult):  # it cannot be loaded in this process
        return output
    return {**output, "data": {**output["data"], **own_forms(outcome.value, formatter)}}


def _outputs(future: TaskFuture) -> list[rich.Output]:
    """Return the displays of a finished task and a cell's value, in order."""
    facts = future.facts
    return [] if facts is None else [*all_outputs_of(facts.displays)]


def _result_text(future: TaskFuture, formatter: Any) -> str:
    from taskfc_ext.tasks import TaskResult

    value = future.result()
    if isinstance(value, TaskResult):  # of a `StringTask`: the card shows the rest of it already
        value = value.results or None
    return "" if value is None else shorten(text_form(value, formatter), RESULT_CHARS)


def _error_text(error: BaseException) -> str:
    remote = remote_traceback_of(error)
    traceback = getattr(error, "remote_traceback", "") if remote is None else remote.text
    note = f"\n{error.note}" if isinstance(error, WorkerLost) and error.note else ""
    text = str(traceback) or f"{type(error).__name__}: {error}{note}"
    added = [line for line in getattr(error, "__notes__", ()) if isinstance(line, str) and line not in text]
    return "\n".join([shorten(text.rstrip("\n") if added else text, ERROR_CHARS), *added])  # notes of this process


def remote_lines(error: BaseException) -> list[str]:
    """Return a task's error as lines for IPython: which task, and the worker's traceback."""
    remote = remote_traceback_of(error)
    task = [] if remote is None or remote.taskid is None else [f"in task {remote.taskid}:"]
    return [*task, plain_text(_error_text(error)).rstrip()]
