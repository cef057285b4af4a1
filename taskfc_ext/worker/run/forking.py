"""Forks by user code: the child shares our sockets and our page, and must not use them."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

_is_child = False


def prepare(*in_child: Callable[[], None]) -> None:
    """Mark forked children as such from now on; each calls `in_child` first."""

    def after_in_child() -> None:
        global _is_child
        _is_child = True
        for step in in_child:
            step()

    os.register_at_fork(after_in_child=after_in_child)


def leave_if_child(error: BaseException | None = None) -> None:
    """End this process, as a script ends, if it is a forked child. To be called when the user's code has ended."""
    if _is_child:
        _leave(error)


def _leave(error: BaseException | None) -> NoReturn:
    status = 0
    try:
        if isinstance(error, SystemExit):
            status = _status(error)
        elif error is not None:
            status = 1
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _status(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201  as Python itself does
    return 1
