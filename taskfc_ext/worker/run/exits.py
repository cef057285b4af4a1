"""`exit()` and `quit()` in tasks: they end the task and not the worker; the failure is one sentence."""

from __future__ import annotations

import builtins
from typing import NoReturn

from taskfc_ext.serialize.machinery import exit_here


class ExitCalled(SystemExit):
    """Raised by `exit()` and `quit()` in a task."""


class _Exit:
    """Replaces the builtin of that name, which would close `sys.stdin`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, code: object = None) -> NoReturn:
        raise ExitCalled(f"{self._name}()")

    def __repr__(self) -> str:
        return f"{self._name}() ends a task as failed"

    def __reduce__(self) -> tuple[object, ...]:
        return exit_here, ()


EXITS: dict[str, object] = {name: _Exit(name) for name in ("exit", "quit")}
"""Also for the namespaces of cells: IPython hides the builtins while it runs a cell within a cell (`%%capture`)."""


def offer_exits() -> None:
    """Replace `exit` and `quit` for all code of this process."""
    for name, made in EXITS.items():
        setattr(builtins, name, made)


def sentence_of(error: ExitCalled) -> SystemExit:
    """Return the failure of a task that has called `exit()`: without a traceback, as the call was deliberate."""
    return SystemExit(
        f"the task called {error}, which ends it as failed: a task ends by itself after its last line; "
        "to end it earlier, use `if` or return from a function"
    )
