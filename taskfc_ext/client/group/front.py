"""The notebook around a wait for a group, if there is one: it shows the group, and keeps it after an interrupt."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from taskfc_ext.border import WaitInterrupted
from taskfc_ext.text import plural


class Front(Protocol):
    """A notebook."""

    def show_wait(self, group: Any) -> bool:
        """Show a group that the running cell waits for; return whether that is shown."""
        ...

    def keep(self, group: Any) -> str:
        """Keep a group whose wait was interrupted; return its name there."""
        ...


_front: Front | None = None


def set_front(front: Front | None) -> None:
    """Set the notebook of this process; `None`: there is none any more."""
    global _front
    _front = front


def show_wait(group: Any) -> bool:
    """Show a group that this thread waits for; return whether a notebook does, so that no bar is needed."""
    return _front is not None and _is_main() and _front.show_wait(group)


def interruption(group: Any) -> WaitInterrupted:
    """Return the error of an interrupted wait: the fact, and what the user can do."""
    n = sum(not future.done() for future in group)
    text = f"{plural(n, 'task')} of the map {'goes' if n == 1 else 'go'} on"
    if _front is None or not _is_main():
        return WaitInterrupted(text)
    name = _front.keep(group)
    return WaitInterrupted(f"{text}: `{name}` holds their group, `{name}.abort()` stops them")


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
