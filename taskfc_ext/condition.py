"""A condition that a Ctrl-C never leaves locked.

`threading.Condition` takes its lock in a method that is written in Python. The interpreter may raise a
`KeyboardInterrupt` there, when the lock is taken and the `with` statement has not begun: then nobody gives it back, and
each thread that needs it waits for ever. For us that is the thread that brings all answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Condition(threading.Condition):
    """A condition whose `with` statement calls the lock itself, with no step of Python between."""

    _lock: Any

    @property
    def __enter__(self) -> Callable[[], bool]:
        enter: Callable[[], bool] = self._lock.__enter__
        return enter

    @property
    def __exit__(self) -> Callable[..., None]:
        leave: Callable[..., None] = self._lock.__exit__
        return leave

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until notified, or until `timeout` seconds have passed; return whether it was notified."""
        try:
            return super().wait(timeout)
        except BaseException:
            if not self._lock._is_owned():  # it was raised when the lock had been given back, before the wait
                self._lock.acquire()
            raise
