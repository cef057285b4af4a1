"""`AnswerFuture`: the future of one answer."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TypeVar

from taskfc_ext.condition import Condition

T = TypeVar("T")


class AnswerFuture(concurrent.futures.Future[T]):
    """A future that the I/O thread settles while the main thread, which may be interrupted, waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._condition: threading.Condition = Condition()
