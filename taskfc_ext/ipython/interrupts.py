"""Interrupts of waits: one line that names the tasks that go on, and how to get at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from taskfc_ext.border import WaitInterrupted
from taskfc_ext.ipython.notices import ids_of
from taskfc_ext.protocol.ids import ranges_of
from taskfc_ext.view.selection import format_ranges


@contextmanager
def waiting(taskids: Iterable[int | None] = ()) -> Iterator[None]:
    """Show Ctrl-C in one line during a wait.

    Args:
        taskids: the tasks that it waits for, as far as they are known.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise WaitInterrupted(text_of_interrupt([each for each in taskids if each is not None])) from None


def text_of_interrupt(taskids: Iterable[int]) -> str:
    """Return what goes on after an interrupt, and what waits for it again or stops it."""
    ids = sorted(set(taskids))
    if not ids:
        return "the wait has ended; what it waited for goes on"
    named = f"task {ids[0]}" if len(ids) == 1 else ids_of(ids)
    given = ",".join(format_ranges(ranges_of(ids)))
    go, them = ("goes", "it") if len(ids) == 1 else ("go", "them")
    return f"the wait has ended; {named} {go} on: `%task wait {given}` waits again, `%task abort {given}` stops {them}"
