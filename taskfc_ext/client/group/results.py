"""Waits for a group, as coroutines that both clients await or drive: for its results, or for the ends of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NoReturn, Protocol

from taskfc_ext.client.future.endings import Endings
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.group.counts import GroupCounts
from taskfc_ext.client.group.front import interruption, show_wait
from taskfc_ext.client.progress.bar import Bar, open_bar, user_has_bar
from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.errors import attach_note

_NAMED = 10  # failed places in the note of a map: enough for a pattern


class Group(Protocol):
    """The part of a group that is waited for."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> Sequence[TaskFuture]: ...

    @property
    def label(self) -> str: ...

    @property
    def chunksize(self) -> int: ...

    @property
    def counts(self) -> GroupCounts: ...


async def results_of(group: Group, *, others: str = "") -> list[Any]:
    """Return the results of all items, when all tasks have ended.

    Args:
        group: the group.
        others: the place where the user finds the other failures; empty: the note names their numbers.

    Raises:
        Exception: that of the first one that failed, with a note about the others.
    """
    values: list[Any] = []
    failures: list[tuple[int, Exception]] = []
    with _long_wait(group) as progress:
        for place, future in enumerate(group[:]):
            try:
                values.append(future.result() if future.done() else await wait(future, progress=progress))
            except Exception as error:
                if not future.done() or (future.is_given_up and not failures):
                    raise  # the wait failed, not the task
                if not future.is_given_up:
                    failures.append((place, error))
            except KeyboardInterrupt:
                raise interruption(group) from None
    if failures:
        _raise_first(failures, len(group), "item" if group.chunksize == 1 else "chunk", others)
    return values if group.chunksize == 1 else list(chain.from_iterable(values))


async def ends_of(group: Group) -> None:
    """Wait until all tasks have ended, in any state. Decodes no result."""
    with _long_wait(group) as progress:
        for future in group[:]:
            endings = Endings()
            try:
                if future.call_at_end(endings.add):
                    await endings.take(progress)
            except KeyboardInterrupt:
                raise interruption(group) from None


def _long_wait(group: Group) -> LongWait:
    """Return the wait, which shows the group after 2 seconds: as a card in a notebook, else as a bar."""

    def read() -> Counts:
        counts = group.counts
        return Counts(counts.done, counts.total, counts.failed + counts.aborted)

    def open_one() -> Bar | None:
        return None if user_has_bar() or show_wait(group) else open_bar()

    chunks = f", chunks of {group.chunksize}" if group.chunksize > 1 else ""
    return LongWait(read, f"{group.label}{chunks}", open_bar=open_one)


def _raise_first(failures: Sequence[tuple[int, Exception]], n_tasks: int, unit: str, others: str) -> NoReturn:
    first, error = failures[0]
    note = f"{unit} {first} of {n_tasks} in a map, counted from 0; "
    if len(failures) == 1:
        note += "no other one failed"
    elif others:
        note += f"{len(failures) - 1:,} more failed: {others}"
    else:
        named = ", ".join(str(place) for place, _ in failures[1 : _NAMED + 1])
        note += f"{len(failures)} failed, the others: {named}" + (", ..." if len(failures) > _NAMED + 1 else "")
    attach_note(error, note)
    raise error
