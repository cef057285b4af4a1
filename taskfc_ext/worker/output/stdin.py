"""Standard input of tasks: reading a line and breakpoints raise an error that says what to do."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from typing import NoReturn


class NoStdin(io.TextIOBase):
    """`sys.stdin` of user code: an empty file; reading a line raises an `EOFError`."""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Raise an `EOFError`: `input`, `getpass` and debuggers read lines."""
        raise EOFError("a task has no stdin; pass the value as a variable or an argument")

    def read(self, size: int | None = -1, /) -> str:
        """Return "", the end of the file."""
        return ""

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        pass


def refuse_breakpoints(environ: Mapping[str, str] = os.environ) -> None:
    """Make `breakpoint()` raise, unless the user has set PYTHONBREAKPOINT: a debugger could not read any command."""
    if not environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = _refuse


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise RuntimeError("a task cannot stop at a breakpoint: it has no stdin; run this code in the notebook")
