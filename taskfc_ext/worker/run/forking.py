"""User code that forks: the child shares our sockets and our page, and must touch neither."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

_is_child = False


def prepare(*in_child: Callable[[], None]) -> None:
    """From now on a forked child knows that it is one, and calls each of `in_child` first."""

    def after_in_child() -> None:
        global _is_child
        _is_child = True
        for step in in_child:
            step()

    os.register_at_fork(after_in_child=after_in_child)


def leave_if_child(error: BaseException | None = None) -> None:
    """Call it when the user's code has ended: in a forked child this is the end, as of a script that ended so."""
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
