"""Tables of groups: a row for each item of a map, with its inputs, its result, and the facts of its task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.group.counts import end_of
from taskfc_ext.text import one_line

if TYPE_CHECKING:
    import pandas

FACTS = ("result", "error", "state", "seconds", "attempts", "started", "completed", "taskid", "worker")
"""The columns behind the inputs."""

DTYPES = {
    **dict.fromkeys(("error", "state"), "object"),
    **dict.fromkeys(("attempts", "taskid", "worker"), "Int64"),
    **dict.fromkeys(("started", "completed"), "datetime64[ns, UTC]"),
    "seconds": "float64",
}
"""Types of columns that may be empty; that of the results is as pandas finds it."""


def input_names(function: Callable[..., Any], n: int) -> list[str]:
    """Return names for the first `n` arguments of `function`: its parameters, and `arg0` and so on for others.

    A parameter that is called as one of `FACTS` gets the prefix `arg_`.
    """
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        parameters = []
    names = [each.name for each in parameters if each.kind in positional][:n]
    names = [f"arg_{name}" if name in FACTS else name for name in names]
    return names + [f"arg{place}" for place in range(len(names), n)]


def make_frame(
    tasks: Iterable[tuple[TaskFuture, Sequence[Any]]], names: Sequence[str], columns: Sequence[Sequence[Any]]
) -> pandas.DataFrame:
    """Return the table.

    Args:
        tasks: each with the results of its items, which are `None` where there are none.
        names: of the inputs.
        columns: the inputs.

    Raises:
        ModuleNotFoundError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        message = "to_frame needs pandas, which is not installed: pip install pandas"
        raise ModuleNotFoundError(message, name="pandas") from None
    rows = [(result, *facts) for future, results in tasks for facts in [_facts_of(future)] for result in results]
    by_name = {name: pandas.Series([row[at] for row in rows], dtype=DTYPES.get(name)) for at, name in enumerate(FACTS)}
    inputs = {name: pandas.Series(list(column)) for name, column in zip(names, columns, strict=True)}
    return pandas.DataFrame({**inputs, **by_name})


def failure_text(future: TaskFuture) -> str:
    """Return the type and the text of the exception of a task that has failed, or why it has no result."""
    try:
        error = future.exception(0)
    except CancelledError:
        return "cancelled before it started"
    kind = getattr(error, "type_name", "") or type(error).__name__
    return one_line(f"{kind}: {getattr(error, 'message', '') or error}")


def _facts_of(future: TaskFuture) -> tuple[Any, ...]:
    """Return the values of the columns from `error` on."""
    if not future.done():
        return "", "unfinished", None, None, None, None, future.taskid, None
    state, facts = end_of(future), future.facts
    error = "" if state == "succeeded" else failure_text(future)
    if facts is None:
        return error, state, None, None, None, None, future.taskid, None
    started, completed = (datetime.fromtimestamp(at, UTC) for at in (facts.completed - facts.seconds, facts.completed))
    return error, state, facts.seconds, facts.attempts, started, completed, future.taskid, facts.worker
