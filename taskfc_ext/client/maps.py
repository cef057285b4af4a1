"""What `map` does: submit all items, wait for all, and tell of failures in a useful order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from taskfc_ext.client.future import TaskFuture
from taskfc_ext.client.submitting import Sink, Submitter
from taskfc_ext.client.waiting import wait
from taskfc_ext.errors import attach_note
from taskfc_ext.serialize.chance import carried as carried_generators
from taskfc_ext.serialize.chance import report_repeats

_SHOWN = 10  # failing indices in the note: enough to see a pattern


def submit(
    sink: Sink, submitter: Submitter, func: Callable[..., Any], sequences: Sequence[Iterable[Any]]
) -> list[TaskFuture]:
    """Submit `func` for each item of `sequences`.

    Raises:
        TypeError: there is no sequence, or something that is none.
        ValueError: they are of different lengths.
    """
    if not sequences:
        raise TypeError("map takes a function and at least one sequence")
    columns = [list(sequence) for sequence in sequences]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"the sequences are of different lengths: {', '.join(map(str, lengths))}")
    template = submitter.function_template(func)
    if carried_generators:
        report_repeats(lengths[0])  # all items get the same of what the function holds
    futures = []
    for items in zip(*columns, strict=True):
        body = submitter.call_body(template, items)
        futures.append(submitter.submit(func, items, {}) if body is None else sink.submit(template, body))
    return futures


async def results(futures: Sequence[TaskFuture]) -> list[Any]:
    """Return the results of `futures` when all have ended.

    Raises:
        Exception: that of the first one that failed, with a note that names the others.
    """
    values: list[Any] = []
    failures: list[tuple[int, Exception]] = []
    for index, future in enumerate(futures):
        try:
            values.append(future.result() if future.done() else await wait(future))
        except Exception as error:
            if not future.done():
                raise  # the wait failed, not the task
            failures.append((index, error))
    if failures:
        _raise_first(failures, len(futures))
    return values


def _raise_first(failures: Sequence[tuple[int, Exception]], n_items: int) -> None:
    first, error = failures[0]
    others = [str(index) for index, _ in failures[1:]]
    note = f"item {first} of {n_items} in a map; no other one failed"
    if others:
        shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        note = f"item {first} of {n_items} in a map; {len(failures)} failed, the others: {shown}"
    attach_note(error, note)
    raise error
