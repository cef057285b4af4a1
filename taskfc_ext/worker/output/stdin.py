"""Code that wants to ask somebody: nobody sits at a worker, and it is told so."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from typing import NoReturn


class NoStdin(io.TextIOBase):
    """What user code sees as `sys.stdin`: empty to who reads a file, an error with a reason to who asks a question."""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Raise: `input`, `getpass` and debuggers read lines."""
        text = (
            "a task cannot ask for input, as nobody is there to answer: give it what it needs as a name or an argument"
        )
        raise EOFError(text)

    def read(self, size: int | None = -1, /) -> str:
        """Return that there is nothing."""
        return ""

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        pass


def refuse_breakpoints(environ: Mapping[str, str] = os.environ) -> None:
    """Let `breakpoint()` raise, unless the user has said what it is to do: a debugger would only see the input end."""
    if not environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = _refuse


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise RuntimeError(
        "a task cannot stop at a breakpoint, as nobody sits at the worker: run this code in the notebook"
    )
